/**
 * The two text streams of a program, as Linux 6.18 has them: messages in a bounded list of blocks, read once. What went
 * wrong in a run goes to BPF_STDERR.
 */
import { alloc, free } from "../mem/alloc.ts";
import { lock, unlock } from "../mem/locks.ts";
import type { Memory } from "../mem/memory.ts";

/** A stream: lock, oldest and newest message, bytes that were not read yet. */
const S_LOCK = 0;
const S_FIRST = 4;
const S_LAST = 8;
const S_BYTES = 12;
export const STREAM_SIZE = 16;

/** A message: next, length, how much of it was read, text. */
const M_NEXT = 0;
const M_LENGTH = 4;
const M_READ = 8;
const M_TEXT = 12;

/** Bytes that a stream holds at most; what comes then is lost, as in the kernel. */
const CAPACITY = 100_000;

/** Bytes that wait to be read. */
export function pendingBytes(mem: Memory, stream: number): number {
  return mem.u32[(stream + S_BYTES) >>> 2]!;
}

/** Appends a message; false: the stream is full, or memory is out. */
export function writeStream(mem: Memory, stream: number, bytes: Uint8Array): boolean {
  lock(mem, stream + S_LOCK);
  const written = append(mem, stream, bytes);
  unlock(mem, stream + S_LOCK);
  return written;
}

function append(mem: Memory, stream: number, bytes: Uint8Array): boolean {
  const { u32 } = mem;
  const held = u32[(stream + S_BYTES) >>> 2]!;
  if (held + bytes.length > CAPACITY) return false;
  const message = alloc(mem, M_TEXT + bytes.length);
  if (message === 0) return false;
  u32[(message + M_LENGTH) >>> 2] = bytes.length;
  mem.u8.set(bytes, message + M_TEXT);
  const last = u32[(stream + S_LAST) >>> 2]!;
  u32[(last === 0 ? stream + S_FIRST : last + M_NEXT) >>> 2] = message;
  u32[(stream + S_LAST) >>> 2] = message;
  u32[(stream + S_BYTES) >>> 2] = held + bytes.length;
  return true;
}

/** Moves up to `size` bytes to `to`; returns how many. What was read is gone. */
export function readStream(mem: Memory, stream: number, to: number, size: number): number {
  const { u32 } = mem;
  lock(mem, stream + S_LOCK);
  let done = 0;
  for (let message = u32[(stream + S_FIRST) >>> 2]!; message !== 0 && done < size; ) {
    const read = u32[(message + M_READ) >>> 2]!;
    const length = u32[(message + M_LENGTH) >>> 2]!;
    const n = Math.min(length - read, size - done);
    mem.copy(to + done, message + M_TEXT + read, n);
    done += n;
    u32[(message + M_READ) >>> 2] = read + n;
    message = read + n === length ? dropFirst(mem, stream, message) : 0;
  }
  u32[(stream + S_BYTES) >>> 2]! -= done;
  unlock(mem, stream + S_LOCK);
  return done;
}

/** Takes the oldest message away; returns the next one. */
function dropFirst(mem: Memory, stream: number, message: number): number {
  const { u32 } = mem;
  const next = u32[(message + M_NEXT) >>> 2]!;
  u32[(stream + S_FIRST) >>> 2] = next;
  if (next === 0) u32[(stream + S_LAST) >>> 2] = 0;
  free(mem, message, M_TEXT + u32[(message + M_LENGTH) >>> 2]!);
  return next;
}

/** Gives back what was never read. */
export function freeStream(mem: Memory, stream: number): void {
  for (let message = mem.u32[(stream + S_FIRST) >>> 2]!; message !== 0; ) message = dropFirst(mem, stream, message);
}
