/**
 * One host under a sequence of calls, made for speed: attributes and buffers are written into one block of user memory
 * with guard bytes around each, the call is made on the raw bytes, and what is particular to the host in them (addresses,
 * fds, ids) is replaced by what it stands for. After that equal answers are equal bytes, whatever host gave them.
 */
import type { Host, UserBuffer } from "../../../src/host/host.ts";
import { EMBEDDED_BPFFS } from "../../bpffs.ts";
import { BAD, BAD_HIGH, NULL, type Twist } from "./op.ts";

/** Everything starts as this byte, so that what a call writes shows, wherever it writes. */
const UNTOUCHED = 0xa5;
const GUARD = 16;
const ATTR = 16;
/** Room for the attributes of any command, and for a size that is too large. */
const ATTR_ROOM = 320;
const BLOCK = 256 * 1024;
/** NULL and a little more: nobody's memory on any host. */
const BAD_ADDRESS = 8;
/** An address of the kernel's half: the upper word. */
const HIGH = 0xffff_8880;
/** Stands for an address in compared bytes. */
const POINTER = 0x7074_7200;

export class Side {
  readonly name: string;
  readonly host: Host;
  readonly bpffs: string;
  readonly bytes: Uint8Array;
  /** Programs that sequences load, assembled once: see `world.ts`. */
  readonly programs: Map<string, Uint8Array> = new Map();
  /** Result of the last call, without what is particular to the host. */
  ret = 0;
  /** Why the last call could not be made. */
  thrown: string | undefined;
  /** How much of the block the last call could see. */
  top = 0;
  readonly #buffer: UserBuffer;
  readonly #base: number;
  readonly #view: DataView;
  readonly #words: Int32Array;
  #attr = ATTR;
  #size = 0;
  /** Fours: where, lower word, upper word (-1: a field of 32 bits), and what is written there after the call. */
  readonly #particular: number[] = [];

  /** `bpffs`: where one is mounted that is the tests' own. */
  constructor(name: string, host: Host, bpffs: string = EMBEDDED_BPFFS) {
    this.bpffs = bpffs;
    this.name = name;
    this.host = host;
    this.#buffer = host.user.alloc(BLOCK);
    const { bytes, address } = this.#buffer;
    this.bytes = bytes;
    this.#base = Number(address);
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.#words = new Int32Array(bytes.buffer, bytes.byteOffset, bytes.byteLength >>> 2);
  }

  dispose(): void {
    this.#buffer.free();
  }

