/** Walks element by element: with GET_NEXT_KEY, and by index where every index has an element. */
import { BPF_MAP_GET_NEXT_KEY, BPF_MAP_LOOKUP_AND_DELETE_ELEM, BPF_MAP_LOOKUP_ELEM } from "../uapi/index.ts";
import type { CodecBuffer } from "./codec/index.ts";
import type { MapHandle } from "./map_handle.ts";
import { BufferedSource, type TakingSource, type WalkSource } from "./walk.ts";

/** Restarts after which a walk gives up: the map changes faster than it can be read. */
export const RESTARTS_MAX = 16;
/** Elements that a walk visits at most, in terms of the map's size: a key that comes back again and again ends it. */
export const VISITS = 4;

const empty = new Uint8Array();

function copyKey(to: Uint8Array, from: Uint8Array): void {
  if (from.length > 32) to.set(from);
  else for (let i = 0; i < from.length; i++) to[i] = from[i]!;
}

export function sameKey(a: Uint8Array, b: Uint8Array): boolean {
  for (let i = 0; i < a.length; i++) if (a[i] !== b[i]) return false;
  return true;
}

/** What the element walk asks of a map. */
export interface NextKeyOptions {
  /** Elements are removed as they are given. */
  readonly take?: boolean;
  /** Nobody is going to look at the values. */
  readonly keysOnly?: boolean;
  /** A lookup can answer for another key (a trie): whether a key is there has to be found out otherwise. */
  readonly covering?: boolean;
}

/**
 * Key by key. The next key is fetched before an element is given, so that the element can be deleted. A key that others
 * delete while it is the next one would lead back to the first: the walk then goes on from the last element it gave, if
 * that is still there, and starts again otherwise.
 */
export class NextKeySource implements TakingSource {
  readonly keyAt = 0;
  readonly valueAt = 0;
  complete = true;
  restarts = 0;
  skipped = 0;
  readonly #handle: MapHandle;
  readonly #take: boolean;
  readonly #covering: boolean;
  readonly #keysOnly: boolean;
  readonly #first: Uint8Array;
  #current: Uint8Array;
  #previous: Uint8Array;
  #ahead: Uint8Array;
  #started = false;
  #hasCurrent = false;
  #hasPrevious = false;
  #hasAhead = false;
  #visitsLeft: number;

  constructor(handle: MapHandle, options: NextKeyOptions = {}) {
    const { keySize, maxEntries } = handle.info;
    this.#handle = handle;
    this.#take = options.take ?? false;
    this.#covering = options.covering ?? false;
    this.#keysOnly = options.keysOnly ?? false;
    this.#first = new Uint8Array(keySize);
    this.#current = new Uint8Array(keySize);
    this.#previous = new Uint8Array(keySize);
    this.#ahead = new Uint8Array(keySize);
    this.#visitsLeft = VISITS * maxEntries;
  }

  get keys(): CodecBuffer {
    return this.#handle.key;
  }

  get values(): CodecBuffer {
    return this.#handle.value;
  }

  close(): void {}

  leftover(current: boolean): BufferedSource {
    const { key, value } = this.#handle;
    return current ? new BufferedSource(key.bytes, value.bytes, 1) : new BufferedSource(empty, empty, 0);
  }

  advance(): boolean {
    if (!this.#started) {
      this.#started = true;
      this.#toFirst();
    }
    while (this.#hasCurrent) {
      if (this.#visitsLeft-- <= 0) return this.#giveUp();
      if (this.#lookAhead(this.#current) && this.#fetch()) {
        const spare = this.#previous;
        this.#previous = this.#current;
        this.#current = this.#ahead;
        this.#ahead = spare;
        this.#hasPrevious = true;
        this.#hasCurrent = this.#hasAhead;
        return true;
      }
      this.skipped++;
      this.#recover();
    }
    return false;
  }

  /** Puts the key into the handle and the one behind it into `#ahead`. False: the key is known to be gone. */
  #lookAhead(key: Uint8Array): boolean {
    const handle = this.#handle;
    copyKey(handle.key.bytes, key);
    this.#hasAhead = handle.found(BPF_MAP_GET_NEXT_KEY, handle.nextKey());
    if (!this.#hasAhead) return true;
    copyKey(this.#ahead, handle.next.bytes);
    // The next of a key that is gone is the first, and never else. Where a lookup tells that a key is gone, one guess
    // at the first key is enough.
    if (!this.#covering) return !sameKey(this.#ahead, this.#first);
    return !(handle.found(BPF_MAP_GET_NEXT_KEY, handle.firstKey()) && sameKey(this.#ahead, handle.next.bytes));
  }

  /** The value of the key in the handle; false when the element is gone. */
  #fetch(): boolean {
    const handle = this.#handle;
    if (this.#keysOnly) return true;
    if (this.#take) return handle.found(BPF_MAP_LOOKUP_AND_DELETE_ELEM, handle.take());
    return handle.found(BPF_MAP_LOOKUP_ELEM, handle.lookup());
  }

  #toFirst(): void {
    const handle = this.#handle;
    this.#hasCurrent = handle.found(BPF_MAP_GET_NEXT_KEY, handle.firstKey());
    this.#hasPrevious = false;
    if (!this.#hasCurrent) return;
    copyKey(this.#first, handle.next.bytes);
    copyKey(this.#current, handle.next.bytes);
  }

  #recover(): void {
    const handle = this.#handle;
    if (this.#hasPrevious && this.#lookAhead(this.#previous) && handle.found(BPF_MAP_LOOKUP_ELEM, handle.lookup())) {
      this.#hasCurrent = this.#hasAhead;
      copyKey(this.#current, this.#ahead);
    } else if (++this.restarts > RESTARTS_MAX) {
      this.#giveUp();
    } else {
      this.#toFirst();
    }
  }

  #giveUp(): false {
    this.complete = false;
    this.#hasCurrent = false;
    return false;
  }
}

/** The elements of an array, by index; slots that are empty are passed over. */
export class IndexSource implements WalkSource {
  readonly keyAt = 0;
  readonly valueAt = 0;
  readonly complete = true;
  readonly restarts = 0;
  readonly skipped = 0;
  readonly #handle: MapHandle;
  #index = 0;

  constructor(handle: MapHandle) {
    this.#handle = handle;
  }

  get keys(): CodecBuffer {
    return this.#handle.key;
  }

  get values(): CodecBuffer {
    return this.#handle.value;
  }

  advance(): boolean {
    const handle = this.#handle;
    while (this.#index < handle.info.maxEntries) {
      handle.key.view.setUint32(0, this.#index++, true);
      if (handle.found(BPF_MAP_LOOKUP_ELEM, handle.lookup())) return true;
    }
    return false;
  }

  close(): void {}
}
