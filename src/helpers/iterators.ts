/**
 * Open-coded iterators: over numbers, and over the bits of some words. `next` gives the address of an int in the run's
 * table, which the program may read. Kernel counterpart: kernel/bpf/bpf_iter.c, helpers.c.
 */

import { emitFindHeld, emitHold, emitLetGo, heldEntry, heldIsFull } from "../kern/held_gen.ts";
import type { Kernel } from "../kern/kernel.ts";
import { memoryOk } from "../kern/reach.ts";
import {
  findHeld,
  HELD_ADDRESS,
  HELD_ALLOCATED,
  HELD_KIND,
  HELD_OBJECT,
  HELD_READABLE,
  hold,
  letGo,
  RUN_HELD_COUNT,
} from "../kern/run_record.ts";
import {
  OBJECT_BITS,
  OBJECT_NUM,
  OBJECT_STATE,
  putStackObject,
  stackObject,
  takeStackObject,
} from "../kern/stack_objects.ts";
import { emitObjectOf, emitPutStackObject, emitTakeStackObject } from "../kern/stack_objects_gen.ts";
import { alloc, free } from "../mem/alloc.ts";
import { type Attempt, type KnownGen, UNDONE } from "../struct/gen.ts";
import { E2BIG, EFAULT, EINVAL, ENOMEM, ERANGE } from "../uapi/index.ts";
import { blockValue, type Local32, local32, when } from "../wasm/expr.ts";
import type { Kfunc } from "./types.ts";

/** The int that the program reads: the number, or the bit's index. */
const I_VALUE: number = OBJECT_STATE;
/** Numbers: one behind the last; bits: how many there are. */
const I_END: number = OBJECT_STATE + 4;
/** Bits: a copy of the words. */
const I_WORDS: number = OBJECT_STATE + 8;
export const INT_SIZE = 4;
const WORD_SIZE = 8;
const BITS_PER_WORD = 64;

export const NUM_NEW = "bpf_iter_num_new";
export const NUM_NEXT = "bpf_iter_num_next";
export const NUM_DESTROY = "bpf_iter_num_destroy";
export const NUM_BYTES = 8;
const BITS_BYTES = 16;
/** Most numbers that one iterator gives, and most words of bits. */
const MAX_NUMBERS = 8 * 1024 * 1024;
const MAX_WORDS = 511;

/** Lets the program read the iterator's int. */
function showValue({ mem, run }: Kernel, iterator: number): boolean {
  const at = iterator + I_VALUE;
  return findHeld(mem, run, HELD_READABLE, at) !== 0 || hold(mem, run, HELD_READABLE, 0, at, INT_SIZE);
}

function hideValue({ mem, run }: Kernel, iterator: number): void {
  const held = findHeld(mem, run, HELD_READABLE, iterator + I_VALUE);
  if (held !== 0) letGo(mem, run, held);
}

/** From `start` up to, not including, `end`. An iterator that was refused is there, and empty. */
function numNew(kernel: Kernel, to: number, start: number, end: number): number {
  const { i32 } = kernel.mem;
  const iterator = putStackObject(kernel, to >>> 0, OBJECT_NUM, NUM_BYTES);
  if (iterator === 0 || !showValue(kernel, iterator)) return -ENOMEM;
  const count = (end | 0) - (start | 0);
  if (count < 0) return -EINVAL;
  if (count > MAX_NUMBERS) return -E2BIG;
  i32[(iterator + I_VALUE) >>> 2] = start - 1;
  i32[(iterator + I_END) >>> 2] = end;
  return 0;
}

function numNext(kernel: Kernel, at: number): number {
  const { i32 } = kernel.mem;
  const iterator = stackObject(kernel, at, 0, OBJECT_NUM);
  const value = (iterator + I_VALUE) >>> 2;
  const end = (iterator + I_END) >>> 2;
  // The smallest number's predecessor wraps, and comes back here.
  const next = (i32[value]! + 1) | 0;
  if (next < i32[end]!) {
    i32[value] = next;
    return iterator + I_VALUE;
  }
  i32[value] = 0;
  i32[end] = 0;
  return 0;
}

function numDestroy(kernel: Kernel, at: number): number {
  const iterator = stackObject(kernel, at, 0, OBJECT_NUM);
  hideValue(kernel, iterator);
  takeStackObject(kernel, iterator);
  return 0;
}

/** Code for an iterator that lies in a word of a frame, which the code may write. */
function onWord(emit: Attempt): KnownGen {
  return (_, known) => (known.isStackWord(1) && known.memory(1, NUM_BYTES, true) ? emit : undefined);
}

/** As `numNew`, where no other iterator of this place shows its int still. */
const emitNew: Attempt = (call) => {
  const { code, run, args } = call;
  const [at, , start, , end] = args as [Local32, Local32, Local32, Local32, Local32];
  return blockValue(code, (leave) => {
    const count = local32(code, run.load(RUN_HELD_COUNT));
    const numbers = local32(code, end.sub(start));
    const isOdd = end.ltS(start).or(numbers.gtU(MAX_NUMBERS)).or(heldIsFull(run, count));
    when(isOdd, () => leave(UNDONE));
    const undone = (): void => leave(UNDONE);
    const iterator = emitPutStackObject(call, at, OBJECT_NUM, undone, (entry) =>
      when(emitFindHeld(code, run, HELD_READABLE, local32(code, entry.add(I_VALUE))), undone),
    );
    iterator.store(I_VALUE, start.sub(1));
    iterator.store(I_END, end);
    emitHold(code, run, count, [HELD_READABLE, 0, iterator.add(I_VALUE), INT_SIZE]);
    return 0;
  });
};

