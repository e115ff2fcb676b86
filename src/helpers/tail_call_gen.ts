/** bpf_tail_call in compiled programs: finds the program that goes on. */
import { RUN_CURRENT, RUN_TAIL_CALLS } from "../kern/run_record.ts";
import type { HelperGen } from "../struct/gen.ts";
import { MAP_MAX_ENTRIES } from "../struct/map.ts";
import { SLOT_SIZE, slotsOf } from "../struct/slots.ts";
import { blockValue, const32, type Local32, local32, when } from "../wasm/expr.ts";

/**
 * What stands in the slot may be taken out at any time, by another thread too. The program that runs, and those that the
 * run holds since earlier tail calls, are there whatever happens to the slot; any other is looked up, and held, under the
 * slot's lock.
 */
export function genTailCall(max: number): HelperGen {
  return {
    inline: true,
    emit: ({ code, mem, map, args, run, helper, holds }) => {
      const [, index] = args as [Local32, Local32];
      return blockValue(code, (end) => {
        const calls = local32(code, run.load(RUN_TAIL_CALLS));
        when(calls.geU(max).or(index.geU(mem.u32[(map + MAP_MAX_ENTRIES) >>> 2]!)), () => end(0));
        const prog = local32(code, const32(code, slotsOf(mem, map)).add(index.mul(SLOT_SIZE)).load());
        when(prog.eqz(), () => end(0));
        when(prog.ne(run.load(RUN_CURRENT)), () => {
          when(holds(prog).eqz(), () => end(helper));
        });
        run.store(RUN_TAIL_CALLS, calls.add(1));
        return prog;
      });
    },
  };
}
