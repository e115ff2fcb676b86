/**
 * Formatted text as bpf_snprintf, bpf_trace_printk and bpf_seq_printf make it: the conversions that the kernel lets
 * programs use, with its errnos. Text is bytes: what a string argument holds is passed on as it is. Kernel counterpart:
 * kernel/bpf/helpers.c, lib/vsprintf.c.
 */
import { EINVAL, ENOSPC } from "../uapi/index.ts";

/** Most arguments of one format. */
export const FORMAT_ARGS = 12;
/** What strings and numbers of one call may take together. */
const ROOM = 512;

/** Memory that string and address conversions point to. */
export interface TextMemory {
  /** Fills `to` from kernel memory at high:low; false: not all of it can be read. */
  read(low: number, high: number, to: Uint8Array): boolean;
  /** Bytes of the text at high:low up to its NUL, at most `room`; undefined: it cannot be read. */
  text(low: number, high: number, room: number, user: boolean): Uint8Array | undefined;
}

const PERCENT = 0x25;
const ZERO = 0x30;
const SPACE = 0x20;
const MINUS = 0x2d;
const PLUS = 0x2b;
/** Widths are cut to this. */
const WIDTH_MAX = 0x7f_ffff;
const encoder: TextEncoder = new TextEncoder();

// The kernel's classes of characters are those of Latin-1.
export function isSpace(c: number): boolean {
  return c === SPACE || (c >= 9 && c <= 13) || c === 0xa0;
}

function isDigit(c: number): boolean {
  return c >= 0x30 && c <= 0x39;
}

function isAlnum(c: number): boolean {
  const letter = c | 0x20;
  return isDigit(c) || (letter >= 0x61 && letter <= 0x7a) || (c >= 0xc0 && !isPunct(c));
}

function isPunct(c: number): boolean {
  if (c >= 0x80) return (c > 0xa0 && c < 0xc0) || c === 0xd7 || c === 0xf7;
  return c > SPACE && c < 0x7f && !isAlnum(c);
}

/** After a string conversion only the end, white space or punctuation may follow. */
function endsWord(c: number): boolean {
  return c === 0 || isSpace(c) || isPunct(c);
}

interface Spec {
  zero: boolean;
  left: boolean;
  plus: boolean;
  space: boolean;
  width: number;
}

class Formatter {
  readonly #fmt: Uint8Array;
  readonly #args: Uint32Array;
  readonly #memory: TextMemory;
  readonly #out: Uint8Array;
  /** Bytes of the whole text, those that `out` has no room for too. */
  length = 0;
  #at = 0;
  #arg = 0;
  #used = 0;

  constructor(fmt: Uint8Array, args: Uint32Array, memory: TextMemory, out: Uint8Array) {
    this.#fmt = fmt;
    this.#args = args;
    this.#memory = memory;
    this.#out = out;
  }

