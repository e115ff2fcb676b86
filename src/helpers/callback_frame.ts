/** What helpers that call functions of the program write into their frame: see `Callback`. */
import type { Kernel } from "../kern/kernel.ts";
import { FRAME_ARGS, FRAME_CALLBACK, FRAME_RESULT } from "../kern/run_record.ts";

const ARG_WORDS = 10;

/** The function to call. Its arguments are all 0 until they are set. */
export function setCallback({ mem: { u32 } }: Kernel, frame: number, callback: number): void {
  const args = (frame + FRAME_ARGS) >>> 2;
  u32[(frame + FRAME_CALLBACK) >>> 2] = callback;
  u32.fill(0, args, args + ARG_WORDS);
}

/** What the helper returns: a number, or a negative errno. */
export function setResult({ mem: { i32 } }: Kernel, frame: number, result: number): void {
  i32[(frame + FRAME_RESULT) >>> 2] = result;
  i32[(frame + FRAME_RESULT + 4) >>> 2] = result >> 31;
}
