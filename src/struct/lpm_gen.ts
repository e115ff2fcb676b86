/**
 * Lookups of LPM_TRIE in compiled programs: what `lookupLpm` and `searchTrie` do for keys of full length, for one map, by
 * the same rules for readers. All else is the helper's own function: shorter keys, and on a shared host what a writer
 * may have spoiled.
 */
import { BPF_FUNC_map_lookup_elem, BPF_MAP_LOOKUP_ELEM, ENOENT } from "../uapi/index.ts";
import {
  block,
  blockValue,
  choose,
  const32,
  type Exit,
  type Expr32,
  type Local32,
  local32,
  loop,
  type Operand32,
  select,
  when,
} from "../wasm/expr.ts";
import { emitCopy } from "./emit.ts";
import type { MapEnv } from "./env.ts";
import type { ElementCall, ElementGen, MapGen } from "./gen.ts";
import { type KeyBits, keyBits } from "./lpm_gen_key.ts";
import {
  BITS_SHIFT,
  CHILD,
  ENTRY_ADDRESS,
  ENTRY_BITS_SHIFT,
  ENTRY_LIST,
  ENTRY_SKIP_MAX,
  ENTRY_SKIP_SHIFT,
  ENTRY_TABLE,
  LIST_CHECK,
  LIST_COUNT_MAX,
  LIST_COUNT_SHIFT,
  LIST_NODE,
  LISTED,
  LPM_ROOT,
  LPM_SEQ,
  MIN_BITS,
  maxPrefix,
  PARENT,
  ROW_SIZE,
  TABLE,
  TABLED,
  VALUE,
} from "./lpm_node.ts";
import { MAP_VALUE_SIZE, mapField } from "./map.ts";

/** No node and no list has more bytes. */
const PIECE_MAX = 4096;
/** No way down and up again has more nodes: the longest prefix has 2,048 bits. */
const MAX_STEPS = 4096;

export function genLpm(_env: MapEnv, _map: number, helper: number): MapGen | undefined {
  return helper === BPF_FUNC_map_lookup_elem ? { inline: false, emit: emitLookup } : undefined;
}

function emitLookup(call: ElementCall): Expr32 {
  return emitSearch(call, (value) => value);
}

/** What `copyLpm` does. */
function emitCopyOut(call: ElementCall): Expr32 {
  const { mem, map, args } = call;
  return emitSearch(call, (from, checked) =>
    choose(
      from,
      () => {
        emitCopy(args[1]!, from, mapField(mem, map, MAP_VALUE_SIZE));
        checked();
        return 0;
      },
      () => -ENOENT,
    ),
  );
}

/** A lookup from user space; changes are left to the trie's own functions. */
export function genLpmElement(_env: MapEnv, cmd: number): ElementGen | undefined {
  return cmd === BPF_MAP_LOOKUP_ELEM ? emitCopyOut : undefined;
}

/** `then` is given the value's address, or 0, and what to do once more was read. */
function emitSearch(call: ElementCall, then: (value: Local32, checked: () => void) => Operand32): Expr32 {
  const { code, mem, map, args, at } = call;
  const key = args[0]!;
  return blockValue(code, (end) => {
    block(code, (other) => {
      other.when(key.load().ne(maxPrefix(mem, map)));
      const seq = local32(code);
      const checked = (): void => {
        if (mem.shared) other.when(at.atomicLoad(LPM_SEQ).ne(seq));
      };
      if (mem.shared) {
        seq.set(at.atomicLoad(LPM_SEQ));
        other.when(seq.and(1));
      }
      const value = local32(code, new Search(call, key, other).emit());
      checked();
      end(then(value, checked));
    });
    return call.helper;
  });
}

class Search {
  readonly #call: ElementCall;
  readonly #key: KeyBits;
  readonly #most: number;
  /** Where a reader ends who was led astray. */
  readonly #astray: Exit;
  readonly #node: Local32;
  readonly #from: Local32;
  /** A table, an entry of it, or a list. */
  readonly #at: Local32;
  readonly #steps: Local32;

  constructor(call: ElementCall, key: Local32, astray: Exit) {
    const { code, mem, map } = call;
    this.#call = call;
    this.#key = keyBits(call, key);
    this.#most = maxPrefix(mem, map);
    this.#astray = astray;
    this.#node = local32(code);
    this.#from = local32(code);
    this.#at = local32(code);
    this.#steps = local32(code, MAX_STEPS);
  }

