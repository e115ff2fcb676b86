/**
 * What is known of a register or a place of the stack while a program is proved. What a `Val` says never changes. Within one state the
 * object is the value's identity: places that hold the same object hold the same 64 bits, so what a comparison tells of
 * one it tells of all. Every operation that is no copy therefore makes a new object; only UNKNOWN is shared by values
 * that have nothing to do with each other.
 *
 * Numbers, known or not, may be linked: those of one state with the same `id`, which is not 0, are the same 64-bit number
 * + `off`, modulo 2^64. So what a comparison tells of one goes for those it was made from by a constant, or they from it.
 */

export const K_UNKNOWN = 0;
/** As a signed 64-bit number in [min, max], and min plus a multiple of `step`. */
export const K_NUMBER = 1;
/** This function's r10 + such a number. Above 0 are the frames of its callers. */
export const K_STACK = 2;
/** The context + min (= max). */
export const K_CTX = 3;
/**
 * The address `id` stands for, + off. `min`, `max`: how far that is behind the packet's beginning (or behind its metadata's,
 * with F_META). `room`: so many bytes from the address of `id` on end before or at the packet's end (the data's beginning).
 */
export const K_PACKET = 4;
export const K_PACKET_END = 5;
/** The handle of a map of this program. */
export const K_MAP = 6;
/** Memory of `size` bytes + [min, max]; `id` says where it comes from. `room`: the map of which it is a value, or 0. */
export const K_REGION = 7;
/** The address of function `id` of the program, as it is given to helpers. */
export const K_FUNCTION = 8;
/** A map that lies in the outer map `id`: one like its template. The run holds it until it ends. */
export const K_INNER = 9;

/**
 * Places of the frame only: `off` bytes into the mark of an object of the kind `size`, which call `id` has set up there if
 * it has set up any, and which is there still.
 */
export const K_OBJECT = 10;

/** Regions and inner maps: NULL is possible. */
export const F_NULL = 1;
/** Programs may write it. */
export const F_WRITE = 2;
/** The run holds it until it gives it back: a ring's record, a socket, the int of an iterator. Gone once any is given back. */
export const F_HELD = 4;
/** Packet pointers: from data_meta. */
export const F_META = 8;
/** Regions: bytes of a dynptr, held or the packet's. Gone as well once the packet may have moved. */
export const F_SLICE = 16;
/**
 * Such bytes may also be a copy on the stack, where accesses want their natural alignment. The region then begins at a
 * multiple of 8, less what `2 * F_COPY`, `4 * F_COPY`, `8 * F_COPY` say: not at one of 2, of 4, of 8.
 */
export const F_COPY = 32;

/** The largest number that is kept, and how far offsets of pointers go: beyond it nothing is known. */
export const LIMIT: number = Number.MAX_SAFE_INTEGER;
/** Offsets of pointers that far off are not told from each other. */
const FAR = 2 ** 52;
/** No byte behind the pointer was compared with the end. */
export const NO_ROOM: number = -LIMIT;
/** `id` of the packet pointers that came straight from the context; others have numbers above. */
export const AT_DATA = 0;
export const AT_META = 1;
export const FIRST_BASE = 2;
/** `id` of a region from one of several calls, or from another function. */
export const ELSEWHERE: number = 2 ** 40;

export class Val {
  readonly kind: number;
  readonly min: number;
  readonly max: number;
  /** 0 where min is max. */
  readonly step: number;
  readonly id: number;
  readonly off: number;
  readonly room: number;
  readonly size: number;
  readonly flags: number;
  /** Scratch of `Joiner`: in which of its joins the value was met first, what it met, and what came of it. */
  serial = 0;
  partner: Val | undefined = undefined;
  outcome: Val | undefined = undefined;

  constructor(
    kind: number,
    min: number,
    max: number,
    step: number,
    id: number,
    off: number,
    room: number,
    size: number,
    flags: number,
  ) {
    this.kind = kind;
    this.min = min;
    this.max = max;
    this.step = step;
    this.id = id;
    this.off = off;
    this.room = room;
    this.size = size;
    this.flags = flags;
  }
}

export const UNKNOWN: Val = new Val(K_UNKNOWN, 0, 0, 0, 0, 0, 0, 0, 0);

/** A value of which nothing is known but that copies of it are the same. */
export function anything(): Val {
  return new Val(K_UNKNOWN, 0, 0, 0, 0, 0, 0, 0, 0);
}

/** A number, or anything where the range is too wide to be kept. */
export function number(min: number, max: number, step = 1): Val {
  if (min < -LIMIT || max > LIMIT) return anything();
  return new Val(K_NUMBER, min, max, min === max ? 0 : step, 0, 0, 0, 0, 0);
}

