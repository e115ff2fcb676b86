/** bpf_user_ringbuf_drain: a function of the program for each sample. Kernel counterpart: kernel/bpf/ringbuf.c. */
import type { Kernel } from "../kern/kernel.ts";
import { FRAME_ARGS, FRAME_STATE, findHeld, HELD_DRAIN, HELD_WRITABLE, hold, letGo } from "../kern/run_record.ts";
import { putFrameDynptr, takeDynptrsWith } from "../kern/stack_objects.ts";
import { beginDrain, endDrain, nextSample, releaseSample } from "../struct/user_ring.ts";
import {
  BPF_FUNC_user_ringbuf_drain,
  BPF_RB_FORCE_WAKEUP,
  BPF_RB_NO_WAKEUP,
  EAGAIN,
  EINVAL,
  ENODATA,
  ENOMEM,
} from "../uapi/index.ts";
import { setCallback, setResult } from "./callback_frame.ts";
import { D_BASE, DYNPTR_LOCAL, fillDynptr } from "./dynptr_core.ts";
import type { Helper } from "./types.ts";

/** Samples of one call, those that were discarded included. */
const MAX_SAMPLES = 128 * 1024;
const WAKEUP_FLAGS: number = BPF_RB_NO_WAKEUP | BPF_RB_FORCE_WAKEUP;

const STATE_MAP: number = FRAME_STATE;
const STATE_FLAGS: number = FRAME_STATE + 4;
/** Samples so far, and how many of them were discarded. */
const STATE_SAMPLES: number = FRAME_STATE + 8;
const STATE_DISCARDED: number = FRAME_STATE + 12;
/** Of the sample under way. */
const STATE_SIZE: number = FRAME_STATE + 16;
const STATE_SAMPLE: number = FRAME_STATE + 20;

function start(
  kernel: Kernel,
  frame: number,
  map: number,
  callback: number,
  ctxLow: number,
  ctxHigh: number,
  flagsLow: number,
  flagsHigh: number,
): boolean {
  const { mem, run } = kernel;
  const { u32 } = mem;
  if (flagsHigh !== 0 || (flagsLow & ~WAKEUP_FLAGS) !== 0) return done(kernel, frame, -EINVAL);
  const busy = beginDrain(mem, map >>> 0);
  if (busy !== 0) return done(kernel, frame, busy);
  if (!hold(mem, run, HELD_DRAIN, map >>> 0, 0, 0)) {
    endDrain(mem, map >>> 0);
    return done(kernel, frame, -ENOMEM);
  }
  u32[(frame + STATE_MAP) >>> 2] = map;
  u32[(frame + STATE_FLAGS) >>> 2] = flagsLow;
  u32[(frame + STATE_SAMPLES) >>> 2] = 0;
  u32[(frame + STATE_DISCARDED) >>> 2] = 0;
  setCallback(kernel, frame, callback);
  const args = (frame + FRAME_ARGS) >>> 2;
  u32[args + 2] = ctxLow;
  u32[args + 3] = ctxHigh;
  return goOn(kernel, frame);
}

/** What the function returns other than 0 ends the drain; its sample counts. */
function next(kernel: Kernel, frame: number, low: number, high: number): boolean {
  const { mem } = kernel;
  const { u32 } = mem;
  hideSample(kernel, frame);
  releaseSample(kernel, u32[(frame + STATE_MAP) >>> 2]!, u32[(frame + STATE_SIZE) >>> 2]!);
  u32[(frame + STATE_SAMPLES) >>> 2]!++;
  return (low | high) === 0 ? goOn(kernel, frame) : finish(kernel, frame, 0);
}

/** On to the next sample that was not discarded, if there is one. */
function goOn(kernel: Kernel, frame: number): boolean {
  const { u32 } = kernel.mem;
  const map = u32[(frame + STATE_MAP) >>> 2]!;
  while (u32[(frame + STATE_SAMPLES) >>> 2]! < MAX_SAMPLES) {
    const sample = nextSample(kernel, map, frame + STATE_SIZE);
    if (sample >= 0) return showSample(kernel, frame, sample) || finish(kernel, frame, -ENOMEM);
    if (sample !== -EAGAIN) return finish(kernel, frame, sample === -ENODATA ? 0 : sample);
    u32[(frame + STATE_SAMPLES) >>> 2]!++;
    u32[(frame + STATE_DISCARDED) >>> 2]!++;
  }
  return finish(kernel, frame, 0);
}

/** The function gets a dynptr over the sample, as user space's bytes stand there: also what it checked may change. */
function showSample(kernel: Kernel, frame: number, sample: number): boolean {
  const { mem, run } = kernel;
  const { u32 } = mem;
  const size = u32[(frame + STATE_SIZE) >>> 2]!;
  const dynptr = putFrameDynptr(kernel);
  if (dynptr === 0 || !hold(mem, run, HELD_WRITABLE, 0, sample, size)) return false;
  fillDynptr(kernel, dynptr, DYNPTR_LOCAL, sample, size);
  u32[(frame + STATE_SAMPLE) >>> 2] = sample;
  u32[(frame + FRAME_ARGS) >>> 2] = dynptr;
  return true;
}

/** The dynptr goes, and all that were made of it. */
function hideSample(kernel: Kernel, frame: number): void {
  const { mem, run } = kernel;
  const sample = mem.u32[(frame + STATE_SAMPLE) >>> 2]!;
  takeDynptrsWith(kernel, D_BASE, sample);
  letGo(mem, run, findHeld(mem, run, HELD_WRITABLE, sample));
}

/** The count of samples that the function was called for, or an error that came after them. */
function finish(kernel: Kernel, frame: number, error: number): boolean {
  const { mem, run } = kernel;
  const { u32 } = mem;
  const map = u32[(frame + STATE_MAP) >>> 2]!;
  const samples = u32[(frame + STATE_SAMPLES) >>> 2]!;
  const flags = u32[(frame + STATE_FLAGS) >>> 2]!;
  letGo(mem, run, findHeld(mem, run, HELD_DRAIN, 0));
  endDrain(mem, map);
  if (flags & BPF_RB_FORCE_WAKEUP || ((flags & BPF_RB_NO_WAKEUP) === 0 && samples > 0)) kernel.wake();
  return done(kernel, frame, error === 0 ? samples - u32[(frame + STATE_DISCARDED) >>> 2]! : error);
}

/** The helper returns; the function is not called (again). */
function done(kernel: Kernel, frame: number, result: number): boolean {
  setResult(kernel, frame, result);
  return false;
}

export const userRingHelpers: Readonly<Record<number, Helper>> = {
  [BPF_FUNC_user_ringbuf_drain]: {
    name: "bpf_user_ringbuf_drain",
    since: "6.1",
    gplOnly: false,
    args: ["map", "callback", "u64", "u64"],
    result: "u64",
    callback: { start, next },
  },
};