  /** Starts a call: `size` bytes of zeroed attributes unless the twist says otherwise. */
  begin(size: number, twist: Twist): void {
    const skew = twist.skew === true ? 3 : 0;
    const given = twist.size ?? size;
    this.bytes.fill(UNTOUCHED, 0, ATTR + ATTR_ROOM);
    this.#attr = ATTR + skew;
    this.#size = given;
    this.bytes.fill(0, this.#attr, this.#attr + given);
    this.top = ATTR + ATTR_ROOM;
    this.#particular.length = 0;
  }

  /** Room for a buffer behind what is there already; bytes around and in it are untouched ones. */
  room(length: number): number {
    const at = (this.top & ~7) + GUARD + (this.#attr & 3);
    const end = (at + length + GUARD + 11) & ~3;
    if (end > BLOCK) throw new Error(`a call with buffers of ${end} bytes: the block has ${BLOCK}`);
    this.bytes.fill(UNTOUCHED, this.top, end);
    this.top = end;
    return at;
  }

  put32(offset: number, value: number): void {
    if (offset + 4 <= this.#size) this.#view.setUint32(this.#attr + offset, value >>> 0, true);
  }

  put64(offset: number, value: number): void {
    this.put32(offset, value % 0x1_0000_0000);
    this.put32(offset + 4, Math.floor(value / 0x1_0000_0000));
  }

  /** A field that holds `value` here and is compared as `as`, as long as it is not changed. */
  local(offset: number, value: number, as: number): void {
    if (offset + 4 > this.#size) return;
    this.put32(offset, value);
    this.#particular.push(this.#attr + offset, value, -1, as);
  }

  text(offset: number, text: string): void {
    for (let i = 0; i < 16 && i < text.length && offset + i < this.#size; i++) {
      this.bytes[this.#attr + offset + i] = text.charCodeAt(i);
    }
  }

  /** The address of a place in the block, or what stands for an address of nobody. Nothing where it would be cut. */
  pointer(offset: number, to: number): void {
    if (to === NULL || offset + 8 > this.#size) return;
    if (to === BAD || to === BAD_HIGH) {
      this.put32(offset, BAD_ADDRESS);
      this.put32(offset + 4, to === BAD ? 0 : HIGH);
    } else {
      this.pointerAt(this.#attr + offset, to);
    }
  }

  /** The address of a place in the block as two words anywhere in it. */
  pointerAt(at: number, to: number): void {
    const address = this.#base + to;
    const [low, high] = [address >>> 0, Math.floor(address / 0x1_0000_0000)];
    this.#view.setUint32(at, low, true);
    this.#view.setUint32(at + 4, high, true);
    this.#particular.push(at, low, high, POINTER + (to & 0xff));
  }

  /** A word of a buffer that holds `value` here and is compared as `as`, as long as it is not changed. */
  localAt(at: number, value: number, as: number): void {
    this.setWord(at, value);
    this.#particular.push(at, value, -1, as);
  }

  /** The call. The result is what the host gave: see `ret`, which is 0 for a new fd. */
  call(cmd: number, twist: Twist): number {
    const { at, byte } = twist;
    if (at !== undefined && at < this.#size) this.bytes[this.#attr + at]! ^= byte!;
    const result = this.host.bpf(cmd, this.#base + this.#attr, this.#size);
    this.#normalize();
    this.ret = result;
    return result;
  }

  #normalize(): void {
    const list = this.#particular;
    const view = this.#view;
    for (let i = 0; i < list.length; i += 4) {
      const at = list[i]!;
      if (view.getUint32(at, true) !== list[i + 1]! >>> 0) continue;
      if (list[i + 2]! >= 0) {
        if (view.getUint32(at + 4, true) !== list[i + 2]) continue;
        view.setUint32(at + 4, 0, true);
      }
      view.setUint32(at, list[i + 3]!, true);
    }
  }

  /** A word of the attributes after the call. */
  get32(offset: number): number {
    return this.#view.getUint32(this.#attr + offset, true);
  }

  /** A word at a place of the block. */
  word(at: number): number {
    return this.#view.getUint32(at, true);
  }

  setWord(at: number, value: number): void {
    this.#view.setUint32(at, value, true);
  }

  /** Overwrites a word of the attributes that is not compared. */
  forget(offset: number): void {
    this.#view.setUint32(this.#attr + offset, 0, true);
  }

  /** A call that has no attributes: only its result is compared, and what `room` and the caller add. */
  plain(ret: number): void {
    this.ret = ret;
    this.top = 0;
  }

  /** As `plain`, with bytes of elsewhere. */
  show(ret: number, bytes: Uint8Array): void {
    this.plain(ret);
    const at = this.room(bytes.length);
    this.bytes.set(bytes, at);
  }

  equals(other: Side): boolean {
    if (this.ret !== other.ret || this.top !== other.top) return false;
    const a = this.#words;
    const b = other.#words;
    for (let i = (this.top + 3) >>> 2; i > 0; ) if (a[--i] !== b[i]) return false;
    return true;
  }

  /** Adds the last answer to a running digest. */
  digest(seed: number): number {
    const words = this.#words;
    let h = Math.imul(seed ^ this.ret, 0x9e37_79b1);
    for (let i = 0; i < (this.top + 3) >>> 2; i++) {
      h ^= words[i]!;
      h = (Math.imul((h << 13) | (h >>> 19), 5) + 0x6546_b64) | 0;
    }
    return (h ^ (h >>> 15)) | 0;
  }
}
