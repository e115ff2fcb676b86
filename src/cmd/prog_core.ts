/**
 * CO-RE relocations that come with BPF_PROG_LOAD (core_relos): the loader leaves them to the kernel, which applies them
 * against its own BTF, one record at a time. Kernel counterpart: check_core_relo() of kernel/bpf/verifier.c.
 */
import { type Btf, CoreRelocator, KERNEL_RULES, patchInsn } from "../btf/index.ts";
import { InputError } from "../errors.ts";
import { kernelBtfOf } from "../helpers/kernel_btf.ts";
import { encodeInsns, INSN_SIZE, type Insn } from "../insn/index.ts";
import type { Kernel } from "../kern/kernel.ts";
import { bpf_attr, bpf_core_relo, E2BIG, EFAULT, EINVAL } from "../uapi/index.ts";
import { pointerAt, putU32 } from "./attr.ts";

const { prog_load } = bpf_attr;
const { size: KNOWN_SIZE, fields } = bpf_core_relo;
const RECORD_MAX = 252;
const COUNT_MAX = Math.floor(0x7fff_ffff / KNOWN_SIZE);

/** A program that is being loaded. */
export interface Unrelocated {
  readonly kernel: Kernel;
  /** Its own BTF. */
  readonly btf: Btf;
  /** Its instructions, and the same as words in memory: both are changed. */
  readonly insns: Insn[];
  readonly code: number;
  readonly log: (line: string) => void;
}

/** 0 or an errno. */
export function applyCoreRelos(program: Unrelocated, attr: number, uattr: number): number {
  const { kernel, log } = program;
  const { mem } = kernel;
  const count = mem.u32[(attr + prog_load.core_relo_cnt.offset) >>> 2]!;
  if (count === 0) return 0;
  const size = mem.u32[(attr + prog_load.core_relo_rec_size.offset) >>> 2]!;
  if (count > COUNT_MAX || size < KNOWN_SIZE || size > RECORD_MAX || size % 4 !== 0) return -EINVAL;
  const from = pointerAt(kernel, attr + prog_load.core_relos.offset);
  const relocator = new CoreRelocator(program.btf, kernelBtfOf(kernel), KERNEL_RULES);
  for (let i = 0; i < count; i++) {
    const at = from + i * size;
    if (!kernel.userOk(at, size, false)) return -EFAULT;
    for (let byte = KNOWN_SIZE; byte < size; byte++) {
      if (mem.u8[at + byte] === 0) continue;
      log("nonzero tailing record in core_relo");
      return putU32(kernel, uattr + prog_load.core_relo_rec_size.offset, KNOWN_SIZE) || -E2BIG;
    }
    const bad = applyOne(program, relocator, i, at);
    if (bad !== 0) return bad;
  }
  return 0;
}

function applyOne(program: Unrelocated, relocator: CoreRelocator, index: number, record: number): number {
  const { kernel, btf, insns, log } = program;
  const word = (field: { readonly offset: number }): number => kernel.mem.view.getUint32(record + field.offset, true);
  const offset = word(fields.insn_off);
  const insn = offset / INSN_SIZE;
  const refuse = (errno: number, why: string): number => {
    log(`core_relo ${index}: ${why}`);
    return errno;
  };
  if (offset % INSN_SIZE !== 0 || insn >= insns.length) {
    return refuse(-EINVAL, `instruction offset ${offset} in a program of ${insns.length * INSN_SIZE} bytes`);
  }
  const [typeId, kind] = [word(fields.type_id), word(fields.kind)];
  const access = textAt(btf, word(fields.access_str_off));
  if (access === undefined || typeId >= btf.count) {
    return refuse(-EINVAL, `type id ${typeId} or its access path lies outside the program's BTF`);
  }
  const relo = { typeId, access, kind };
  const fault = patchInsn(insns, insn, relocator.resolve(relo));
  if (fault !== undefined) log(`core_relo ${index}: ${relocator.describe(relo)}: ${fault.why}`);
  if (fault?.poisoned === false) return fault.errno;
  put(program, insn);
  return 0;
}

function textAt(btf: Btf, offset: number): string | undefined {
  try {
    return btf.string(offset);
  } catch (error) {
    if (error instanceof InputError) return undefined;
    throw error;
  }
}

/** The instruction as words, and the next one: it may be the second half of an immediate. */
function put({ kernel, insns, code }: Unrelocated, insn: number): void {
  kernel.mem.u8.set(encodeInsns(insns.slice(insn, insn + 2)), code + insn * INSN_SIZE);
}
