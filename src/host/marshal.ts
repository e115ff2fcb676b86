/**
 * Takes the attributes of a bpf() call in any of their forms and makes the kernel's bytes of them, in user memory.
 * Every host uses it, so that all forms of a call do the same. Buffers that lie elsewhere are staged: copied in, and
 * copied back when the command writes them. Their lengths are checked before anything happens.
 */
import { type AttrField, bpfCommands, type CommandRow, type PointerRule } from "../uapi/commands.ts";
import { bpf_attr, E2BIG, EFAULT, ENOMEM } from "../uapi/index.ts";
import { asBytes, encodeText, put64, putPlainFields, wrongField } from "./attr_fields.ts";
import type { Attr, AttrObject, AttrValue, UserBuffer, UserMemory } from "./host.ts";

/** What the lengths behind a map command's pointers depend on. */
export interface MapShape {
  readonly keySize: number;
  /** Bytes of a value in bpf(2): every CPU's for per-CPU types, 4 where values are fds. */
  readonly valueBytes: number;
  /** Bytes of a batch command's cursor: 4 (a bucket number) for hash types, a key for the others. */
  readonly cursorBytes: number;
}

/** What a host gives the marshaller. */
export interface MarshalTarget {
  readonly user: UserMemory;
  /** Of the map behind an fd; undefined when there is none. */
  shapeOf(fd: number): MapShape | undefined;
  /** The command on attributes in user memory, judged as bpf(2) does: addresses in them are not trusted. */
  raw(cmd: number, address: number, size: number): number;
  /** Told where the scratch memory lies that outlives a call, for who cleans up after a thread that died; 0: nowhere. */
  keep?(address: number, bytes: number): void;
}

const ATTR_SIZE = bpf_attr.size;
/** The kernel takes at most one page of attributes. */
const SIZE_MAX = 4096;
const FIRST_BLOCK = 64 * 1024;
/** Scratch memory grows up to this; what needs more gets memory of its own for the one call. */
const LARGEST_BLOCK = 16 * 1024 * 1024;
/** From this many bytes on `set` beats a loop. */
const COPY_LOOP_MAX = 64;
/** In no user memory. */
const NOWHERE = 1;

const align8 = (n: number): number => (n < 0x4000_0000 ? (n + 7) & ~7 : Math.ceil(n / 8) * 8);

/** How many bytes a command touches behind a pointer, by its rule and the attributes at `at`. Not for `text`. */
export function pointerLength(rule: PointerRule, attr: DataView, at: number, shape: MapShape | undefined): number {
  const { unit, times } = rule;
  let n = rule.scale;
  if (unit === "key") n *= shape === undefined ? 0 : shape.keySize;
  else if (unit === "value") n *= shape === undefined ? 0 : shape.valueBytes;
  else if (unit === "cursor") n *= shape === undefined ? 0 : shape.cursorBytes;
  for (let i = 0; i < times.length; i++) n *= attr.getUint32(at + times[i]!, true);
  return n;
}

/** How many bytes of a text are read: to its NUL, `most` if there is none; -1 when it ends before either. */
export function textLength(bytes: Uint8Array, from: number, most: number): number {
  const end = Math.min(bytes.length, from + most);
  for (let i = from; i < end; i++) if (bytes[i] === 0) return i + 1 - from;
  return end - from === most ? most : -1;
}

/** How many bytes of the attributes count when the caller did not say. */
export function defaultSize(cmd: number): number {
  return bpfCommands[cmd | 0]?.end ?? ATTR_SIZE;
}

/** Copies the first `n` bytes of `from` to `to[at...]`. */
function copyIn(to: Uint8Array, at: number, from: Uint8Array, n: number): void {
  if (n < COPY_LOOP_MAX) for (let i = 0; i < n; i++) to[at + i] = from[i]!;
  else to.set(n === from.length ? from : from.subarray(0, n), at);
}

