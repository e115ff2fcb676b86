/** Helpers about what a program is attached to: the function, its arguments and result, the system call around it. */

import type { Kernel } from "../kern/kernel.ts";
import { PROG_ARG_COUNT, PROG_ATTACH_TYPE, PROG_TYPE } from "../kern/prog.ts";
import { RUN_CTX, RUN_CTX_SIZE, RUN_CURRENT, RUN_RESULT_HIGH } from "../kern/run_record.ts";
import { noteEvent } from "../kern/scene.ts";
import {
  BPF_FUNC_get_attach_cookie,
  BPF_FUNC_get_func_arg,
  BPF_FUNC_get_func_arg_cnt,
  BPF_FUNC_get_func_ip,
  BPF_FUNC_get_func_ret,
  BPF_FUNC_get_retval,
  BPF_FUNC_override_return,
  BPF_FUNC_set_retval,
  BPF_LSM_CGROUP,
  BPF_LSM_MAC,
  BPF_MODIFY_RETURN,
  BPF_PROG_TYPE_STRUCT_OPS,
  BPF_TRACE_FEXIT,
  EINVAL,
  EOPNOTSUPP,
} from "../uapi/index.ts";
import { wideBig } from "./task.ts";
import type { Helper } from "./types.ts";

const WORD = 8;
const withResult: readonly number[] = [BPF_TRACE_FEXIT, BPF_MODIFY_RETURN, BPF_LSM_MAC, BPF_LSM_CGROUP];
/** Lowest errno that a system call may return. */
const MAX_ERRNO = 4095;

/** A field of the program that runs. */
function ofProg(kernel: Kernel, field: number): number {
  const { u32 } = kernel.mem;
  return u32[(u32[(kernel.run + RUN_CURRENT) >>> 2]! + field) >>> 2]!;
}

/**
 * Whether a program with typed arguments sees a word behind them: what the function returned, or what programs that ran
 * before want it to return. Of struct_ops programs the attach type is the number of a member.
 */
export function seesResult(u32: Uint32Array, prog: number): boolean {
  const attachType = u32[(prog + PROG_ATTACH_TYPE) >>> 2]!;
  return u32[(prog + PROG_TYPE) >>> 2] !== BPF_PROG_TYPE_STRUCT_OPS && withResult.includes(attachType);
}

/** Copies a word of the context; -EINVAL: there is none of this number. */
function giveWord(kernel: Kernel, word: number, to: number): number {
  const { mem, run } = kernel;
  if ((word + 1) * WORD > mem.u32[(run + RUN_CTX_SIZE) >>> 2]!) return -EINVAL;
  mem.u8.copyWithin(
    to >>> 0,
    mem.u32[(run + RUN_CTX) >>> 2]! + word * WORD,
    mem.u32[(run + RUN_CTX) >>> 2]! + (word + 1) * WORD,
  );
  return 0;
}

function funcArg(kernel: Kernel, _ctx: number, n: number, to: number): number {
  return n >>> 0 < ofProg(kernel, PROG_ARG_COUNT) ? giveWord(kernel, n >>> 0, to) : -EINVAL;
}

/** Where a function begins it has returned nothing yet. */
function funcRet(kernel: Kernel, _ctx: number, to: number): number {
  const { u32 } = kernel.mem;
  if (!seesResult(u32, u32[(kernel.run + RUN_CURRENT) >>> 2]!)) return -EOPNOTSUPP;
  return giveWord(kernel, ofProg(kernel, PROG_ARG_COUNT), to);
}

function funcArgCnt(kernel: Kernel): number {
  kernel.mem.u32[(kernel.run + RUN_RESULT_HIGH) >>> 2] = 0;
  return ofProg(kernel, PROG_ARG_COUNT);
}

function overrideReturn(kernel: Kernel, _ctx: number, low: number, high: number): number {
  const value = BigInt.asIntN(64, (BigInt(high >>> 0) << 32n) | BigInt(low >>> 0));
  noteEvent(kernel.scene, { kind: "override_return", value });
  return 0;
}

function setRetval(kernel: Kernel, retval: number): number {
  const value = retval | 0;
  if (value > 0 || value < -MAX_ERRNO) return -EINVAL;
  kernel.scene.attachment.retval = value;
  return 0;
}

export const attachedHelpers: Readonly<Record<number, Helper>> = {
  [BPF_FUNC_get_func_ip]: {
    name: "bpf_get_func_ip",
    since: "5.15",
    gplOnly: true,
    args: ["ctx"],
    result: "u64",
    fn: (kernel) => wideBig(kernel, kernel.scene.attachment.ip),
  },
  [BPF_FUNC_get_attach_cookie]: {
    name: "bpf_get_attach_cookie",
    since: "5.15",
    gplOnly: false,
    args: ["ctx"],
    result: "u64",
    fn: (kernel) => wideBig(kernel, kernel.scene.attachment.cookie),
  },
  [BPF_FUNC_get_func_arg]: {
    name: "bpf_get_func_arg",
    since: "5.17",
    gplOnly: false,
    args: ["ctx", "u32", { fixed: WORD, write: true }],
    result: "errno",
    fn: funcArg,
  },
  [BPF_FUNC_get_func_ret]: {
    name: "bpf_get_func_ret",
    since: "5.17",
    gplOnly: false,
    args: ["ctx", { fixed: WORD, write: true }],
    result: "errno",
    fn: funcRet,
  },
  [BPF_FUNC_get_func_arg_cnt]: {
    name: "bpf_get_func_arg_cnt",
    since: "5.17",
    gplOnly: false,
    args: ["ctx"],
    result: "u64",
    fn: funcArgCnt,
  },
  [BPF_FUNC_override_return]: {
    name: "bpf_override_return",
    since: "4.16",
    gplOnly: true,
    args: ["ctx", "u64"],
    result: "errno",
    fn: overrideReturn,
  },
  [BPF_FUNC_get_retval]: {
    name: "bpf_get_retval",
    since: "5.18",
    gplOnly: false,
    args: [],
    result: "errno",
    fn: (kernel) => kernel.scene.attachment.retval,
  },
  [BPF_FUNC_set_retval]: {
    name: "bpf_set_retval",
    since: "5.18",
    gplOnly: false,
    args: ["u32"],
    result: "errno",
    fn: setRetval,
  },
};
