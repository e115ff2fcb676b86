/** bpf_loop: a function of the program, again and again. Kernel counterpart: kernel/bpf/bpf_iter.c. */
import type { Kernel } from "../kern/kernel.ts";
import { FRAME_ARGS, FRAME_RESULT, FRAME_STATE } from "../kern/run_record.ts";
import { BPF_FUNC_loop, E2BIG, EINVAL } from "../uapi/index.ts";
import { block, type Local64, local64, loop, when } from "../wasm/expr.ts";
import { setCallback, setResult } from "./callback_frame.ts";
import type { Helper, TurnsGen } from "./types.ts";

const MAX_LOOPS = 8 * 1024 * 1024;
/** -E2BIG, as a number of 32 bits: see `start`. */
const TOO_MANY = 2 ** 32 - E2BIG;
/** How often it is called. */
const STATE_TURNS: number = FRAME_STATE;

function start(
  kernel: Kernel,
  frame: number,
  turns: number,
  turnsHigh: number,
  callback: number,
  ctxLow: number,
  ctxHigh: number,
  flagsLow: number,
  flagsHigh: number,
): boolean {
  // The kernel compiles a call whose flags are a constant 0 into the program: turns are 64 bits there, though the helper
  // has a u32, and the refusal of too many is a number of 32 bits.
  const tooMany = turnsHigh !== 0 || turns >>> 0 > MAX_LOOPS;
  const refused = (flagsLow | flagsHigh) !== 0 ? -EINVAL : tooMany ? -E2BIG : 0;
  const { i32 } = kernel.mem;
  setResult(kernel, frame, refused);
  if (refused === -E2BIG) i32[(frame + FRAME_RESULT + 4) >>> 2] = 0;
  setCallback(kernel, frame, callback);
  i32[(frame + STATE_TURNS) >>> 2] = turns;
  const args = (frame + FRAME_ARGS) >>> 2;
  i32[args + 2] = ctxLow;
  i32[args + 3] = ctxHigh;
  return refused === 0 && turns !== 0;
}

/** The function gets the number of its turn; what it returns other than 0 ends the loop. */
function next({ mem: { u32 } }: Kernel, frame: number, low: number, high: number): boolean {
  const done = ++u32[(frame + FRAME_RESULT) >>> 2]!;
  u32[(frame + FRAME_ARGS) >>> 2] = done;
  return (low | high) === 0 && done < u32[(frame + STATE_TURNS) >>> 2]!;
}

const gen: TurnsGen = {
  functions: {},
  emit: ({ code, args, turn }) => {
    const [turns, , ctx, flags] = args as [Local64, Local64, Local64, Local64];
    const done = local64(code, 0);
    block(code, (out) => {
      const refuse = (errno: number): void => {
        done.set(errno);
        out.go();
      };
      when(flags.ne(0), () => refuse(-EINVAL));
      when(turns.leU(MAX_LOOPS).eqz(), () => refuse(TOO_MANY));
      out.when(turns.eqz());
      loop(code, (again) => {
        const returned = local64(code, turn(done, ctx));
        done.set(done.add(1));
        again.when(returned.eqz().and(done.ltU(turns)));
      });
    });
    return done;
  },
};

export const loopHelpers: Readonly<Record<number, Helper>> = {
  [BPF_FUNC_loop]: {
    name: "bpf_loop",
    since: "5.17",
    gplOnly: false,
    args: ["u64", "callback", "u64", "u64"],
    result: "u64",
    callback: { start, next, gen },
  },
};
