/**
 * Copies of bytes for who called: beyond 64 bytes V8 allocates typed arrays apart from other objects, which takes twenty
 * times as long as a view. So they are views of larger buffers, one behind the other, as Node makes its small Buffers.
 */

/** What V8 has room for among its objects. */
const IN_HEAP = 64;
/** A copy that is kept keeps so many bytes. */
const BUFFER = 16 * 1024;
/** Longer ones have a buffer of their own: of four that share one the last would mostly not fit. */
const LONGEST: number = BUFFER / 4;
const WORD = 8;

export class Copies {
  #buffer = new ArrayBuffer(0);
  #at = 0;

  of(bytes: Uint8Array): Uint8Array {
    const { length } = bytes;
    if (length <= IN_HEAP || length > LONGEST) return new Uint8Array(bytes);
    // Of a buffer that was transferred to another thread nothing is left.
    if (this.#at + length > this.#buffer.byteLength) {
      this.#buffer = new ArrayBuffer(BUFFER);
      this.#at = 0;
    }
    const copy = new Uint8Array(this.#buffer, this.#at, length);
    copy.set(bytes);
    this.#at = Math.ceil((this.#at + length) / WORD) * WORD;
    return copy;
  }
}