  #char(ahead: number): number {
    return this.#fmt[this.#at + ahead] ?? 0;
  }

  #letter(ahead: number): string {
    return String.fromCharCode(this.#char(ahead));
  }

  /** 0 or an errno. */
  run(): number {
    while (this.#at < this.#fmt.length) {
      const c = this.#char(0);
      if (c === 0x7f || (c < SPACE && !isSpace(c))) return -EINVAL;
      if (c !== PERCENT || this.#char(1) === PERCENT) {
        this.#put(c);
        this.#at += c === PERCENT ? 2 : 1;
        continue;
      }
      if (this.#arg >= this.#args.length / 2) return -EINVAL;
      this.#at++;
      const bad = this.#convert(this.#spec());
      if (bad !== 0) return bad;
      this.#arg++;
    }
    return 0;
  }

  #put(c: number): void {
    if (this.length < this.#out.length) this.#out[this.length] = c;
    this.length++;
  }

  #fill(c: number, count: number): void {
    if (count <= 0) return;
    this.#out.fill(c, Math.min(this.length, this.#out.length), Math.min(this.length + count, this.#out.length));
    this.length += count;
  }

  #spec(): Spec {
    const spec: Spec = { zero: false, left: false, plus: false, space: false, width: 0 };
    for (; ; this.#at++) {
      const c = this.#char(0);
      if (c === ZERO) spec.zero = true;
      else if (c === MINUS) spec.left = true;
      else if (c === PLUS) spec.plus = true;
      else if (c === SPACE) spec.space = true;
      else break;
    }
    // As in the kernel a number of 32 bits, which may come round to a negative one.
    for (; isDigit(this.#char(0)); this.#at++) spec.width = (Math.imul(spec.width, 10) + this.#char(0) - ZERO) | 0;
    spec.width = Math.max(0, Math.min(spec.width, WIDTH_MAX));
    return spec;
  }

  get #low(): number {
    return this.#args[this.#arg * 2]!;
  }

  get #high(): number {
    return this.#args[this.#arg * 2 + 1]!;
  }

  #convert(spec: Spec): number {
    switch (this.#letter(0)) {
      case "p":
        return this.#pointer(spec);
      case "s":
        this.#at++;
        return this.#string(spec, false);
      case "c":
        this.#at++;
        if (!this.#take(1, 1)) return -ENOSPC;
        this.#padded([this.#low & 0xff], spec);
        return 0;
      default:
        return this.#number(spec);
    }
  }

  /** Room for an argument, as the kernel keeps them until the text is made. */
  #take(bytes: number, align: number): boolean {
    const at = Math.ceil(this.#used / align) * align;
    if (ROOM - at < bytes) return false;
    this.#used = at + bytes;
    return true;
  }

  #number(spec: Spec): number {
    let wide = false;
    for (let i = 0; i < 2 && this.#letter(0) === "l"; i++) {
      wide = true;
      this.#at++;
    }
    const letter = this.#letter(0);
    if (!"iduxX".includes(letter) || letter === "\0") return -EINVAL;
    this.#at++;
    if (!this.#take(wide ? 8 : 4, 4)) return -ENOSPC;
    const bits = wide ? (BigInt(this.#high >>> 0) << 32n) | BigInt(this.#low >>> 0) : BigInt(this.#low >>> 0);
    const signed = letter === "d" || letter === "i";
    const value = signed ? BigInt.asIntN(wide ? 64 : 32, bits) : bits;
    const digits = (value < 0n ? -value : value).toString(letter === "x" || letter === "X" ? 16 : 10);
    let sign = "";
    if (signed) sign = value < 0n ? "-" : spec.plus ? "+" : spec.space ? " " : "";
    this.#digits(sign, letter === "X" ? digits.toUpperCase() : digits, spec);
    return 0;
  }

  #digits(sign: string, digits: string, spec: Spec): void {
    if (!spec.zero || spec.left) {
      this.#padded(encoder.encode(sign + digits), spec);
      return;
    }
    this.#text(encoder.encode(sign));
    this.#fill(ZERO, spec.width - sign.length - digits.length);
    this.#text(encoder.encode(digits));
  }

  #padded(text: ArrayLike<number>, spec: Spec): void {
    if (!spec.left) this.#fill(SPACE, spec.width - text.length);
    this.#text(text);
    if (spec.left) this.#fill(SPACE, spec.width - text.length);
  }

  /**
   * Text that was made before the rest: counts only while there is room. (What follows it then is garbage in the kernel,
   * which reads it from the wrong place; here it is what it should be.)
   */
  #ready(text: Uint8Array): void {
    if (this.length <= this.#out.length) this.#text(text);
  }

  #text(text: ArrayLike<number>): void {
    for (let i = 0; i < text.length; i++) this.#put(text[i]!);
  }

  /** A text of the kernel's, or of the user's. */
  #string(spec: Spec, user: boolean, asPointer = false): number {
    if (!endsWord(this.#char(0))) return -EINVAL;
    const room = ROOM - this.#used;
    if (room === 0) return -ENOSPC;
    const text = this.#memory.text(this.#low, this.#high, room - 1, user) ?? new Uint8Array(0);
    this.#used += text.length + 1;
    // Behind %p a text has been made before the width could count.
    if (asPointer) this.#ready(text);
    else this.#padded(text, spec);
    return 0;
  }

  #pointer(spec: Spec): number {
    this.#at++;
    const kind = this.#letter(0);
    const next = this.#letter(1);
    if ((kind === "k" || kind === "u") && next === "s") {
      this.#at += 2;
      return this.#string(spec, kind === "u", true);
    }
    if (endsWord(this.#char(0)) || "KxsSB".includes(kind)) return this.#address(spec, kind);
    if ((kind !== "i" && kind !== "I") || (next !== "4" && next !== "6")) return -EINVAL;
    return this.#ip(kind, next);
  }

  /** There are no symbols here and nothing to hide: every address is shown as the number it is. */
  #address(spec: Spec, kind: string): number {
    const value = (BigInt(this.#high >>> 0) << 32n) | BigInt(this.#low >>> 0);
    const hex = value.toString(16);
    const symbol = encoder.encode(`0x${hex}`);
    // Of %pB the text is kept, of the others the address.
    const kept = kind === "B" ? this.#take(Math.min(symbol.length + 1, ROOM - this.#used), 1) : this.#take(8, 4);
    if (!kept) return -ENOSPC;
    if (kind === "B") this.#ready(symbol);
    else if (kind === "s" || kind === "S") this.#padded(symbol, spec);
    else if (spec.width === 0) this.#digits("", hex, { ...spec, zero: true, width: 16 });
    else this.#digits("", hex, spec);
    this.#skipWord();
    return 0;
  }

  /** Letters and digits behind a pointer's conversion belong to it and are not shown. */
  #skipWord(): void {
    while (isAlnum(this.#char(0))) this.#at++;
  }

  #ip(kind: string, version: string): number {
    const bytes = new Uint8Array(version === "4" ? 4 : 16);
    if (ROOM - this.#used < bytes.length) return -ENOSPC;
    if (!this.#memory.read(this.#low, this.#high, bytes)) bytes.fill(0);
    const text = version === "4" ? ip4(bytes, kind === "i") : ip6(bytes, kind === "i" ? "" : ":");
    this.#used += Math.min(text.length + 1, ROOM - this.#used);
    this.#ready(encoder.encode(text));
    this.#skipWord();
    return 0;
  }
}

function ip4(bytes: Uint8Array, zeros: boolean): string {
  return [...bytes].map((b) => (zeros ? String(b).padStart(3, "0") : String(b))).join(".");
}

function ip6(bytes: Uint8Array, between: string): string {
  const groups = [0, 2, 4, 6, 8, 10, 12, 14].map((i) => (bytes[i]! << 8) | bytes[i + 1]!);
  return groups.map((g) => g.toString(16).padStart(4, "0")).join(between);
}

/**
 * Puts the text of a format (bytes before its NUL) into `out` as far as there is room, without a NUL. `args`: low and high
 * words. Returns the length of the whole text; -EINVAL for a format that the kernel refuses, -ENOSPC when the arguments
 * take too much.
 */
export function formatText(fmt: Uint8Array, args: Uint32Array, memory: TextMemory, out: Uint8Array): number {
  const formatter = new Formatter(fmt, args, memory, out);
  const bad = formatter.run();
  return bad === 0 ? formatter.length : bad;
}
