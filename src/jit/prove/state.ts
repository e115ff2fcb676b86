/** What is known at one place of a function: of each register, and of what its frame holds. */
import {
  areLinked,
  F_RING,
  isU32,
  K_PACKET,
  K_PACKET_END,
  K_REGION,
  K_UNKNOWN,
  LIMIT,
  narrowed,
  packet,
  UNKNOWN,
  Val,
} from "./value.ts";

/** Words of 4 bytes in a frame, from r10 - 512 on. */
const WORDS = 128;
const FRAME = 512;
const REGISTERS = 11;
/** The upper half of a word of 8 bytes. */
const TAIL: Val = new Val(K_UNKNOWN, 0, 0, 0, 0, 0, 0, 0, 0);
const NOTHING: readonly (Val | undefined)[] = [];

export class State {
  readonly regs: Val[];
  /** By word; empty: nothing is known. Shared with other states until it is written. */
  #slots: readonly (Val | undefined)[] = NOTHING;

  constructor(regs: Val[]) {
    this.regs = regs;
  }

  static unknown(): State {
    return new State(new Array<Val>(REGISTERS).fill(UNKNOWN));
  }

  copy(): State {
    const made = new State(this.regs.slice());
    made.#slots = this.#slots;
    return made;
  }

  /** Joins the places of the frame. True: less is known than before. */
  joinSlots(from: State, join: (a: Val, b: Val) => Val): boolean {
    const [mine, other] = [this.#slots, from.#slots];
    if (mine === NOTHING) return false;
    if (other === NOTHING) {
      this.#slots = NOTHING;
      return true;
    }
    let changed = false;
    const made = mine.slice();
    let some = false;
    for (let i = 0; i < WORDS; i++) {
      const a = mine[i];
      if (a === undefined) continue;
      const b = other[i];
      const long = mine[i + 1] === TAIL;
      if (b === undefined || b === TAIL || long !== (other[i + 1] === TAIL)) {
        made[i] = undefined;
        if (long) made[i + 1] = undefined;
      } else {
        made[i] = join(a, b);
        some = true;
      }
      if (made[i] !== a) changed = true;
      if (long) i++;
    }
    if (changed) this.#slots = some ? made : NOTHING;
    return changed;
  }

  /** All places that hold this value hold a value of which more is known. */
  replace(old: Val, now: Val): void {
    if (old === UNKNOWN || old === now) return;
    const { regs } = this;
    for (let i = 0; i < REGISTERS; i++) if (regs[i] === old) regs[i] = now;
    if (this.#slots.includes(old)) this.#slots = this.#slots.map((v) => (v === old ? now : v));
  }

  /** Whether any place holds this value. */
  holds(v: Val): boolean {
    return this.regs.includes(v) || this.#slots.includes(v);
  }

  /** What is known of a number that was narrowed goes for those that are linked to it. */
  narrowLinked(v: Val): void {
    if (v.id === 0) return;
    this.#map((w) => {
      if (w === v || !areLinked(w, v)) return w;
      // As signed numbers: of these none is far enough off to wrap.
      const [min, max] = [v.min + (w.off - v.off), v.max + (w.off - v.off)];
      if (min < -LIMIT || max > LIMIT) return w;
      return narrowed(w, min, max) ?? w;
    });
  }

  #own(): (Val | undefined)[] {
    const made = this.#slots === NOTHING ? new Array<Val | undefined>(WORDS).fill(undefined) : this.#slots.slice();
    this.#slots = made;
    return made;
  }

  /** Replaces every value by what the function makes of it; the same value becomes the same. */
  #map(change: (v: Val) => Val): void {
    const olds: Val[] = [];
    const news: Val[] = [];
    const once = (v: Val): Val => {
      const at = olds.indexOf(v);
      if (at >= 0) return news[at]!;
      const made = change(v);
      olds.push(v);
      news.push(made);
      return made;
    };
    const { regs } = this;
    for (let i = 0; i < REGISTERS; i++) regs[i] = once(regs[i]!);
    if (this.#slots === NOTHING) return;
    this.#slots = this.#slots.map((v) => (v === undefined || v === TAIL ? v : once(v)));
  }

  /** The addresses that packet pointers are relative to are another packet's. */
  dropPackets(): void {
    this.#map((v) => (v.kind === K_PACKET || v.kind === K_PACKET_END ? UNKNOWN : v));
  }

  dropRings(): void {
    this.#map((v) => (v.kind === K_REGION && (v.flags & F_RING) !== 0 ? UNKNOWN : v));
  }

  dropSlots(): void {
    this.#slots = NOTHING;
  }

  /** So many bytes from the base on are inside the packet, for pointers that are relative to it. */
  roomOf(base: number, flags: number, room: number): void {
    this.#map((v) => {
      if (v.kind !== K_PACKET || v.id !== base || v.flags !== flags) return v;
      // The packet ends within 4 GiB of its beginning.
      const high = Math.min(v.max, 2 ** 32 - room + v.off);
      return packet(base, v.off, v.min, Math.max(high, v.min), Math.max(v.room, room), flags);
    });
  }

  /** Any of the bytes from low to high may have been written. */
  forget(low: number, high: number): void {
    if (this.#slots === NOTHING || high <= -FRAME || low >= 0) return;
    const first = Math.max(0, Math.floor((low + FRAME) / 4));
    const end = Math.min(WORDS, Math.ceil((high + FRAME) / 4));
    const slots = this.#own();
    for (let i = first; i < end; i++) {
      if (slots[i] === TAIL) slots[i - 1] = undefined;
      if (slots[i + 1] === TAIL) slots[i + 1] = undefined;
      slots[i] = undefined;
    }
  }

  /** A store of a value to a place of the frame: aligned, and inside it. */
  put(offset: number, size: number, v: Val): void {
    this.forget(offset, offset + size);
    const at = (offset + FRAME) / 4;
    if (size === 8) {
      const slots = this.#own();
      slots[at] = v;
      slots[at + 1] = TAIL;
    } else if (size === 4 && isU32(v)) {
      this.#own()[at] = v;
    }
  }

  /** What a load from such a place gives, or undefined. */
  get(offset: number, size: number): Val | undefined {
    const slots = this.#slots;
    const at = (offset + FRAME) / 4;
    const v = slots[at];
    if (v === undefined || v === TAIL || size < 4) return undefined;
    if ((slots[at + 1] === TAIL) === (size === 8)) return v;
    return size === 4 && isU32(v) ? v : undefined;
  }
}
