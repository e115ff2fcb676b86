/** Walking over a map: what every kind of walk tells. */
import { CodecBuffer } from "./codec/index.ts";

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

/** A source that removes what it gives. */
export interface TakingSource extends WalkSource {
  /** What is out of the map and was not given yet, in private memory; `current`: beginning with the element at hand. */
  leftover(current: boolean): BufferedSource;
}

/** Elements in private memory, one behind the other. */
export class BufferedSource implements WalkSource {
  readonly complete = true;
  readonly restarts = 0;
  readonly skipped = 0;
  readonly keys: CodecBuffer;
  readonly values: CodecBuffer;
  keyAt = 0;
  valueAt = 0;
  readonly #keySize: number;
  readonly #valueBytes: number;
  readonly #count: number;
  #index = 0;

  /** Copies `count` elements. */
  constructor(keys: Uint8Array, values: Uint8Array, count: number) {
    this.keys = new CodecBuffer(keys.slice());
    this.values = new CodecBuffer(values.slice());
    this.#keySize = count === 0 ? 0 : keys.length / count;
    this.#valueBytes = count === 0 ? 0 : values.length / count;
    this.#count = count;
  }

  advance(): boolean {
    if (this.#index === this.#count) return false;
    this.keyAt = this.#index * this.#keySize;
    this.valueAt = this.#index * this.#valueBytes;
    this.#index++;
    return true;
  }

  rewind(): void {
    this.#index = 0;
  }

  close(): void {}
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
      this.#end(source, false, more);
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

  /** `current`: the element at hand was not given. */
  #end(source: WalkSource, complete: boolean, current: boolean = false): void {
    this.#done = { complete, restarts: source.restarts, skipped: source.skipped };
    this.#source = undefined;
    this.ended(current);
    source.close();
  }

  /** @internal Called once, before the source is closed. */
  protected ended(_current: boolean): void {}

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

/**
 * A walk that takes the elements out of the map. Broken off, it keeps what was out already and not given yet:
 *
 *     const drained = counts.drain();
 *     for (const [key, count] of drained) if (!(await send(key, count))) break;
 *     backlog.push(...drained.rest());
 */
export class Drain<T> extends Walk<T> {
  readonly #taking: TakingSource;
  readonly #readRest: (source: WalkSource) => T;
  #left: BufferedSource | undefined;

  constructor(source: TakingSource, read: (source: WalkSource) => T) {
    super(source, read);
    this.#taking = source;
    this.#readRest = read;
  }

  /** @internal */
  protected override ended(current: boolean): void {
    this.#left = this.#taking.leftover(current);
  }

  /** After a break, or an error: the elements that are in the map no more and were not given. */
  rest(): T[] {
    const rest: T[] = [];
    const left = this.#left;
    left?.rewind();
    while (left?.advance()) rest.push(this.#readRest(left));
    return rest;
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