/** Copies `n` bytes of `from[at...]` to the start of `to`. */
function copyOut(to: Uint8Array, from: Uint8Array, at: number, n: number): void {
  if (n < COPY_LOOP_MAX) for (let i = 0; i < n; i++) to[i] = from[at + i]!;
  else to.set(from.subarray(at, at + n));
}

/** Scratch memory and the views of it that are needed. */
interface Block {
  readonly buffer: UserBuffer;
  readonly bytes: Uint8Array;
  readonly view: DataView;
  readonly words: Float64Array;
  readonly address: number;
}

/**
 * Calls nest (a program run may call back into bpf()): the scratch block and the list of pointers are stacks, and a call
 * takes off what it put on. What does not fit the block gets an extra one, freed with the call; the block is replaced by
 * a larger one only when no call is under way.
 */
export class Marshal {
  readonly #target: MarshalTarget;
  #block: Block | undefined;
  #top = 0;
  /** How large the block should have been so far. */
  #wanted = FIRST_BLOCK;
  readonly #extras: Block[] = [];
  /** Where in the block that `#reserve` returned the bytes lie. */
  #at = 0;
  /** For each pointer field of the calls under way: what the caller gave, the bytes it needs, and where it is staged. */
  readonly #values: AttrValue[] = [];
  readonly #lengths: number[] = [];
  readonly #places: number[] = [];
  #pointers = 0;

  constructor(target: MarshalTarget) {
    this.#target = target;
  }

  /** Gives the scratch memory back. No call may follow. */
  end(): void {
    this.#replaceBlock(0);
  }

  bpf(cmd: number, attr: Attr, size?: number): number {
    if (typeof attr === "number") return this.#target.raw(cmd, attr, size ?? defaultSize(cmd));
    if (typeof attr === "bigint") return this.#target.raw(cmd, Number(attr), size ?? defaultSize(cmd));
    if (typeof attr !== "object" || attr === null) throw new TypeError("attr: expected an object, bytes or an address");
    const top = this.#top;
    const extras = this.#extras.length;
    const pointers = this.#pointers;
    try {
      return ArrayBuffer.isView(attr)
        ? this.#bytesForm(cmd, attr, size === undefined ? attr.byteLength : size >>> 0)
        : this.#objectForm(cmd, attr, size);
    } finally {
      this.#top = top;
      // Not to keep the caller's buffers alive.
      while (this.#pointers > pointers) this.#values[--this.#pointers] = undefined;
      if (this.#extras.length > extras) this.#freeExtras(extras);
    }
  }

  /** The kernel's bytes: used where they are when they lie in user memory and what is written back fits them. */
  #bytesForm(cmd: number, attr: ArrayBufferView, size: number): number {
    if (size > SIZE_MAX) return -E2BIG;
    if (size > attr.byteLength) return -EFAULT;
    const address = this.#addressOf(attr);
    const writesTo = bpfCommands[cmd | 0]?.writesTo ?? ATTR_SIZE;
    if (address >= 0 && attr.byteLength >= writesTo) return this.#target.raw(cmd, address, size);
    const n = Math.min(attr.byteLength, SIZE_MAX);
    const room = Math.max(n, ATTR_SIZE);
    const block = this.#reserve(room);
    if (block === undefined) return -ENOMEM;
    const at = this.#at;
    const bytes = asBytes(attr);
    copyIn(block.bytes, at, bytes, n);
    block.bytes.fill(0, at + n, at + room);
    const result = this.#target.raw(cmd, block.address + at, size);
    copyOut(bytes, block.bytes, at, n);
    return result;
  }

  #objectForm(cmd: number, attr: AttrObject, given: number | undefined): number {
    const row = bpfCommands[cmd | 0];
    if (row === undefined) {
      throw new TypeError(`bpf command ${cmd} is not known by field names: give its attributes as bytes`);
    }
    const size = given === undefined ? row.end : given >>> 0;
    if (size > SIZE_MAX) return -E2BIG;
    const block = this.#reserve(Math.max(size, ATTR_SIZE));
    if (block === undefined) return -ENOMEM;
    const at = this.#at;
    const { words } = block;
    for (let w = at / 8, end = w + align8(Math.max(size, row.end)) / 8; w < end; w++) words[w] = 0;
    const first = this.#pointers;
    const { length } = row.pointers;
    this.#pointers = first + length;
    for (let i = first; i < first + length; i++) this.#values[i] = undefined;
    putPlainFields(block.bytes, block.view, at, row, attr, this.#values, first);
    if (length === 0) return this.#finish(row, attr, block, at, size);
    const total = this.#measure(row, block, at, first);
    if (total < 0) return total;
    const stage = total === 0 ? block : this.#reserve(total);
    if (stage === undefined) return -ENOMEM;
    this.#stage(row, block, at, first, stage, this.#at);
    const result = this.#finish(row, attr, block, at, size);
    this.#unstage(row, first, stage);
    return result;
  }

  /**
   * Address of a view in user memory, else -1. A short view from the first byte of its buffer is never taken for one:
   * most buffers are of that kind, no allocation in user memory is, and asking for `buffer` costs as much as a copy.
   */
  #addressOf(view: ArrayBufferView): number {
    return view.byteOffset === 0 && view.byteLength < SIZE_MAX ? -1 : this.#target.user.addressOf(view);
  }

