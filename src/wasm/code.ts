/** The instructions of one function as bytes, and its locals. */
import { Bug } from "../errors.ts";
import { RETURN_CALLS } from "./features.ts";
import {
  BLOCK,
  BR,
  BR_IF,
  CALL,
  CALL_INDIRECT,
  GLOBAL_GET,
  I32_CONST,
  I64_CONST,
  LOCAL_GET,
  LOCAL_SET,
  LOCAL_TEE,
  LOOP,
  MEMORY_COPY,
  RETURN,
  RETURN_CALL,
  RETURN_CALL_INDIRECT,
  TABLE_SIZE,
} from "./opcodes.ts";

export const I32 = 0x7f as const;
export const I64 = 0x7e as const;
/** Something of JavaScript's. */
export const EXTERNREF = 0x6f as const;
export type ValueType = typeof I32 | typeof I64 | typeof EXTERNREF;
/** A block that leaves nothing on the stack. */
export const EMPTY = 0x40;

const ATOMIC_PREFIX = 0xfe;
const BULK_PREFIX = 0xfc;
const VECTOR_PREFIX = 0xfd;
/** Arrays of so many bytes lie on the heap of JavaScript; larger ones take much longer to make. */
const FIRST_ROOM = 64;
/** A length that is put in once it is known. */
const LENGTH_BYTES = 5;
/** The index of a module's own function takes so many bytes: it is put in once all imports are known. */
const OWN_CALL = 3;
/** So many functions there can be. */
export const FUNCTIONS_MAX: number = 2 ** (7 * OWN_CALL);

export class Bytes {
  bytes: Uint8Array<ArrayBuffer>;
  length = 0;

  constructor(room: number = FIRST_ROOM) {
    this.bytes = new Uint8Array(room);
  }

  byte(value: number): void {
    if (this.length === this.bytes.length) this.#grow(1);
    this.bytes[this.length++] = value;
  }

  #grow(more: number): void {
    const wider = new Uint8Array(Math.max(this.bytes.length * 2, this.length + more));
    wider.set(this.bytes);
    this.bytes = wider;
  }

  /** The first `count` bytes of it. */
  append(other: Uint8Array, count: number = other.length): void {
    if (this.length + count > this.bytes.length) this.#grow(count);
    this.bytes.set(count === other.length ? other : other.subarray(0, count), this.length);
    this.length += count;
  }

  /** Unsigned LEB128 of a u32. */
  u32(value: number): void {
    let rest = value >>> 0;
    while (rest >= 0x80) {
      this.byte((rest & 0x7f) | 0x80);
      rest >>>= 7;
    }
    this.byte(rest);
  }

  /** Signed LEB128 of a 64-bit number in two halves. */
  s64(low: number, high: number): void {
    let l = low | 0;
    let h = high | 0;
    for (;;) {
      const bits = l & 0x7f;
      l = (l >>> 7) | (h << 25);
      h >>= 7;
      if ((l === 0 && h === 0 && (bits & 0x40) === 0) || (l === -1 && h === -1 && (bits & 0x40) !== 0)) {
        this.byte(bits);
        return;
      }
      this.byte(bits | 0x80);
    }
  }

  /** Leaves room for a length; `endLength` says that it is what was written since. */
  beginLength(): number {
    this.length += LENGTH_BYTES;
    while (this.length > this.bytes.length) this.#grow(LENGTH_BYTES);
    return this.length;
  }

  endLength(begin: number): void {
    let rest = this.length - begin;
    for (let at = begin - LENGTH_BYTES; at < begin - 1; at++) {
      this.bytes[at] = (rest & 0x7f) | 0x80;
      rest >>>= 7;
    }
    this.bytes[begin - 1] = rest;
  }

  get view(): Uint8Array {
    return this.bytes.subarray(0, this.length);
  }
}

/** A function's body under construction. Locals are numbered behind the parameters. */
export class Code extends Bytes {
  readonly #locals: ValueType[] = [];
  readonly #params: number;
  readonly #returnCalls: boolean;
  /** Calls of the module's own functions: where, and which. */
  readonly #calls: number[] = [];
  /** Blocks, loops and ifs that are open. */
  depth = 0;

  /** `room`: about so many bytes there will be. `returnCalls`: whether the engine has such calls. */
  constructor(params: number, room?: number, returnCalls: boolean = RETURN_CALLS) {
    super(room);
    this.#params = params;
    this.#returnCalls = returnCalls;
  }

  local(type: ValueType): number {
    return this.#params + this.#locals.push(type) - 1;
  }

  op(first: number, second?: number, third?: number): void {
    this.byte(first);
    if (second !== undefined) this.byte(second);
    if (third !== undefined) this.byte(third);
  }

