/**
 * LOOKUP, UPDATE, DELETE and GET_NEXT_KEY of one element, judged by a few comparisons where all is as it mostly is: the
 * attributes, key and value in the first arena, a map that the host knows. Rows of commands say the same of any pointer,
 * but to go by them takes a tenth of the call.
 */
import {
  BPF_MAP_DELETE_ELEM,
  BPF_MAP_GET_NEXT_KEY,
  BPF_MAP_LOOKUP_ELEM,
  BPF_MAP_UPDATE_ELEM,
  bpf_attr,
} from "../uapi/index.ts";
import type { Fds } from "./kernel_fds.ts";
import type { NativeMemory } from "./user_memory.ts";

const { elem } = bpf_attr;
// Constants of this module are folded into compiled code; imported ones are read and checked each time.
const LOOKUP: number = BPF_MAP_LOOKUP_ELEM;
const UPDATE: number = BPF_MAP_UPDATE_ELEM;
const DELETE: number = BPF_MAP_DELETE_ELEM;
const NEXT_KEY: number = BPF_MAP_GET_NEXT_KEY;
const WHOLE: number = elem.flags.offset + elem.flags.size;
const KEY_ONLY: number = elem.key.offset + elem.key.size;
const UP_TO_NEXT: number = elem.next_key.offset + elem.next_key.size;
const W_FD: number = elem.map_fd.offset >>> 2;
const W_KEY: number = elem.key.offset >>> 2;
/** GET_NEXT_KEY has the place of the next key here. */
const W_VALUE: number = elem.value.offset >>> 2;
const HIGH = 0x1_0000_0000;

export class ElementJudge {
  readonly #fds: Fds;
  readonly #words: Uint32Array;
  readonly #base: number;
  readonly #size: number;

  constructor(memory: NativeMemory, fds: Fds) {
    this.#fds = fds;
    this.#words = new Uint32Array(memory.view.buffer);
    this.#base = memory.base;
    this.#size = memory.size;
  }

  /** Whether it is one of these commands, and may be made as it is. False: it has to be judged in full. */
  good(cmd: number, address: number, size: number): boolean {
    const at = address - this.#base;
    if ((at & ~7) !== at || at < 0 || at > this.#size - WHOLE) return false;
    const words = this.#words;
    const w = at >>> 2;
    const shape = this.#fds.known(words[w + W_FD]!);
    if (shape === undefined || !this.#holds(w + W_KEY, shape.keySize)) return false;
    if (cmd === LOOKUP || cmd === UPDATE) return size === WHOLE && this.#holds(w + W_VALUE, shape.valueBytes);
    if (cmd === DELETE) return size === KEY_ONLY;
    return cmd === NEXT_KEY && size === UP_TO_NEXT && this.#holds(w + W_VALUE, shape.keySize);
  }

  /** Whether so many bytes are in the arena where the two words at this index point to. */
  #holds(w: number, bytes: number): boolean {
    const words = this.#words;
    const offset = words[w + 1]! * HIGH + words[w]! - this.#base;
    return offset >= 0 && offset <= this.#size - bytes;
  }
}
