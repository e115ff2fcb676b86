/** The string section: NUL-terminated texts, addressed by byte offset. */
/**
 * The section is decoded once, as a whole; a text is then cut out of it in constant time. Decoding or searching each text
 * on its own would let a hostile file refer to the tails of one long text a million times.
 */
export class BtfStrings {
  readonly length: number;
  readonly #text: string;
  /** Byte offset → where in `#text` the text that it lies in ends. */
  readonly #ends: Uint32Array;
  /** Byte offset → where in `#text` that byte's character is; undefined while each byte is one character. */
  readonly #starts: Uint32Array | undefined;

  /** `bytes` ends with NUL (the parser has checked it). */
  constructor(bytes: Uint8Array) {
    this.length = bytes.length;
    this.#text = decode(bytes);
    const starts = this.#text.length === bytes.length ? undefined : characterStarts(bytes);
    const ends = new Uint32Array(bytes.length);
    let end = 0;
    for (let i = bytes.length - 1; i >= 0; i--) {
      if (bytes[i] === 0) end = starts?.[i] ?? i;
      ends[i] = end;
    }
    this.#starts = starts;
    this.#ends = ends;
  }

  /** The text at an offset, or undefined outside the section. */
  at(offset: number): string | undefined {
    const end = this.#ends[offset];
    return end === undefined ? undefined : this.#text.slice(this.#starts?.[offset] ?? offset, end);
  }

  /** Length of the text at an offset, -1 outside the section. */
  lengthAt(offset: number): number {
    const end = this.#ends[offset];
    return end === undefined ? -1 : end - (this.#starts?.[offset] ?? offset);
  }
}

/** UTF-8 or, where it is not that, a character for each byte. */
function decode(bytes: Uint8Array): string {
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    return new TextDecoder("latin1").decode(bytes);
  }
}

/** For valid UTF-8. A byte inside a character stands for that character. */
function characterStarts(bytes: Uint8Array): Uint32Array {
  const starts = new Uint32Array(bytes.length);
  let next = 0;
  let current = 0;
  bytes.forEach((byte, i) => {
    const continuation = (byte & 0xc0) === 0x80;
    if (!continuation) {
      current = next;
      next += byte >= 0xf0 ? 2 : 1; // outside the BMP JavaScript needs two units
    }
    starts[i] = current;
  });
  return starts;
}