  emit(): Expr32 {
    const { code, at } = this.#call;
    return blockValue(code, (end) => {
      const node = this.#node;
      node.set(at.load(LPM_ROOT));
      when(node.eqz(), () => end(0));
      block(code, (compare) => {
        loop(code, (next) => {
          this.#count();
          block(code, (list) => {
            block(code, (plain) => this.#followTables(plain, list, next, compare));
            const child = this.#at;
            child.set(node.add(this.#key.word(this.#from).shrU(31).shl(2)).load(CHILD));
            compare.when(child.eqz());
            this.#moveTo(child);
            next.go();
          });
          this.#lookInList(next, compare, end);
        });
      });
      return this.#longest();
    });
  }

  /** A reader of a shared host reads nothing that is not there. */
  #guard(address: Expr32): void {
    const { mem } = this.#call;
    if (mem.shared) this.#astray.when(address.gtU(mem.byteLength - PIECE_MAX));
  }

  /** It goes on for no longer than any way is. */
  #count(): void {
    if (!this.#call.mem.shared) return;
    this.#steps.set(this.#steps.sub(1));
    this.#astray.when(this.#steps.eqz());
  }

  #moveTo(node: Expr32): void {
    this.#node.set(node);
    this.#guard(this.#node);
  }

  /** A prefix is never as long as that where a table or a list begins. */
  #isShorter(len: Expr32): void {
    if (this.#call.mem.shared) this.#astray.when(len.geU(this.#most));
  }

  /** From a node with a table: the next node, or with its address in `at` a list. */
  #followTables(plain: Exit, list: Exit, next: Exit, compare: Exit): void {
    const { code } = this.#call;
    const [node, from, at] = [this.#node, this.#from, this.#at];
    const bits = local32(code, node.load());
    from.set(bits.and(TABLED - 1));
    compare.when(from.geU(this.#most));
    plain.when(bits.ltU(TABLED));
    at.set(node.load(TABLE));
    list.when(bits.geU(LISTED));
    bits.set(bits.shrU(BITS_SHIFT));
    loop(code, (again) => {
      // Shifts count modulo 32.
      at.set(at.add(this.#key.word(from).shrU(const32(code, 32).sub(bits)).shl(2)));
      this.#guard(at);
      at.set(at.load());
      when(at.and(ENTRY_TABLE), () => {
        from.set(from.add(bits).add(at.shrU(ENTRY_SKIP_SHIFT).and(ENTRY_SKIP_MAX)));
        this.#isShorter(from);
        bits.set(at.shrU(ENTRY_BITS_SHIFT).and(15).add(MIN_BITS));
        at.set(at.and(ENTRY_ADDRESS));
        again.go();
      });
    });
    when(at.and(ENTRY_LIST), () => {
      at.set(at.sub(ENTRY_LIST));
      list.go();
    });
    this.#moveTo(at);
    // Nothing further down has these bits.
    compare.when(lenOf(node).ltU(from.add(bits)));
    next.go();
  }

  /** What `lookInList` does: the answer, or the node where the way goes on or is compared. */
  #lookInList(next: Exit, compare: Exit, end: (value: Expr32) => void): void {
    const { code } = this.#call;
    const [list, len] = [this.#at, this.#from];
    this.#guard(list);
    const head = local32(code, list.load());
    len.set(head.and(TABLED - 1));
    this.#isShorter(len);
    this.#moveTo(list.load(LIST_NODE));
    compare.when(this.#key.differsFrom(list, len));
    const word = local32(code, this.#key.word(len));
    const left = local32(code, head.shrU(LIST_COUNT_SHIFT).and(LIST_COUNT_MAX));
    const row = local32(code, list.add(LIST_CHECK).add(len.add(31).shrU(5).shl(2)));
    const bits = local32(code);
    loop(code, (again) => {
      compare.when(left.eqz());
      bits.set(row.load());
      // Of the row's bits those count that are above the lowest one.
      const lowest = bits.and(const32(code, 0).sub(bits));
      when(bits.xor(word).and(const32(code, 0).sub(lowest).shl(1)).eqz(), () => {
        bits.set(row.load(4));
        when(bits.and(1).eqz(), () => end(bits));
        this.#moveTo(bits.sub(1));
        next.go();
      });
      row.set(row.add(ROW_SIZE));
      left.set(left.sub(1));
      again.go();
    });
  }

  /** What `longest` does, from where the way ended. */
  #longest(): Expr32 {
    const { code } = this.#call;
    const node = this.#node;
    return blockValue(code, (end) => {
      const match = local32(code, this.#key.inCommon(node));
      const len = local32(code, lenOf(node));
      match.set(select(match.ltU(len), match, len));
      const value = local32(code);
      loop(code, (again) => {
        value.set(node.load(VALUE));
        when(value, () => when(lenOf(node).leU(match), () => end(value)));
        node.set(node.load(PARENT));
        when(node.eqz(), () => end(0));
        this.#guard(node);
        this.#count();
        again.go();
      });
      return 0;
    });
  }
}

function lenOf(node: Local32): Expr32 {
  return node.load().and(TABLED - 1);
}