export function constant(value: number): Val {
  return number(value, value);
}

export function stack(min: number, max: number, step = 1): Val {
  return moved(new Val(K_STACK, 0, 0, 0, 0, 0, 0, 0, 0), min, max, step);
}

export function ctx(offset: number): Val {
  return new Val(K_CTX, offset, offset, 0, 0, 0, 0, 0, 0);
}

export function mapHandle(map: number): Val {
  return new Val(K_MAP, 0, 0, 0, map, 0, 0, 0, 0);
}

export function innerMap(outer: number, flags: number): Val {
  return new Val(K_INNER, 0, 0, 0, outer, 0, 0, 0, flags);
}

export function functionAddress(index: number): Val {
  return new Val(K_FUNCTION, 0, 0, 0, index, 0, 0, 0, 0);
}

export function objectMark(call: number, kind: number, off: number): Val {
  return new Val(K_OBJECT, 0, 0, 0, call, off, 0, kind, 0);
}

export function packetEnd(): Val {
  return new Val(K_PACKET_END, 0, 0, 0, 0, 0, 0, 0, 0);
}

export function packet(id: number, off: number, low: number, high: number, room: number, flags: number): Val {
  return new Val(K_PACKET, low, high, low === high ? 0 : 1, id, off, room, 0, flags);
}

export function region(from: number, size: number, offset: number, flags: number, map = 0): Val {
  return new Val(K_REGION, offset, offset, 0, from, 0, map, size, flags);
}

/** The same bits as `v`, linked. Or the value where it is none that is a number. */
export function linked(v: Val, id: number, off: number): Val {
  if (v.kind === K_UNKNOWN && id === 0) return v;
  return new Val(v.kind, v.min, v.max, v.step, id, off, v.room, v.size, v.flags);
}

/** Whether the two are one number + their `off`. */
export function areLinked(a: Val, b: Val): boolean {
  return a.id !== 0 && a.id === b.id && isNumeric(a) && isNumeric(b);
}

/** A number, or nothing that is known. */
export function isNumeric({ kind }: Val): boolean {
  return kind === K_NUMBER || kind === K_UNKNOWN;
}

/** The pointer into stack or region with other offsets; with none that are known, where they go too far. */
export function moved(v: Val, min: number, max: number, step: number): Val {
  if (min <= -FAR || max >= FAR) return new Val(v.kind, -LIMIT, LIMIT, 1, v.id, 0, v.room, v.size, v.flags);
  return new Val(v.kind, min, max, min === max ? 0 : step, v.id, 0, v.room, v.size, v.flags);
}

/** Whether the offsets of a pointer say anything. */
export function isNear(v: Val): boolean {
  return v.min > -FAR && v.max < FAR;
}

/** The value, which lies between these bounds too; undefined: it cannot. Nothing known: both are numbers that are kept. */
export function narrowed(v: Val, min: number, max: number): Val | undefined {
  if (v.kind === K_UNKNOWN) return min > max ? undefined : linked(number(min, max), v.id, v.off);
  let low = v.min;
  let high = v.max;
  if (v.step === 0) return low >= min && high <= max ? v : undefined;
  if (min > low) low += Math.ceil((min - low) / v.step) * v.step;
  if (max < high) high -= Math.ceil((high - max) / v.step) * v.step;
  if (low > high) return undefined;
  if (low === v.min && high === v.max) return v;
  return v.kind === K_NUMBER ? linked(number(low, high, v.step), v.id, v.off) : moved(v, low, high, v.step);
}

export function copyOf(v: Val): Val {
  return new Val(v.kind, v.min, v.max, v.step, v.id, v.off, v.room, v.size, v.flags);
}

export function isConstant(v: Val): boolean {
  return v.kind === K_NUMBER && v.min === v.max;
}

export function isU32(v: Val): boolean {
  return v.kind === K_NUMBER && v.min >= 0 && v.max <= 0xffff_ffff;
}

export function sameContent(a: Val, b: Val): boolean {
  return (
    a === b ||
    (a.kind === b.kind &&
      a.min === b.min &&
      a.max === b.max &&
      a.step === b.step &&
      a.id === b.id &&
      a.off === b.off &&
      a.room === b.room &&
      a.size === b.size &&
      a.flags === b.flags)
  );
}

/** Of numbers that are not negative; 0 goes with everything. */
export function gcd(a: number, b: number): number {
  let x = a;
  let y = b;
  while (y !== 0) {
    const rest = x % y;
    x = y;
    y = rest;
  }
  return x;
}
