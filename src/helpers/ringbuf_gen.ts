/** The helpers of `ringbuf.ts` in compiled programs. What a run holds stands in its record, as always. */
import {
  HELD_ADDRESS,
  HELD_BYTES,
  HELD_KIND,
  HELD_MAX,
  HELD_OBJECT,
  HELD_RING,
  HELD_SIZE,
  RUN_HELD,
  RUN_HELD_COUNT,
  RUN_HELD_ROOM,
} from "../kern/run_record.ts";
import type { Attempt, GenCall, HelperGen } from "../struct/gen.ts";
import { WAKEUP_FLAGS } from "../struct/ring.ts";
import { emitCommit, emitRecord, emitWake } from "../struct/ring_gen.ts";
import { BPF_RINGBUF_HDR_SZ, EAGAIN } from "../uapi/index.ts";
import { type Code, I32 } from "../wasm/code.ts";
import * as w from "../wasm/opcodes.ts";

/** Where the condition on the stack holds, the helper's own function decides: its result is what the block ends with. */
function leaveToHelper(call: GenCall, done: number): void {
  const { code } = call;
  code.open(w.IF);
  call.callHelper();
  code.br(done);
  code.end();
}

export const genOutput: HelperGen = {
  inline: false,
  emit: (call) => {
    const { code, args, map } = call;
    const [data, size, flags, flagsHigh] = args as [number, number, number, number];
    const done = code.open(w.BLOCK, I32);
    code.get(flags);
    code.i32(WAKEUP_FLAGS);
    code.op(w.I32_GT_U);
    code.get(flagsHigh);
    code.op(w.I32_OR);
    leaveToHelper(call, done);
    // Complete before anybody sees it: unlike a reservation it cannot be left busy by a client that dies.
    const header = emitRecord(call, done, size, false, -EAGAIN, (record) => copyPayload(code, record, data, size));
    emitWake(call, () => code.i32(map), header, flags);
    code.i32(0);
    code.end();
  },
};

/** In words, then the bytes that are left. */
function copyPayload(code: Code, header: number, data: number, size: number): void {
  const at = code.local(I32);
  const from = code.local(I32);
  const left = code.local(I32);
  const steps = [
    [8, w.I64_LOAD, w.I64_STORE],
    [1, w.I32_LOAD8_U, w.I32_STORE8],
  ] as const;
  code.get(header);
  code.set(at);
  code.get(data);
  code.set(from);
  code.get(size);
  code.set(left);
  for (const [bytes, load, store] of steps) {
    const over = code.open();
    const loop = code.loop();
    code.get(left);
    code.i32(bytes);
    code.op(w.I32_LT_U);
    code.br(over, true);
    code.get(at);
    code.get(from);
    code.memory(load);
    code.memory(store, BPF_RINGBUF_HDR_SZ);
    for (const local of [at, from]) {
      code.get(local);
      code.i32(bytes);
      code.op(w.I32_ADD);
      code.set(local);
    }
    code.get(left);
    code.i32(bytes);
    code.op(w.I32_SUB);
    code.set(left);
    code.br(loop);
    code.end();
    code.end();
  }
}

export const genReserve: HelperGen = {
  inline: false,
  emit: (call) => {
    const { code, args, map, run } = call;
    const [size, ...nothing] = args as [number, number, number, number];
    const count = code.local(I32);
    const done = code.open(w.BLOCK, I32);
    // What is no size, flags, and a list of what the run holds that is full.
    for (const [i, local] of nothing.entries()) {
      code.get(local);
      if (i > 0) code.op(w.I32_OR);
    }
    code.get(run);
    code.memory(w.I32_LOAD, RUN_HELD_COUNT);
    code.tee(count);
    code.get(run);
    code.memory(w.I32_LOAD, RUN_HELD_ROOM);
    code.op(w.I32_GE_U, w.I32_OR);
    code.get(count);
    code.i32(HELD_MAX);
    code.op(w.I32_GE_U, w.I32_OR);
    leaveToHelper(call, done);
    const header = emitRecord(call, done, size, true, 0, undefined);
    const sample = code.local(I32);
    const entry = code.local(I32);
    code.get(header);
    code.i32(BPF_RINGBUF_HDR_SZ);
    code.op(w.I32_ADD);
    code.set(sample);
    entryAt(code, run, count);
    code.set(entry);
    const fields: readonly (readonly [number, () => void])[] = [
      [HELD_KIND, () => code.i32(HELD_RING)],
      [HELD_OBJECT, () => code.i32(map)],
      [HELD_ADDRESS, () => code.get(sample)],
      [HELD_BYTES, () => code.get(size)],
    ];
    for (const [field, value] of fields) {
      code.get(entry);
      value();
      code.memory(w.I32_STORE, field);
    }
    code.get(run);
    code.get(count);
    code.i32(1);
    code.op(w.I32_ADD);
    code.memory(w.I32_STORE, RUN_HELD_COUNT);
    code.get(sample);
    code.end();
  },
};

/** Puts the address of an entry of what the run holds on the stack; its number is in the local. */
function entryAt(code: Code, run: number, number: number): void {
  code.get(run);
  code.memory(w.I32_LOAD, RUN_HELD);
  code.get(number);
  code.i32(HELD_SIZE);
  code.op(w.I32_MUL, w.I32_ADD);
}

/** The record that the run reserved last, and nothing else since: then no other entry has its address. */
function attemptCommit(discard: boolean): Attempt {
  return (call) => {
    const { code, run, args } = call;
    const [sample, sampleHigh, flags] = args as [number, number, number];
    const count = code.local(I32);
    const entry = code.local(I32);
    const ring = code.local(I32);
    const header = code.local(I32);
    const done = code.open(w.BLOCK, I32);
    const not = code.open();
    code.get(run);
    code.memory(w.I32_LOAD, RUN_HELD_COUNT);
    code.tee(count);
    code.op(w.I32_EQZ);
    code.br(not, true);
    code.get(count);
    code.i32(1);
    code.op(w.I32_SUB);
    code.set(count);
    entryAt(code, run, count);
    code.tee(entry);
    code.memory(w.I32_LOAD, HELD_KIND);
    code.i32(HELD_RING);
    code.op(w.I32_XOR);
    code.get(entry);
    code.memory(w.I32_LOAD, HELD_ADDRESS);
    code.get(sample);
    code.op(w.I32_XOR, w.I32_OR);
    code.get(sampleHigh);
    code.op(w.I32_OR);
    code.br(not, true);
    code.get(entry);
    code.memory(w.I32_LOAD, HELD_OBJECT);
    code.set(ring);
    code.get(run);
    code.get(count);
    code.memory(w.I32_STORE, RUN_HELD_COUNT);
    code.get(sample);
    code.i32(BPF_RINGBUF_HDR_SZ);
    code.op(w.I32_SUB);
    code.set(header);
    emitCommit(call, ring, header, flags, discard);
    code.i32(1);
    code.br(done);
    code.end();
    code.i32(0);
    code.end();
  };
}

export const attemptSubmit: Attempt = attemptCommit(false);
export const attemptDiscard: Attempt = attemptCommit(true);
