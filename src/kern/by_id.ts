/**
 * What a client keeps of objects, by their id. Another client may destroy the object: what is kept of it goes when as much
 * again has come as there was of living ones.
 */
import type { Memory } from "../mem/memory.ts";
import { nextId } from "./ids.ts";

const FIRST_LOOK = 64;

export class ById<T> {
  readonly #mem: Memory;
  readonly #kind: number;
  readonly #known = new Map<number, T>();
  /** How many there may be until the next look. */
  #room: number = FIRST_LOOK;

  /** `kind`: OBJ_PROG and its like. */
  constructor(mem: Memory, kind: number) {
    this.#mem = mem;
    this.#kind = kind;
  }

  get size(): number {
    return this.#known.size;
  }

  get(id: number): T | undefined {
    return this.#known.get(id);
  }

  /** `gone` is told of what goes. */
  set(id: number, value: T, gone?: (id: number) => void): void {
    if (this.#known.size === this.#room) this.#look(gone);
    this.#known.set(id, value);
  }

  #look(gone?: (id: number) => void): void {
    for (const id of this.#known.keys()) {
      if (nextId(this.#mem, this.#kind, id - 1) === id) continue;
      this.#known.delete(id);
      gone?.(id);
    }
    this.#room = Math.max(FIRST_LOOK, this.#known.size * 2);
  }

  delete(id: number): void {
    this.#known.delete(id);
  }

  clear(): void {
    this.#known.clear();
  }
}
