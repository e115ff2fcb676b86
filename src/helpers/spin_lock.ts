/** Locks in values and objects. A second lock is refused or a fault, never a wait without end. */
import { FIELD_RES_SPIN_LOCK, FIELD_SPIN_LOCK } from "../btf/special_fields.ts";
import {
  dropElementLock,
  LOCK_LATE,
  LOCK_NO_MEMORY,
  LOCK_OWN,
  LOCK_TAKEN,
  takeElementLock,
} from "../kern/element_locks.ts";
import { emitDropElementLock, emitTakeElementLock } from "../kern/element_locks_gen.ts";
import { FAULT_LOCK_TWICE, FAULT_NO_MEMORY, FAULT_NOT_LOCKED } from "../kern/fault_kinds.ts";
import type { Kernel } from "../kern/kernel.ts";
import { faultHelper } from "../kern/reach.ts";
import { fieldAt } from "../struct/fields.ts";
import type { AttemptCall, KnownGen, ValuePlace } from "../struct/gen.ts";
import { BPF_FUNC_spin_lock, BPF_FUNC_spin_unlock, EDEADLK, ETIMEDOUT } from "../uapi/index.ts";
import type { Expr32 } from "../wasm/expr.ts";
import type { Helper, Kfunc } from "./types.ts";

/** As long as the kernel's resilient locks wait. */
const PATIENCE_MS = 250;

function spinLock(kernel: Kernel, field: number): number {
  const ret = takeElementLock(kernel, field >>> 0, 0);
  if (ret === LOCK_OWN) faultHelper(kernel, FAULT_LOCK_TWICE, field, 0, 1);
  if (ret === LOCK_NO_MEMORY) faultHelper(kernel, FAULT_NO_MEMORY, field, 0, 1);
  return 0;
}

function spinUnlock(kernel: Kernel, field: number): number {
  if (!dropElementLock(kernel, field >>> 0)) faultHelper(kernel, FAULT_NOT_LOCKED, field, 0, 1);
  return 0;
}

const errnos: Readonly<Record<number, number>> = {
  [LOCK_TAKEN]: 0,
  [LOCK_OWN]: -EDEADLK,
  [LOCK_LATE]: -ETIMEDOUT,
  [LOCK_NO_MEMORY]: -ETIMEDOUT,
};

function resilientLock(kernel: Kernel, field: number): number {
  return errnos[takeElementLock(kernel, field >>> 0, PATIENCE_MS)]!;
}

/** Code for a field of this kind in a value of a known map. */
function knownField(kind: number, emit: (call: AttemptCall, place: ValuePlace) => Expr32): KnownGen {
  return (mem, known) => {
    const place = known.value(1);
    if (place === undefined || fieldAt(mem, place.map, place.offset, kind) === 0) return undefined;
    return (call) => emit(call, place);
  };
}

function spin(name: string, fn: NonNullable<Helper["fn"]>, emit: Parameters<typeof knownField>[1]): Helper {
  const known = knownField(FIELD_SPIN_LOCK, emit);
  return { name, since: "5.1", gplOnly: false, args: [{ field: FIELD_SPIN_LOCK }], result: "void", fn, known };
}

export const spinLockHelpers: Readonly<Record<number, Helper>> = {
  [BPF_FUNC_spin_lock]: spin("bpf_spin_lock", spinLock, emitTakeElementLock),
  [BPF_FUNC_spin_unlock]: spin("bpf_spin_unlock", spinUnlock, emitDropElementLock),
};

function resilient(name: string, irq: boolean, result: Kfunc["result"], fn: NonNullable<Kfunc["fn"]>): Kfunc {
  const lock = { field: FIELD_RES_SPIN_LOCK } as const;
  // Where the kernel keeps its interrupt flags; there are no interrupts here.
  return { name, since: "6.15", args: irq ? [lock, { stack: 8 }] : [lock], result, fn };
}

export const resilientLockKfuncs: readonly Kfunc[] = [
  resilient("bpf_res_spin_lock", false, "errno", resilientLock),
  resilient("bpf_res_spin_unlock", false, "void", spinUnlock),
  resilient("bpf_res_spin_lock_irqsave", true, "errno", resilientLock),
  resilient("bpf_res_spin_unlock_irqrestore", true, "void", spinUnlock),
];
