/**
 * The data of an LPM key in generated code. That of IPv4 and IPv6 addresses is in locals, highest byte first, so that
 * bits of it are shifts; of other keys words are loaded where they are wanted.
 */
import {
  blockValue,
  choose,
  const32,
  type Expr32,
  type Expr64,
  type Local32,
  local32,
  local64,
  loop,
  when,
} from "../wasm/expr.ts";
import type { ElementCall } from "./gen.ts";
import { DATA, KEY_DATA, LIST_CHECK } from "./lpm_node.ts";
import { MAP_KEY_SIZE, mapField } from "./map.ts";

const IPV4 = 4;
const IPV6 = 16;

export interface KeyBits {
  /** 32 bits from bit `from` on, below the data's end; what is behind that counts for nothing. */
  word(from: Local32): Expr32;
  /** Not 0 where the prefix in a list, of `len` bits, is not the key's. */
  differsFrom(list: Local32, len: Local32): Expr32;
  /** How many bits a node's data has in common with the key; what is behind the data may count. */
  inCommon(node: Local32): Expr32;
}

/** The same four bytes in the other order. */
function swapped(word: Expr32): Expr32 {
  const { code } = word;
  return blockValue(code, () => {
    const given = local32(code, word);
    return given.rotl(8).and(0x00ff_00ff).or(given.rotl(24).and(0xff00_ff00));
  });
}

export function keyBits(call: ElementCall, key: Local32): KeyBits {
  const size = mapField(call.mem, call.map, MAP_KEY_SIZE) - KEY_DATA;
  const words = inMemory(call, key, size);
  if (size === IPV4) return inWord(call, key);
  return size === IPV6 ? inHalves(call, key, words) : words;
}

function inMemory({ code }: ElementCall, key: Local32, size: number): KeyBits {
  /** Where `differ` finds bits, of a word at a time: how many are the same before; at the end what `same` says. */
  const compare = (end: Expr32 | number, differ: (at: Local32) => Expr32): Expr32 =>
    blockValue(code, (found) => {
      const at = local32(code, 0);
      const bits = local32(code);
      loop(code, (again) => {
        bits.set(differ(at));
        when(bits, () => found(at.shl(3).add(bits.clz())));
        at.set(at.add(4));
        again.when(at.ltU(end));
      });
      return at.shl(3);
    });
  return {
    word: (from) =>
      blockValue(code, () => {
        const at = local32(code, key.add(from.shrU(3)));
        const shift = local32(code, from.and(7));
        return swapped(at.load(KEY_DATA))
          .shl(shift)
          .or(at.load8(KEY_DATA + 4).shrU(const32(code, 8).sub(shift)));
      }),
    differsFrom: (list, len) =>
      compare(len.add(7).shrU(3), (at) => swapped(key.add(at).load(KEY_DATA)).xor(list.add(at).load(LIST_CHECK))).ltU(
        len,
      ),
    inCommon: (node) => compare(size, (at) => swapped(key.add(at).load(KEY_DATA).xor(node.add(at).load(DATA)))),
  };
}

function inWord({ code }: ElementCall, key: Local32): KeyBits {
  const data = local32(code, swapped(key.load(KEY_DATA)));
  return {
    word: (from) => data.shl(from),
    differsFrom: (list, len) => data.xor(list.load(LIST_CHECK)).clz().ltU(len),
    inCommon: (node) => data.xor(swapped(node.load(DATA))).clz(),
  };
}

function inHalves({ code }: ElementCall, key: Local32, words: KeyBits): KeyBits {
  const half = (offset: number): Expr64 =>
    swapped(key.load(offset))
      .extendU()
      .shl(32)
      .or(swapped(key.load(offset + 4)).extendU());
  const high = local64(code, half(KEY_DATA));
  const low = local64(code, half(KEY_DATA + 8));
  return {
    ...words,
    word: (from) =>
      choose(
        from.ltU(64),
        () =>
          high
            .shl(from.extendU())
            .or(low.shrU(1).shrU(from.xor(63).extendU()))
            .shrU(32)
            .wrap(),
        () => low.shl(from.extendU()).shrU(32).wrap(),
      ),
    // The first two words of the prefix at once: hardly a list is for more.
    differsFrom: (list, len) =>
      choose(
        len.sub(1).ltU(64),
        () => list.load64(LIST_CHECK).rotl(32).xor(high).shrU(const32(code, 64).sub(len).extendU()).ne(0),
        () => words.differsFrom(list, len),
      ),
  };
}
