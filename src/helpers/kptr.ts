/** bpf_kptr_xchg: an object goes into a field, what was there comes out, as one. */
import { FIELD_KPTR, FIELD_KPTR_PERCPU } from "../btf/special_fields.ts";
import { FAULT_NO_OBJECT } from "../kern/fault_kinds.ts";
import type { Kernel } from "../kern/kernel.ts";
import { faultHelper } from "../kern/reach.ts";
import { BPF_FUNC_kptr_xchg } from "../uapi/index.ts";
import { disown, fits, own, ownedEntry, withSlot } from "./slots.ts";
import type { Helper } from "./types.ts";

const OWNING = FIELD_KPTR | FIELD_KPTR_PERCPU;

/** The field itself shows the object's address, which programs read; what it owns stands in its slot. */
function exchange(kernel: Kernel, field: number, low: number, high: number): number {
  if ((low | high) !== 0 && ownedEntry(kernel, low, high, 2) === 0) return 0;
  const { mem } = kernel;
  const { u32 } = mem;
  const object = low >>> 0;
  return withSlot(kernel, field >>> 0, OWNING, (slot, kind) => {
    if (object !== 0 && !fits(kernel, kind, object, u32[kind >>> 2] === FIELD_KPTR_PERCPU)) {
      faultHelper(kernel, FAULT_NO_OBJECT, low, high, 2);
      return 0;
    }
    const before = u32[slot >>> 2]!;
    if (before !== 0 && !own(kernel, before)) return 0;
    if (object !== 0) disown(kernel, object);
    u32[slot >>> 2] = object;
    u32[field >>> 2] = object;
    u32[(field >>> 2) + 1] = 0;
    return before;
  });
}

export const kptrHelpers: Readonly<Record<number, Helper>> = {
  [BPF_FUNC_kptr_xchg]: {
    name: "bpf_kptr_xchg",
    since: "5.19",
    gplOnly: false,
    args: [{ field: OWNING }, "u64"],
    result: "pointer",
    fn: exchange,
  },
};
