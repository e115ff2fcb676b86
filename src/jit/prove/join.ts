/** Two states that meet: what holds in both. At the heads of loops bounds that grow go on to the next that may hold. */
import type { State } from "./state.ts";
import {
  AT_DATA,
  AT_META,
  anything,
  copyOf,
  ELSEWHERE,
  F_NULL,
  F_WRITE,
  FIRST_BASE,
  gcd,
  innerMap,
  isConstant,
  isNear,
  isNumeric,
  K_CTX,
  K_FUNCTION,
  K_INNER,
  K_MAP,
  K_NUMBER,
  K_OBJECT,
  K_PACKET,
  K_REGION,
  K_STACK,
  linked,
  moved,
  NO_ROOM,
  number,
  packet,
  region,
  sameContent,
  UNKNOWN,
  Val,
} from "./value.ts";

/** Where bounds stop when they grow, ascending. Beyond the last one nothing is known. */
const LAST_STOPS: readonly number[] = [
  -(2 ** 40),
  -(2 ** 31),
  -32768,
  -512,
  -1,
  0,
  255,
  65535,
  2 ** 31 - 1,
  2 ** 32 - 1,
  2 ** 40,
];

/** How many constants of a function are kept. */
const STOPS_MAX = 512;
/** How many times a loop's own stops are tried. */
const PATIENCE = 24;

/** Of one function: constants that its comparisons name, and one off. */
export class Stops {
  readonly #own = new Set<number>();
  #sorted: readonly number[] | undefined;

  /** A comparison with this number. */
  add(value: number): void {
    if (this.#own.size >= STOPS_MAX) return;
    if (this.#own.has(value) && this.#own.has(value - 1) && this.#own.has(value + 1)) return;
    this.#own
      .add(value - 1)
      .add(value)
      .add(value + 1);
    this.#sorted = undefined;
  }

  /** All of them, ascending. */
  get all(): readonly number[] {
    this.#sorted ??= [...new Set([...this.#own, ...LAST_STOPS])].sort((a, b) => a - b);
    return this.#sorted;
  }
}

export class Joiner {
  /** Of the function under way. */
  stops: Stops = new Stops();
  #nextBase = FIRST_BASE;
  /** Numbers the joins. */
  #serial = 0;
  /** Values of the one state that met more than one of the other: which, and what came of it. */
  readonly #more: Val[] = [];
  /** Of the addresses behind packet pointers, and of linked numbers: mine, other, distance, result. */
  readonly #bases: number[] = [];
  /** 0: no loop's head; else how often the state has grown. */
  #widening = 0;
  #changed = false;

  /** A name for an address that packet pointers are relative to. */
  newBase(): number {
    return this.#nextBase++;
  }

  /** Makes `into` hold what holds in both. True: it says less than before. */
  join(into: State, from: State, widening: number): boolean {
    this.#serial++;
    this.#more.length = 0;
    this.#bases.length = 0;
    this.#widening = widening;
    this.#changed = false;
    const { regs } = into;
    for (let i = 0; i < regs.length; i++) regs[i] = this.#value(regs[i]!, from.regs[i]!);
    if (into.joinSlots(from, this.#slot)) this.#changed = true;
    return this.#changed;
  }

  readonly #slot = (a: Val, b: Val): Val => this.#value(a, b);

  /** Two places that were the same in both states stay so; others do not become so. */
  #value(a: Val, b: Val): Val {
    if (a === UNKNOWN) return a;
    // Two that are UNKNOWN in the other state need not be the same there.
    if (a.serial === this.#serial) return (b !== UNKNOWN && this.#before(a, b)) || this.#another(a, b);
    const content = this.#content(a, b);
    const result = sameContent(content, a) ? a : content;
    if (result !== a) this.#changed = true;
    a.serial = this.#serial;
    a.partner = b;
    a.outcome = result;
    return result;
  }

  #before(a: Val, b: Val): Val | undefined {
    if (a.partner === b) return a.outcome;
    const more = this.#more;
    for (let i = 0; i < more.length; i += 3) if (more[i] === a && more[i + 1] === b) return more[i + 2];
    return undefined;
  }

  /** The value met another one before: what was the same is so no longer. */
  #another(a: Val, b: Val): Val {
    const content = this.#content(a, b);
    const result = content === a ? copyOf(a) : content;
    this.#changed = true;
    this.#more.push(a, b, result);
    return result;
  }

  #content(a: Val, b: Val): Val {
    if (isNumeric(a)) return this.#numbers(a, b);
    if (a.kind !== b.kind) return orNull(a, b) ?? orNull(b, a) ?? anything();
    switch (a.kind) {
      case K_STACK:
        return this.#ranged(a, b, a.flags, a.size, a.id, 0);
      case K_CTX:
        return a.min === b.min ? a : anything();
      case K_OBJECT:
        return sameContent(a, b) ? a : anything();
      case K_MAP:
      case K_FUNCTION:
        return a.id === b.id ? a : anything();
      case K_INNER:
        return a.id === b.id ? innerMap(a.id, a.flags | b.flags) : anything();
      case K_PACKET:
        return a.flags === b.flags ? this.#packet(a, b) : anything();
      case K_REGION: {
        const flags = ((a.flags | b.flags) & ~F_WRITE) | (a.flags & b.flags & F_WRITE);
        return this.#ranged(
          a,
          b,
          flags,
          Math.min(a.size, b.size),
          a.id === b.id ? a.id : ELSEWHERE,
          a.room === b.room ? a.room : 0,
        );
      }
      default:
        return a;
    }
  }

