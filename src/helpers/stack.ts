/** Stacks: return addresses that the run was given. Kernel counterpart: kernel/bpf/stackmap.c. */
import type { Kernel } from "../kern/kernel.ts";
import { MAX_STACK, stackDepth, stackId } from "../struct/stack_traces.ts";
import {
  BPF_F_FAST_STACK_CMP,
  BPF_F_REUSE_STACKID,
  BPF_F_SKIP_FIELD_MASK,
  BPF_F_USER_BUILD_ID,
  BPF_F_USER_STACK,
  BPF_FUNC_get_stack,
  BPF_FUNC_get_stackid,
  EFAULT,
  EINVAL,
} from "../uapi/index.ts";
import type { Helper } from "./types.ts";

const FRAME = 8;
const KNOWN_FLAGS: number = BPF_F_SKIP_FIELD_MASK | BPF_F_USER_STACK | BPF_F_USER_BUILD_ID;

/** Bytes of the stack that were copied, innermost frame first; what is behind them, and all after an error, is zero. */
function getStack(kernel: Kernel, _ctx: number, to: number, size: number, flags: number, flagsHigh: number): number {
  const { u8, view } = kernel.mem;
  const at = to >>> 0;
  u8.fill(0, at, at + (size >>> 0));
  const user = (flags & BPF_F_USER_STACK) !== 0;
  const buildId = (flags & BPF_F_USER_BUILD_ID) !== 0;
  // Files have no build ids here.
  if (flagsHigh !== 0 || (flags & ~KNOWN_FLAGS) !== 0 || buildId || (size & (FRAME - 1)) !== 0) return -EINVAL;
  const { kernelStack, userStack } = kernel.scene.attachment;
  const frames = (user ? userStack : kernelStack).slice(flags & BPF_F_SKIP_FIELD_MASK);
  if (frames.length === 0) return -EFAULT;
  const count = Math.min(frames.length, (size >>> 0) / FRAME);
  for (let i = 0; i < count; i++) view.setBigUint64(at + i * FRAME, BigInt.asUintN(64, frames[i]!), true);
  return count * FRAME;
}

const ID_FLAGS: number = BPF_F_SKIP_FIELD_MASK | BPF_F_USER_STACK | BPF_F_FAST_STACK_CMP | BPF_F_REUSE_STACKID;

/** The id of the stack in the map. What a stack is too deep for is cut off at its outer end. */
function getStackId(kernel: Kernel, _ctx: number, map: number, flags: number, flagsHigh: number): number {
  const at = map >>> 0;
  if (flagsHigh !== 0 || (flags & ~ID_FLAGS) !== 0) return -EINVAL;
  const skip = flags & BPF_F_SKIP_FIELD_MASK;
  const { kernelStack, userStack } = kernel.scene.attachment;
  const whole = (flags & BPF_F_USER_STACK) === 0 ? kernelStack : userStack;
  const frames = whole.slice(skip, Math.min(stackDepth(kernel.mem, at) + skip, MAX_STACK));
  if (frames.length === 0) return -EFAULT;
  return stackId(kernel, at, frames, {
    sameHash: (flags & BPF_F_FAST_STACK_CMP) !== 0,
    reuse: (flags & BPF_F_REUSE_STACKID) !== 0,
  });
}

export const stackHelpers: Readonly<Record<number, Helper>> = {
  [BPF_FUNC_get_stack]: {
    name: "bpf_get_stack",
    since: "4.18",
    gplOnly: true,
    args: ["ctx", "memOutOrNull", "sizeOrZero", "u64"],
    result: "errno",
    fn: getStack,
  },
  [BPF_FUNC_get_stackid]: {
    name: "bpf_get_stackid",
    since: "4.6",
    gplOnly: true,
    args: ["ctx", "map", "u64"],
    result: "errno",
    fn: getStackId,
  },
};