/** As `numNext`. */
const emitNext: Attempt = (call) => {
  const { code, args } = call;
  return blockValue(code, (end) => {
    const iterator = emitObjectOf(call, args[0]!, OBJECT_NUM, () => end(UNDONE));
    const next = local32(code, iterator.load(I_VALUE).add(1));
    when(next.ltS(iterator.load(I_END)), () => {
      iterator.store(I_VALUE, next);
      end(iterator.add(I_VALUE));
    });
    iterator.store(I_VALUE, 0);
    iterator.store(I_END, 0);
    return 0;
  });
};

/** As `numDestroy`, where the run has come to hold nothing since that it still holds. */
const emitDestroy: Attempt = (call) => {
  const { code, run, args } = call;
  return blockValue(code, (end) => {
    const iterator = emitObjectOf(call, args[0]!, OBJECT_NUM, () => end(UNDONE));
    const count = local32(code, run.load(RUN_HELD_COUNT));
    when(count.eqz(), () => end(UNDONE));
    const newest = local32(code, heldEntry(run, count.sub(1)));
    const isOther = newest
      .load(HELD_KIND)
      .xor(HELD_READABLE)
      .or(newest.load(HELD_ADDRESS).xor(iterator.add(I_VALUE)));
    when(isOther, () => end(UNDONE));
    emitLetGo(run);
    emitTakeStackObject(iterator);
    return 0;
  });
};

/** The words are read now. They may lie anywhere: what cannot be read is an error, not a fault. */
function bitsNew(kernel: Kernel, to: number, low: number, high: number, words: number): number {
  const { mem, run } = kernel;
  const iterator = putStackObject(kernel, to >>> 0, OBJECT_BITS, BITS_BYTES);
  if (iterator === 0 || !showValue(kernel, iterator)) return -ENOMEM;
  const count = words >>> 0;
  if (count === 0 || (low | high) === 0) return -EINVAL;
  if (count > MAX_WORDS) return -E2BIG;
  const bytes = count * WORD_SIZE;
  // One word is read by another way in the kernel, which has one errno.
  if (!memoryOk(kernel, low, high, bytes, false)) return count === 1 ? -EFAULT : -ERANGE;
  const copy = alloc(mem, bytes);
  if (copy === 0) return -ENOMEM;
  if (!hold(mem, run, HELD_ALLOCATED, bytes, copy, 0)) {
    free(mem, copy, bytes);
    return -ENOMEM;
  }
  mem.copy(copy, low >>> 0, bytes);
  mem.u32[(iterator + I_WORDS) >>> 2] = copy;
  mem.u32[(iterator + I_END) >>> 2] = count * BITS_PER_WORD;
  mem.i32[(iterator + I_VALUE) >>> 2] = -1;
  return 0;
}

function bitsNext(kernel: Kernel, at: number): number {
  const { u32, i32 } = kernel.mem;
  const iterator = stackObject(kernel, at, 0, OBJECT_BITS);
  const words = u32[(iterator + I_WORDS) >>> 2]! >>> 2;
  const end = u32[(iterator + I_END) >>> 2]!;
  let bit = i32[(iterator + I_VALUE) >>> 2]! + 1;
  while (bit < end && (u32[words + (bit >>> 5)]! & (1 << (bit & 31))) === 0) bit++;
  if (bit < end) {
    i32[(iterator + I_VALUE) >>> 2] = bit;
    return iterator + I_VALUE;
  }
  u32[(iterator + I_END) >>> 2] = 0;
  return 0;
}

function bitsDestroy(kernel: Kernel, at: number): number {
  const { mem, run } = kernel;
  const iterator = stackObject(kernel, at, 0, OBJECT_BITS);
  const copy = mem.u32[(iterator + I_WORDS) >>> 2]!;
  const held = copy === 0 ? 0 : findHeld(mem, run, HELD_ALLOCATED, copy);
  if (held !== 0) {
    const bytes = mem.u32[(held + HELD_OBJECT) >>> 2]!;
    letGo(mem, run, held);
    free(mem, copy, bytes);
  }
  hideValue(kernel, iterator);
  takeStackObject(kernel, iterator);
  return 0;
}

export const iteratorKfuncs: readonly Kfunc[] = [
  {
    name: NUM_NEW,
    since: "6.4",
    args: [{ stack: NUM_BYTES, sets: OBJECT_NUM }, "u32", "u32"],
    result: "errno",
    fn: numNew,
    known: onWord(emitNew),
  },
  {
    name: NUM_NEXT,
    since: "6.4",
    args: [{ object: OBJECT_NUM }],
    result: "pointer",
    fn: numNext,
    known: onWord(emitNext),
  },
  {
    name: NUM_DESTROY,
    since: "6.4",
    args: [{ object: OBJECT_NUM }],
    result: "void",
    fn: numDestroy,
    known: onWord(emitDestroy),
  },
  {
    name: "bpf_iter_bits_new",
    since: "6.11",
    args: [{ stack: BITS_BYTES, sets: OBJECT_BITS }, "u64", "u32"],
    result: "errno",
    fn: bitsNew,
  },
  { name: "bpf_iter_bits_next", since: "6.11", args: [{ object: OBJECT_BITS }], result: "pointer", fn: bitsNext },
  { name: "bpf_iter_bits_destroy", since: "6.11", args: [{ object: OBJECT_BITS }], result: "void", fn: bitsDestroy },
];