  get(local: number): void {
    this.byte(LOCAL_GET);
    this.u32(local);
  }

  set(local: number): void {
    this.byte(LOCAL_SET);
    this.u32(local);
  }

  tee(local: number): void {
    this.byte(LOCAL_TEE);
    this.u32(local);
  }

  i32(value: number): void {
    this.byte(I32_CONST);
    this.s64(value | 0, value >> 31);
  }

  i64(low: number, high: number): void {
    this.byte(I64_CONST);
    this.s64(low, high);
  }

  /** A load or store; the address on the stack may have any alignment. `offset` is added without wrapping. */
  memory(opcode: number, offset = 0): void {
    this.byte(opcode);
    this.byte(0);
    this.u32(offset);
  }

  /** The same of a vector, where the engine has them: `VECTORS`. */
  vector(opcode: number, offset = 0): void {
    this.byte(VECTOR_PREFIX);
    this.memory(opcode, offset);
  }

  /** An atomic instruction on 4 or 8 bytes, at a multiple of that. */
  atomic(opcode: number, size: 4 | 8, offset = 0): void {
    this.byte(ATOMIC_PREFIX);
    this.byte(opcode);
    this.byte(size === 4 ? 2 : 3);
    this.u32(offset);
  }

  fence(opcode: number): void {
    this.byte(ATOMIC_PREFIX);
    this.byte(opcode);
    this.byte(0);
  }

  bulk(opcode: number): void {
    this.byte(BULK_PREFIX);
    this.byte(opcode);
    if (opcode === MEMORY_COPY) this.byte(0);
    this.byte(0);
  }

  /** BLOCK, LOOP or IF. Returns the level that `br` takes. */
  open(opcode: number = BLOCK, type: number = EMPTY): number {
    this.byte(opcode);
    this.byte(type);
    return ++this.depth;
  }

  end(): void {
    this.byte(0x0b);
    this.depth--;
  }

  /** Out of the block, or back to the head of the loop, that was opened as this level. */
  br(level: number, conditional = false): void {
    if (level > this.depth || level < 1) throw new Bug(`branch to level ${level} of ${this.depth}`);
    this.byte(conditional ? BR_IF : BR);
    this.u32(this.depth - level);
  }

  loop(): number {
    return this.open(LOOP);
  }

  global(index: number): void {
    this.byte(GLOBAL_GET);
    this.u32(index);
  }

  /** Returns what the function of this type at the index on the stack returns, of the module's table. */
  returnCallIndirect(type: number): void {
    this.byte(this.#returnCalls ? RETURN_CALL_INDIRECT : CALL_INDIRECT);
    this.u32(type);
    this.byte(0);
    if (!this.#returnCalls) this.byte(RETURN);
  }

  /** How long the module's table is. */
  tableSize(): void {
    this.byte(BULK_PREFIX);
    this.byte(TABLE_SIZE);
    this.byte(0);
  }

  /** `func`: as `ModuleBuilder` names functions. */
  call(func: number): void {
    this.byte(CALL);
    this.#callee(func);
  }

  /** Returns what it returns, in the place of this function where the engine can do that. */
  returnCall(func: number): void {
    this.byte(this.#returnCalls ? RETURN_CALL : CALL);
    this.#callee(func);
    if (!this.#returnCalls) this.byte(RETURN);
  }

  #callee(func: number): void {
    if (func >= 0) {
      this.u32(func);
      return;
    }
    this.#calls.push(this.length, -1 - func);
    for (let i = 0; i < OWN_CALL; i++) this.byte(0);
  }

  /** Writes locals and instructions, as the code section of a module with so many imported functions has them. */
  writeBody(to: Bytes, imported: number): void {
    const calls = this.#calls;
    for (let i = 0; i < calls.length; i += 2) {
      const at = calls[i]!;
      const func = imported + calls[i + 1]!;
      this.bytes[at] = (func & 0x7f) | 0x80;
      this.bytes[at + 1] = ((func >>> 7) & 0x7f) | 0x80;
      this.bytes[at + 2] = func >>> 14;
    }
    const locals = this.#locals;
    const begins = (i: number): boolean => i === 0 || locals[i] !== locals[i - 1];
    let runs = 0;
    for (let i = 0; i < locals.length; i++) if (begins(i)) runs++;
    to.u32(runs);
    for (let i = 0, first = 0; i < locals.length; i++) {
      if (begins(i)) first = i;
      if (i + 1 < locals.length && !begins(i + 1)) continue;
      to.u32(i + 1 - first);
      to.byte(locals[i]!);
    }
    to.append(this.bytes, this.length);
    to.byte(0x0b);
  }
}
