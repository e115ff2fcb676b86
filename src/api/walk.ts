/** Walking over a map: what every kind of walk tells. */
import type { CodecBuffer } from "./codec/index.ts";

/** Where a walk gets its elements: after `advance` gave true one lies at these places, until the next call. */
export interface WalkSource {
  advance(): boolean;
  readonly keys: CodecBuffer;
  readonly keyAt: number;
  readonly values: CodecBuffer;
  readonly valueAt: number;
  close(): void;
  readonly complete: boolean;
  readonly restarts: number;
  readonly skipped: number;
}

/**
 * A walk over a map's elements. It is its own iterator: keep it to learn afterwards how it went.
 *
 *     const walk = flows.entries();
 *     for (const [key, flow] of walk) if (flow.packets === 0n) flows.delete(key);
 *     if (!walk.complete) console.warn("the map changed faster than it could be read");
 *
 * Deleting or replacing the element that was just given is safe. Other changes during a walk may be seen or not; where a
 * walk had to start again (`restarts`) elements may come twice.
 */
export class Walk<T> implements IterableIterator<T> {
  #source: WalkSource | undefined;
  readonly #read: (source: WalkSource) => T;
  #done: { readonly complete: boolean; readonly restarts: number; readonly skipped: number };

  constructor(source: WalkSource, read: (source: WalkSource) => T) {
    this.#source = source;
    this.#read = read;
    this.#done = { complete: false, restarts: 0, skipped: 0 };
  }

  next(): IteratorResult<T, undefined> {
    const source = this.#source;
    if (source === undefined) return { done: true, value: undefined };
    let more = false;
    try {
      more = source.advance();
      if (more) return { done: false, value: this.#read(source) };
    } catch (error) {
      this.#end(source, false);
      throw error;
    }
    this.#end(source, source.complete);
    return { done: true, value: undefined };
  }

  /** Ends the walk early, as `break` does. */
  return(): IteratorResult<T, undefined> {
    if (this.#source !== undefined) this.#end(this.#source, false);
    return { done: true, value: undefined };
  }

  #end(source: WalkSource, complete: boolean): void {
    this.#done = { complete, restarts: source.restarts, skipped: source.skipped };
    this.#source = undefined;
    source.close();
  }

  /** True once every element has been visited. False also while the walk goes on, and when it was broken off. */
  get complete(): boolean {
    return this.#done.complete;
  }

  /** How often it began again because the place where it stood had been deleted. */
  get restarts(): number {
    return (this.#source ?? this.#done).restarts;
  }

  /** Elements that were deleted by others between being found and being read. */
  get skipped(): number {
    return (this.#source ?? this.#done).skipped;
  }

  [Symbol.iterator](): Walk<T> {
    return this;
  }
}

/** How many elements are left in a source. */
export function countOf(source: WalkSource): number {
  let count = 0;
  try {
    while (source.advance()) count++;
  } finally {
    source.close();
  }
  return count;
}
