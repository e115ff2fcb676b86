/**
 * Programs with typed arguments: at functions and tracepoints by their BTF, LSM hooks, iterators, and callbacks of the
 * kernel's (struct_ops). The context is an array of u64, one an argument; a pointer is loaded whole, a number in any part
 * from its beginning on.
 */

import {
  BPF_FUNC_get_attach_cookie,
  BPF_FUNC_get_func_arg,
  BPF_FUNC_get_func_arg_cnt,
  BPF_FUNC_get_func_ip,
  BPF_FUNC_get_func_ret,
  BPF_FUNC_get_retval,
  BPF_FUNC_seq_printf,
  BPF_FUNC_seq_printf_btf,
  BPF_FUNC_seq_write,
  BPF_FUNC_set_retval,
  BPF_LSM_CGROUP,
  BPF_LSM_MAC,
  BPF_MODIFY_RETURN,
  BPF_TRACE_FENTRY,
  BPF_TRACE_FEXIT,
  BPF_TRACE_ITER,
  BPF_TRACE_RAW_TP,
} from "../uapi/index.ts";
import { iterHelpers, lsmHelpers, structOpsHelpers, trampolineHelpers, typedHelpers } from "./helper_groups.ts";
import { MAX_ARGS } from "./probes.ts";
import type { ContextFamily } from "./table.ts";

const WORD = 8;

const typed = {
  /** One more word: what the function returned. */
  size: (MAX_ARGS + 1) * WORD,
  access: (offset: number, size: number, write: boolean, _attachType: number, pointers: number): boolean =>
    !write && offset % WORD === 0 && (size === WORD || ((pointers >>> (offset / WORD)) & 1) === 0),
  packetLoads: false,
  typedArgs: true,
  kernelPointers: true,
} as const;

const trampolines: readonly number[] = [BPF_TRACE_FENTRY, BPF_TRACE_FEXIT, BPF_MODIFY_RETURN];

export const tracingContext: ContextFamily = {
  ...typed,
  helpers: [...typedHelpers, ...trampolineHelpers, ...iterHelpers],
  onlyFor: {
    [BPF_FUNC_get_func_ip]: trampolines,
    [BPF_FUNC_get_attach_cookie]: [...trampolines, BPF_TRACE_RAW_TP],
    [BPF_FUNC_get_func_arg]: trampolines,
    [BPF_FUNC_get_func_arg_cnt]: trampolines,
    [BPF_FUNC_get_func_ret]: trampolines,
    [BPF_FUNC_seq_printf]: [BPF_TRACE_ITER],
    [BPF_FUNC_seq_write]: [BPF_TRACE_ITER],
    [BPF_FUNC_seq_printf_btf]: [BPF_TRACE_ITER],
  },
  sleepable: [...trampolines, BPF_TRACE_ITER],
};

export const lsmContext: ContextFamily = {
  ...typed,
  helpers: [...typedHelpers, ...trampolineHelpers, ...lsmHelpers],
  onlyFor: {
    [BPF_FUNC_get_func_arg]: [BPF_LSM_MAC],
    [BPF_FUNC_get_func_arg_cnt]: [BPF_LSM_MAC],
    [BPF_FUNC_get_func_ret]: [BPF_LSM_MAC],
    [BPF_FUNC_get_retval]: [BPF_LSM_CGROUP],
    [BPF_FUNC_set_retval]: [BPF_LSM_CGROUP],
  },
  attachTypes: [BPF_LSM_MAC, BPF_LSM_CGROUP],
  sleepable: [BPF_LSM_MAC],
};

/** expected_attach_type is the index of the member that the program is. */
export const structOpsContext: ContextFamily = { ...typed, helpers: structOpsHelpers, sleepable: true };
