/** What a codec is, and the one way to make one. */
import { CodecBuffer } from "./buffer.ts";
import { CodecError, show } from "./error.ts";
import type { CodecLayout } from "./layout.ts";

/**
 * Translates between a TypeScript value and the bytes that C has for it. `T` is what decoding gives, `In` what encoding
 * takes. Integers are little-endian unless the codec says otherwise; 32 bits and less are `number`, 64 bits `bigint`.
 *
 * `decode` and `encode` are for a single value; loops keep one `CodecBuffer` and call `read` and `write`.
 */
export interface Codec<T, In = T> {
  /** The type's name in this library, for messages: `u16.be`, `struct flow_key`. */
  readonly kind: string;
  /** Bytes. */
  readonly size: number;
  /** Bytes, a power of two: where C would place it. */
  readonly align: number;
  /** Fields, offsets and sizes as plain data. */
  readonly layout: CodecLayout;
  /** The value at `offset`. The caller has made sure that `size` bytes are there. */
  read(from: CodecBuffer, offset: number): T;
  /**
   * Writes all `size` bytes at `offset`, padding as zeros. The caller has made sure that they are there. After a
   * CodecError some of them may have been written.
   */
  write(to: CodecBuffer, offset: number, value: In): void;
  /** The value in `bytes` at `offset` (0 unless given). Too few bytes: CodecError. */
  decode(bytes: Uint8Array, offset?: number): T;
  /**
   * Puts the value into `bytes` at `offset`, or into `size` new bytes, and returns that array. A value that does not fit
   * the type, or too few bytes: CodecError.
   */
  encode(value: In, bytes?: Uint8Array, offset?: number): Uint8Array;
}

/** Any codec at all: for parameters that take one without caring for its types. */
export type AnyCodec = Codec<unknown, never>;

/** What decoding with `C` gives: `type Flow = Infer<typeof Flow>`. */
export type Infer<C> = C extends { read(from: CodecBuffer, offset: number): infer T } ? T : never;

/** What encoding with `C` takes. It differs from `Infer<C>` where decoding gives more than encoding needs, as in unions. */
export type InferInput<C> = C extends { write(to: CodecBuffer, offset: number, value: infer In): void } ? In : never;

/** Members of a struct that have a value, for those who want one without the others. */
export interface Column {
  readonly name: string;
  /** Bytes from the start of the struct. */
  readonly offset: number;
  readonly read: (from: CodecBuffer, offset: number) => unknown;
  readonly write: (to: CodecBuffer, offset: number, value: unknown) => void;
  /** Absent for a bit field. */
  readonly codec: Codec<unknown> | undefined;
}

/** What `makeCodec` needs: a name for messages, the layout, and the two halves. */
export interface CodecParts<T, In> {
  readonly kind: string;
  readonly layout: CodecLayout;
  readonly read: (from: CodecBuffer, offset: number) => T;
  readonly write: (to: CodecBuffer, offset: number, value: In) => void;
  /** Of a struct. */
  readonly columns?: readonly Column[];
}

/** Every codec is one of these, so that callers meet one object shape. */
class MadeCodec<T, In> implements Codec<T, In> {
  readonly kind: string;
  readonly size: number;
  readonly align: number;
  readonly layout: CodecLayout;
  readonly read: (from: CodecBuffer, offset: number) => T;
  readonly write: (to: CodecBuffer, offset: number, value: In) => void;
  readonly columns: readonly Column[] | undefined;

  constructor(parts: CodecParts<T, In>) {
    this.kind = parts.kind;
    this.size = parts.layout.size;
    this.align = parts.layout.align;
    this.layout = parts.layout;
    this.read = parts.read;
    this.write = parts.write;
    this.columns = parts.columns;
  }

  decode(bytes: Uint8Array, offset: number = 0): T {
    this.#check(bytes, offset);
    return this.read(new CodecBuffer(bytes), offset);
  }

  encode(value: In, bytes: Uint8Array = new Uint8Array(this.size), offset: number = 0): Uint8Array {
    this.#check(bytes, offset);
    this.write(new CodecBuffer(bytes), offset, value);
    return bytes;
  }

  #check(bytes: Uint8Array, offset: number): void {
    if (Number.isInteger(offset) && offset >= 0 && offset + this.size <= bytes.length) return;
    throw new CodecError("size", `${this.kind} needs ${this.size} bytes at ${offset}, the buffer has ${bytes.length}`);
  }
}

/** A codec from its two halves. `layout` must agree with what they read and write; neither may use `this`. */
export function makeCodec<T, In = T>(parts: CodecParts<T, In>): Codec<T, In> {
  return new MadeCodec(parts);
}

/** The columns of a struct's codec, undefined for any other. */
export function columnsOf(codec: object): readonly Column[] | undefined {
  return codec instanceof MadeCodec ? codec.columns : undefined;
}

/**
 * A codec that gives and takes another value for the same bytes.
 *
 *     const when = transform(u64, { decode: (ns) => new Date(Number(ns / 1_000_000n)), encode: (d: Date) => BigInt(d.getTime()) * 1_000_000n });
 */
export function transform<T, In, U, UIn = U>(
  codec: Codec<T, In>,
  by: { readonly decode: (value: T) => U; readonly encode: (value: UIn) => In },
): Codec<U, UIn> {
  const { decode, encode } = by;
  return makeCodec<U, UIn>({
    kind: `transform(${codec.kind})`,
    layout: codec.layout,
    read: (from, offset) => decode(codec.read(from, offset)),
    write: (to, offset, value) => codec.write(to, offset, encode(value)),
  });
}

/**
 * The same type at another alignment (bytes, a power of two), higher or lower than its own: C's
 * `__attribute__((aligned(n)))` on a member. `aligned(ipv6, 1)` is a `__u8[16]`.
 */
export function aligned<T, In>(codec: Codec<T, In>, align: number): Codec<T, In> {
  checkAlign(align);
  const { kind, layout } = codec;
  return makeCodec<T, In>({
    kind,
    layout: { ...layout, align },
    read: (from, offset) => codec.read(from, offset),
    write: (to, offset, value) => codec.write(to, offset, value),
  });
}

const MAX_ALIGN = 4096;

/** Alignments are powers of two; anything else is the caller's mistake. */
export function checkAlign(align: number): void {
  if (Number.isInteger(align) && align > 0 && align <= MAX_ALIGN && (align & (align - 1)) === 0) return;
  throw new CodecError(
    "range",
    `an alignment of ${align}; it is a power of two from 1 to ${MAX_ALIGN}`,
    align,
    "align",
  );
}

/** Lengths of arrays, strings and padding. 2^30 is far above what any map takes. */
export function checkLength(length: number, what: string): void {
  if (Number.isInteger(length) && length >= 0 && length <= 2 ** 30) return;
  throw new CodecError("range", `a length of ${show(length)}; it is a whole number from 0 to ${2 ** 30}`, length, what);
}
