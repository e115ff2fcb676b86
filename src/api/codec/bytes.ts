/** Runs of bytes: as they are, as text, as padding. */
import { type Codec, checkLength, makeCodec } from "./codec.ts";
import { CodecError, show, wrongType } from "./error.ts";

const MAX_CODES = 64;

/** `n` bytes as they are, alignment 1. Decoding gives a private copy; encoding takes a Uint8Array of exactly `n` bytes. */
export function bytes(n: number): Codec<Uint8Array> {
  checkLength(n, "bytes");
  const kind = `bytes(${n})`;
  return makeCodec<Uint8Array>({
    kind,
    layout: { kind: "bytes", size: n, align: 1 },
    // A slice of shared memory is an ordinary buffer.
    read: (from, offset) => from.bytes.slice(offset, offset + n),
    write: (to, offset, value) => {
      if (!(value instanceof Uint8Array)) throw wrongType(value, kind, "a Uint8Array");
      if (value.length !== n) throw new CodecError("range", `${value.length} bytes; ${kind} takes exactly ${n}`, value);
      to.bytes.set(value, offset);
    },
  });
}

/**
 * `char[n]` as text in UTF-8, alignment 1. Decoding stops at the first NUL and replaces what is no UTF-8 by U+FFFD; use
 * `bytes(n)` where every byte counts, as in a key with bytes after the NUL. Encoding fills up with NULs; there is always
 * one, unless `terminated` is false: then text of exactly `n` bytes is taken too, as by `strncpy`.
 */
export function cstring(n: number, options: { readonly terminated?: boolean } = {}): Codec<string> {
  checkLength(n, "cstring");
  const kind = `cstring(${n})`;
  const most = options.terminated === false ? n : Math.max(0, n - 1);
  return makeCodec<string>({
    kind,
    layout: { kind: "cstring", size: n, align: 1 },
    read: (from, offset) => {
      const { bytes } = from;
      const codes: number[] = [];
      for (let i = 0; i < n; i++) {
        const byte = bytes[offset + i]!;
        if (byte === 0) break;
        // Below this length and for ASCII, making the string from its codes is quicker than a TextDecoder.
        if (byte >= 0x80 || i === MAX_CODES) return decodeUtf8(bytes, offset, n);
        codes.push(byte);
      }
      return String.fromCharCode.apply(null, codes);
    },
    write: (to, offset, value) => {
      if (typeof value !== "string") throw wrongType(value, kind, "text");
      const { bytes } = to;
      if (value.length > most) tooLong(value, kind, most);
      let i = 0;
      for (; i < value.length; i++) {
        const code = value.charCodeAt(i);
        if (code === 0) throw new CodecError("range", `${show(value)} has a NUL at ${i}, where C ends it`, value);
        if (code >= 0x80) {
          i = encodeUtf8(value, kind, most, bytes, offset);
          break;
        }
        bytes[offset + i] = code;
      }
      if (i < n) bytes.fill(0, offset + i, offset + n);
    },
  });
}

function tooLong(value: string, kind: string, most: number): never {
  const { length } = new TextEncoder().encode(value);
  throw new CodecError("range", `${show(value)} has ${length} bytes in UTF-8; ${kind} takes at most ${most}`, value);
}

function decodeUtf8(bytes: Uint8Array, offset: number, n: number): string {
  // In browsers a TextDecoder refuses shared memory.
  const copy = bytes.slice(offset, offset + n);
  const end = copy.indexOf(0);
  return new TextDecoder("utf-8", { ignoreBOM: true }).decode(end < 0 ? copy : copy.subarray(0, end));
}

/** Writes text that is not plain ASCII; returns its length in bytes. */
function encodeUtf8(value: string, kind: string, most: number, to: Uint8Array, offset: number): number {
  if (/\p{Surrogate}/u.test(value)) {
    throw new CodecError("range", `${show(value)} has half a surrogate pair, which UTF-8 cannot hold`, value);
  }
  const nul = value.indexOf("\0");
  if (nul >= 0) throw new CodecError("range", `${show(value)} has a NUL at ${nul}, where C ends it`, value);
  const encoded = new TextEncoder().encode(value);
  if (encoded.length > most) tooLong(value, kind, most);
  to.set(encoded, offset);
  return encoded.length;
}

/** `n` bytes without a value: always written as zeros, never looked at. In a struct the field is not part of the value. */
export interface PadCodec extends Codec<undefined> {
  readonly padding: true;
}

/** Padding that is spelled out, alignment 1. C's own padding needs none. */
export function pad(n: number): PadCodec {
  checkLength(n, "pad");
  const codec = makeCodec<undefined>({
    kind: `pad(${n})`,
    layout: { kind: "pad", size: n, align: 1 },
    read: () => undefined,
    write: (to, offset) => {
      to.bytes.fill(0, offset, offset + n);
    },
  });
  return Object.assign(codec, { padding: true as const });
}
