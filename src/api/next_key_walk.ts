/** Walks element by element: with GET_NEXT_KEY, and by index where every index has an element. */
import { BPF_MAP_GET_NEXT_KEY, BPF_MAP_LOOKUP_AND_DELETE_ELEM, BPF_MAP_LOOKUP_ELEM } from "../uapi/index.ts";
import type { CodecBuffer } from "./codec/index.ts";
import type { MapHandle } from "./map_handle.ts";
import type { WalkSource } from "./walk.ts";

/** Restarts after which a walk gives up: the map changes faster than it can be read. */
const RESTARTS_MAX = 16;
/** Elements that a walk visits at most, in terms of the map's size: a key that comes back again and again ends it. */
const VISITS = 4;

function copyKey(to: Uint8Array, from: Uint8Array): void {
  if (from.length > 32) to.set(from);
  else for (let i = 0; i < from.length; i++) to[i] = from[i]!;
}

function sameKey(a: Uint8Array, b: Uint8Array): boolean {
  for (let i = 0; i < a.length; i++) if (a[i] !== b[i]) return false;
  return true;
}

/**
 * Key by key. The next key is fetched before an element is given, so that the element can be deleted. A key that others
 * delete while it is the next one would lead back to the first: the walk then goes on from the last element it gave, if
 * that is still there, and starts again otherwise.
 */
export class NextKeySource implements WalkSource {
  readonly keyAt = 0;
  readonly valueAt = 0;
  complete = true;
  restarts = 0;
  skipped = 0;
  readonly #handle: MapHandle;
  readonly #take: boolean;
  readonly #first: Uint8Array;
  #current: Uint8Array;
  #previous: Uint8Array;
  #ahead: Uint8Array;
  #started = false;
  #hasCurrent = false;
  #hasPrevious = false;
  #visitsLeft: number;

  /** `take`: elements are removed as they are given. */
  constructor(handle: MapHandle, take: boolean = false) {
    const { keySize, maxEntries } = handle.info;
    this.#handle = handle;
    this.#take = take;
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

  advance(): boolean {
    if (!this.#started) {
      this.#started = true;
      this.#toFirst();
    }
    const handle = this.#handle;
    while (this.#hasCurrent) {
      if (this.#visitsLeft-- <= 0) return this.#giveUp();
      copyKey(handle.key.bytes, this.#current);
      const more = handle.found(BPF_MAP_GET_NEXT_KEY, handle.nextKey());
      if (more) copyKey(this.#ahead, handle.next.bytes);
      // The next of a key that is gone is the first.
      const gone = more && sameKey(this.#ahead, this.#first);
      if (!gone && this.#fetch()) {
        const spare = this.#previous;
        this.#previous = this.#current;
        this.#current = this.#ahead;
        this.#ahead = spare;
        this.#hasPrevious = true;
        this.#hasCurrent = more;
        return true;
      }
      this.skipped++;
      this.#recover();
    }
    return false;
  }

  /** The value of the key in the handle; false when the element is gone. */
  #fetch(): boolean {
    const handle = this.#handle;
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
    if (this.#hasPrevious) {
      copyKey(handle.key.bytes, this.#previous);
      const more = handle.found(BPF_MAP_GET_NEXT_KEY, handle.nextKey());
      const there = handle.found(BPF_MAP_LOOKUP_ELEM, handle.lookup());
      if (there && !(more && sameKey(handle.next.bytes, this.#first))) {
        this.#hasCurrent = more;
        copyKey(this.#current, handle.next.bytes);
        return;
      }
    }
    if (++this.restarts > RESTARTS_MAX) this.#giveUp();
    else this.#toFirst();
  }

  #giveUp(): false {
    this.complete = false;
    this.#hasCurrent = false;
    return false;
  }
}

/** The elements of an array, by index. */
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
    if (this.#index >= handle.info.maxEntries) return false;
    handle.key.view.setUint32(0, this.#index++, true);
    return handle.found(BPF_MAP_LOOKUP_ELEM, handle.lookup());
  }

  close(): void {}
}
