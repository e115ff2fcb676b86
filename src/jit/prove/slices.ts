/**
 * Bytes of a dynptr that a call gives the address of: of a packet, of a ring's record or sample, or the buffer that a
 * slice was copied into. A dynptr that another program has made may show values that are none of this one's, and
 * bpf_dynptr_from_mem one of a map that programs may only write: then nothing is known.
 */
import { DYNPTR_BYTES } from "../../helpers/dynptr_core.ts";
import { DYNPTR_SLICE, DYNPTR_SLICE_TO_WRITE } from "../../helpers/dynptr_kfuncs.ts";
import type { Callable } from "../../helpers/types.ts";
import { BPF_FUNC_dynptr_data } from "../../uapi/index.ts";
import type { Op } from "../program.ts";
import { mayBeStack } from "./access.ts";
import { Arguments } from "./arguments.ts";
import type { Context } from "./context.ts";
import type { State } from "./state.ts";
import { isHelper } from "./summary.ts";
import { F_COPY, F_HELD, F_NULL, F_SLICE, F_WRITE, isConstant, isNear, K_STACK, region, type Val } from "./value.ts";

/** The largest access. */
const WORD = 8;

/** What the call returns, if it is one of these and so much is known. */
export function sliced(context: Context, state: State, op: Op, { name }: Callable): Val | undefined {
  const slice = name === DYNPTR_SLICE || name === DYNPTR_SLICE_TO_WRITE;
  const data = isHelper(op, BPF_FUNC_dynptr_data);
  if ((!slice && !data) || !context.summary.ownDynptrs) return undefined;
  const given = new Arguments(context, state, context.frames);
  if (!given.isStackWord(1) || !given.memory(1, DYNPTR_BYTES, true)) return undefined;
  const length = state.regs[data ? 3 : 4]!;
  if (!isConstant(length) || length.min < 0 || length.min > 0xffff_ffff) return undefined;
  if (data) return region(op.index, length.min, 0, F_NULL | F_WRITE | F_HELD);
  const copy = copyFlags(state.regs[3]!, length.min);
  return copy === undefined ? undefined : region(op.index, length.min, 0, F_NULL | F_HELD | F_SLICE | copy);
}

/** Of the buffer: whether it may lie on the stack, and what it is no multiple of; undefined: it is not known. */
function copyFlags(buffer: Val, size: number): number | undefined {
  if (buffer.kind !== K_STACK) return mayBeStack(buffer, size) ? undefined : 0;
  if (!isNear(buffer)) return undefined;
  let flags = F_COPY;
  for (let even = 2; even <= WORD; even *= 2) {
    if (buffer.min % even !== 0 || buffer.step % even !== 0) flags |= even * F_COPY;
  }
  return flags;
}