  #finish(row: CommandRow, attr: AttrObject, block: Block, at: number, size: number): number {
    const result = this.#target.raw(row.number, block.address + at, size);
    writeBack(row, attr, block.view, at, result >= 0);
    return result;
  }

  /** Checks what the caller gave for pointers. How many bytes must be staged, or -EFAULT. */
  #measure(row: CommandRow, block: Block, at: number, first: number): number {
    const shape = row.mapFd < 0 ? undefined : this.#target.shapeOf(block.view.getUint32(at + row.mapFd, true));
    let total = 0;
    for (let i = 0; i < row.pointers.length; i++) {
      const field = row.pointers[i]!;
      const rule = field.pointer!;
      let value = this.#values[first + i];
      let length = 0;
      this.#places[first + i] = -1;
      if (typeof value === "string") {
        if (rule.unit !== "text") throw wrongField(row, field, value, "a buffer, an address or null");
        value = encodeText(value);
      }
      if (ArrayBuffer.isView(value)) {
        length = neededLength(rule, block.view, at, shape, value);
        if (length < 0 || length > value.byteLength) return -EFAULT;
        if (rule.zero === "all" && rule.direction !== "in") boundBySize(rule, block.view, at, length);
        const address = this.#addressOf(value);
        if (length === 0 && rule.zero === "all") {
          value = NOWHERE;
        } else if (address >= 0) {
          value = address;
        } else {
          this.#places[first + i] = total;
          total += align8(length);
        }
      } else if (value !== undefined && value !== null && typeof value !== "number" && typeof value !== "bigint") {
        throw wrongField(row, field, value, "a buffer (a view such as Uint8Array), an address or null");
      }
      this.#values[first + i] = value;
      this.#lengths[first + i] = length;
    }
    return total;
  }

  /** Copies buffers in and writes the addresses. `from`: where in the block `stage` there is room. */
  #stage(row: CommandRow, block: Block, at: number, first: number, stage: Block, from: number): void {
    for (let i = 0; i < row.pointers.length; i++) {
      const field = row.pointers[i]!;
      const value = this.#values[first + i];
      if (value === undefined || value === null) continue;
      let address = value as number | bigint;
      if (this.#places[first + i]! >= 0) {
        const place = from + this.#places[first + i]!;
        this.#places[first + i] = place;
        copyIn(stage.bytes, place, asBytes(value as ArrayBufferView), this.#lengths[first + i]!);
        address = stage.address + place;
      }
      put64(block.view, at + field.offset, row, field, address);
    }
  }

  #unstage(row: CommandRow, first: number, stage: Block): void {
    for (let i = 0; i < row.pointers.length; i++) {
      const place = this.#places[first + i]!;
      if (place < 0 || row.pointers[i]!.pointer!.direction === "in") continue;
      copyOut(asBytes(this.#values[first + i] as ArrayBufferView), stage.bytes, place, this.#lengths[first + i]!);
    }
  }
  /** Scratch memory for this call, at `#at` of the block returned. Undefined: user memory is used up. */
  #reserve(bytes: number): Block | undefined {
    const wanted = this.#top + align8(bytes);
    if (wanted > this.#wanted && wanted <= LARGEST_BLOCK) this.#wanted = wanted;
    if (this.#block === undefined) this.#replaceBlock(Math.max(FIRST_BLOCK, bytes));
    const block = this.#block;
    if (block !== undefined && wanted <= block.bytes.length) {
      this.#at = this.#top;
      this.#top = wanted;
      return block;
    }
    const extra = this.#newBlock(bytes);
    if (extra !== undefined) this.#extras.push(extra);
    this.#at = 0;
    return extra;
  }

  #newBlock(bytes: number): Block | undefined {
    try {
      const buffer = this.#target.user.alloc(bytes);
      const { bytes: all } = buffer;
      const view = new DataView(all.buffer, all.byteOffset, all.byteLength);
      const words = new Float64Array(all.buffer, all.byteOffset, Math.floor(all.byteLength / 8));
      return { buffer, bytes: all, view, words, address: Number(buffer.address) };
    } catch (error) {
      if (error instanceof RangeError) return undefined;
      throw error;
    }
  }

  #freeExtras(keep: number): void {
    while (this.#extras.length > keep) this.#extras.pop()!.buffer.free();
    if (this.#top > 0 || this.#block === undefined || this.#wanted <= this.#block.bytes.length) return;
    this.#replaceBlock(2 ** Math.ceil(Math.log2(this.#wanted)));
  }

  /** Gives the block back and takes another one, unless `bytes` is 0. */
  #replaceBlock(bytes: number): void {
    const target = this.#target;
    if (this.#block !== undefined) {
      target.keep?.(0, 0);
      this.#block.buffer.free();
    }
    this.#block = bytes === 0 ? undefined : this.#newBlock(bytes);
    if (this.#block !== undefined) target.keep?.(this.#block.address, bytes);
  }
}

/** How many of a buffer's bytes the command touches; -1: a text without its end. */
function neededLength(
  rule: PointerRule,
  attr: DataView,
  at: number,
  shape: MapShape | undefined,
  value: ArrayBufferView,
): number {
  if (rule.unit === "text") return textLength(asBytes(value), 0, rule.scale);
  const length = pointerLength(rule, attr, at, shape);
  return length === 0 && rule.zero === "all" ? value.byteLength : length;
}

/** Gives a command that would write without end the buffer's length as its end. */
function boundBySize(rule: PointerRule, attr: DataView, at: number, length: number): void {
  const field = at + rule.times[0]!;
  if (attr.getUint32(field, true) === 0) attr.setUint32(field, length, true);
}

/** Outputs go into the object: all of them after success, otherwise, as with corrections, those that changed. */
function writeBack(row: CommandRow, attr: AttrObject, view: DataView, at: number, success: boolean): void {
  for (let i = 0; i < row.outputs.length; i++) writeBackField(attr, row.outputs[i]!, view, at, success);
  for (let i = 0; i < row.corrections.length; i++) writeBackField(attr, row.corrections[i]!, view, at, false);
}

function writeBackField(attr: AttrObject, field: AttrField, view: DataView, at: number, always: boolean): void {
  const now = view.getUint32(at + field.offset, true);
  // Reflect.set: a frozen object keeps what it has, and the result of the call (an fd, perhaps) is not lost.
  if (always || now !== Number(attr[field.name] ?? 0) >>> 0) Reflect.set(attr, field.name, now);
}