  /** Numbers, or one that is unknown and anything. */
  #numbers(a: Val, b: Val): Val {
    const both = a.kind === K_NUMBER && b.kind === K_NUMBER;
    const content = both ? this.#ranged(a, b, 0, 0, 0, 0) : (orNull(b, a) ?? anything());
    if (a.id === 0 || b.id === 0 || !isNumeric(b)) return content;
    return linked(content, this.#base(a.id, b.id, a.off - b.off), a.off);
  }

  #ranged(a: Val, b: Val, flags: number, size: number, id: number, room: number): Val {
    const { kind } = a;
    const step = gcd(gcd(a.step, b.step), Math.abs(a.min - b.min));
    // NULL + something is not NULL, and not in the region either.
    if ((flags & F_NULL) !== 0 && (a.min !== 0 || b.min !== 0 || step !== 0)) return anything();
    const min = this.#lower(a, b, step);
    const max = this.#upper(a, b, step, min);
    if (kind === K_NUMBER) return number(min, max, step);
    return moved(new Val(kind, 0, 0, 0, id, 0, room, size, flags), min, max, step);
  }

  #lower(a: Val, b: Val, step: number): number {
    if (b.min >= a.min) return a.min;
    if (this.#widening === 0) return b.min;
    if (!isNear(b)) return Number.NEGATIVE_INFINITY;
    const stops = this.#widening > PATIENCE ? LAST_STOPS : this.stops.all;
    const at = firstFrom(stops, b.min);
    const stop = stops[at] === b.min ? b.min : stops[at - 1];
    return stop === undefined ? Number.NEGATIVE_INFINITY : b.min - Math.floor((b.min - stop) / step) * step;
  }

  #upper(a: Val, b: Val, step: number, min: number): number {
    if (b.max <= a.max) return a.max;
    if (this.#widening === 0) return b.max;
    if (!isNear(b) || min === Number.NEGATIVE_INFINITY) return Number.POSITIVE_INFINITY;
    const stops = this.#widening > PATIENCE ? LAST_STOPS : this.stops.all;
    const stop = stops[firstFrom(stops, b.max)];
    return stop === undefined ? Number.POSITIVE_INFINITY : b.max + Math.floor((stop - b.max) / step) * step;
  }

  /**
   * In the one state the pointer is a + a.off, in the other b + b.off. All pointers of the state for which the two differ
   * by the same distance keep one base.
   */
  #packet(a: Val, b: Val): Val {
    const distance = a.off - b.off;
    const id = this.#base(a.id, b.id, distance);
    const low = this.#lower(a, b, 1);
    const high = this.#upper(a, b, 1, low);
    let room = Math.min(a.room, b.room === NO_ROOM ? NO_ROOM : b.room + distance);
    if (this.#widening > 2 && room < a.room) room = NO_ROOM;
    return low < -32768 || high > 2 ** 41 ? anything() : packet(id, a.off, low, high, room, a.flags);
  }

  #base(a: number, b: number, distance: number): number {
    const absolute = a === AT_DATA || a === AT_META;
    if (absolute && a === b && distance === 0) return a;
    const bases = this.#bases;
    let met = false;
    for (let i = 0; i < bases.length; i += 4) {
      if (bases[i] !== a) continue;
      if (bases[i + 1] === b && bases[i + 2] === distance) return bases[i + 3]!;
      met = true;
    }
    const id = met || absolute ? this.newBase() : a;
    bases.push(a, b, distance, id);
    return id;
  }
}

/** Index of the first stop that is not below the value. */
function firstFrom(stops: readonly number[], value: number): number {
  let low = 0;
  let high = stops.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (stops[middle]! < value) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** A region that is NULL in the other state. */
function orNull(p: Val, zero: Val): Val | undefined {
  if (p.kind !== K_REGION || p.min !== 0 || p.max !== 0 || !isConstant(zero) || zero.min !== 0) return undefined;
  return region(p.id, p.size, 0, p.flags | F_NULL, p.room);
}
