/** The helpers of `ringbuf.ts` in compiled programs. What a run holds stands in its record, as always. */
import { emitHold, heldEntry } from "../kern/held_gen.ts";
import {
  HELD_ADDRESS,
  HELD_FIRST_ROOM,
  HELD_KIND,
  HELD_OBJECT,
  HELD_RING,
  RUN_HELD_COUNT,
} from "../kern/run_record.ts";
import { type Attempt, type HelperGen, type KnownGen, UNDONE } from "../struct/gen.ts";
import { WAKEUP_FLAGS } from "../struct/ring.ts";
import { emitCommit, emitRecord, emitWake } from "../struct/ring_gen.ts";
import { BPF_RINGBUF_HDR_SZ, EAGAIN } from "../uapi/index.ts";
import type { Code } from "../wasm/code.ts";
import { block, blockValue, const32, type Local32, local32, loop, when } from "../wasm/expr.ts";

export const genOutput: HelperGen = {
  inline: false,
  emit: (call) => {
    const { code, args, map } = call;
    const [data, size, flags, flagsHigh] = args as [Local32, Local32, Local32, Local32];
    return blockValue(code, (end) => {
      when(flags.gtU(WAKEUP_FLAGS).or(flagsHigh), () => end(call.helper));
      // Complete when the lock is dropped: unlike a reservation it cannot be left busy by a client that dies.
      const header = emitRecord(call, end, size, false, -EAGAIN, (record) => copyPayload(code, record, data, size));
      emitWake(call, const32(code, map), header, flags);
      return 0;
    });
  },
};

/** In words, then the bytes that are left. */
function copyPayload(code: Code, header: Local32, data: Local32, size: Local32): void {
  const to = local32(code, header);
  const from = local32(code, data);
  const left = local32(code, size);
  const copyAll = (bytes: number, copyOne: () => void): void =>
    block(code, (over) => {
      loop(code, (again) => {
        over.when(left.ltU(bytes));
        copyOne();
        to.set(to.add(bytes));
        from.set(from.add(bytes));
        left.set(left.sub(bytes));
        again.go();
      });
    });
  copyAll(8, () => to.store64(BPF_RINGBUF_HDR_SZ, from.load64()));
  copyAll(1, () => to.store8(BPF_RINGBUF_HDR_SZ, from.load8()));
}

export const genReserve: HelperGen = {
  inline: true,
  emit: (call) => {
    const { code, args, map, run } = call;
    const [size, sizeHigh, flags, flagsHigh] = args as [Local32, Local32, Local32, Local32];
    return blockValue(code, (end) => {
      const count = local32(code, run.load(RUN_HELD_COUNT));
      when(sizeHigh.or(flags).or(flagsHigh).or(count.geU(HELD_FIRST_ROOM)), () => end(call.helper));
      const header = emitRecord(call, end, size, true, 0, undefined);
      const sample = local32(code, header.add(BPF_RINGBUF_HDR_SZ));
      emitHold(code, run, count, [HELD_RING, map, sample, size]);
      return sample;
    });
  },
};

/**
 * The record that the run reserved last, and nothing else since: then no other entry has its address. `known`: the low
 * half of the flags.
 */
function attemptCommit(discard: boolean, known?: number): Attempt {
  return (call) => {
    const { code, run, args } = call;
    const [sample, sampleHigh, flags] = args as [Local32, Local32, Local32];
    return blockValue(code, (end) => {
      const count = local32(code, run.load(RUN_HELD_COUNT));
      when(count.eqz(), () => end(UNDONE));
      count.set(count.sub(1));
      const entry = local32(code, heldEntry(run, count));
      const differs = entry.load(HELD_KIND).xor(HELD_RING).or(entry.load(HELD_ADDRESS).xor(sample));
      when(differs.or(sampleHigh), () => end(UNDONE));
      run.store(RUN_HELD_COUNT, count);
      const header = local32(code, sample.sub(BPF_RINGBUF_HDR_SZ));
      emitCommit(call, entry.load(HELD_OBJECT), header, known ?? flags, discard);
      return 0;
    });
  };
}

/** Where the flags are known, which is all that makes it long, each call has its own. */
function knownCommit(discard: boolean): KnownGen {
  return (_, known) => {
    const flags = known.range(2);
    return flags === undefined || flags.min !== flags.max ? undefined : attemptCommit(discard, flags.min | 0);
  };
}

export const knownSubmit: KnownGen = knownCommit(false);
export const knownDiscard: KnownGen = knownCommit(true);
export const attemptSubmit: Attempt = attemptCommit(false);
export const attemptDiscard: Attempt = attemptCommit(true);
