/**
 * Updates and deletions of HASH and PERCPU_HASH in compiled programs: what `hash_ops.ts` does where locks are free, there
 * is room and the flags fit. All else is found out before anything is changed and goes through the helper, which does it
 * from the beginning. Between the look-up and the end there is neither loop nor call: a thread that is terminated never
 * leaves a chain half changed here.
 */

import { rup8 } from "../mem/layout.ts";
import type { Memory } from "../mem/memory.ts";
import { BPF_EXIST, BPF_FUNC_map_update_elem, BPF_NOEXIST, ENOENT } from "../uapi/index.ts";
import {
  block,
  blockValue,
  choose,
  type Exit,
  type Expr32,
  type Local32,
  local32,
  loop,
  select,
  when,
} from "../wasm/expr.ts";
import { emitLock, emitMove, emitPublish, emitUnlock, emitZero } from "./emit.ts";
import type { MapEnv } from "./env.ts";
import type { ElementCall, ElementGen, GenCall, MapGen } from "./gen.ts";
import { emitHash, keyIn, sameKey } from "./hash_gen_key.ts";
import { BUCKET_LOCK, FREE_END, SEQ_COUNTED } from "./hash_nodes.ts";
import {
  HT_BUCKETS,
  HT_COUNT,
  HT_END,
  HT_FREE,
  HT_LOCK,
  HT_MASK,
  HT_NEXT,
  HT_NEXT_VALUE,
  HT_NODE_SIZE,
  HT_SPAN,
  NODE_HASH,
  NODE_SEQ,
  NODE_VALUE,
  SEQ_LINKED,
  SEQ_USE,
} from "./hashtab.ts";
import { MAP_FIELDS, MAP_KEY_SIZE, MAP_MAX_ENTRIES, MAP_VALUE_SIZE, mapField } from "./map.ts";

/** Bytes that a new element's values have on all CPUs together; more are for the helper, whose call does not show then. */
const MAX_ZEROED = 1024;

/** A call, and where its key is. */
interface Place {
  readonly call: ElementCall;
  /** The table. */
  readonly at: Expr32;
  readonly key: Local32;
  readonly hash: Local32;
  readonly bucket: Local32;
  /** The node with this key, or 0; and the address of the link to it. */
  readonly old: Local32;
  readonly link: Local32;
}

/** Whether writing a value is but copying it: what special fields hold would end. */
function isPlain(mem: Memory, map: number): boolean {
  return mapField(mem, map, MAP_FIELDS) === 0;
}

/** Updates and deletions of HASH, from programs. */
export function genHashWrite({ mem }: MapEnv, map: number, helper: number): MapGen | undefined {
  if (!isPlain(mem, map)) return undefined;
  return { inline: false, emit: helper === BPF_FUNC_map_update_elem ? emitUpdate : emitDelete };
}

/** The same from commands; a deletion also of the per-CPU type. */
export const elementUpdate: ElementGen = emitUpdate;
export const elementDelete: ElementGen = emitDelete;

/** Updates and deletions of PERCPU_HASH. */
export function genPercpuWrite({ mem, cpus }: MapEnv, map: number, helper: number): MapGen | undefined {
  if (!isPlain(mem, map)) return undefined;
  const update = (call: GenCall): Expr32 => emitUpdatePercpu(call, cpus);
  return { inline: false, emit: helper === BPF_FUNC_map_update_elem ? update : emitDelete };
}

/**
 * The element's bucket is locked while `locked` runs, which leaves by `end` with the result, or by `refused`: then the
 * helper is called.
 */
function emitWrite(
  call: ElementCall,
  hasFlags: boolean,
  locked: (place: Place, refused: Exit, end: (result: number) => void) => void,
): Expr32 {
  const { code, mem, args } = call;
  const [key, , low, high] = args as [Local32, Local32, Local32, Local32];
  return blockValue(code, (end) => {
    block(code, (helper) => {
      if (hasFlags) helper.when(high.or(low.gtU(BPF_EXIST)));
      const hash = emitHash(call, key);
      const bucket = local32(code, hash.and(call.field(HT_MASK)).shl(3).add(call.field(HT_BUCKETS)));
      const lock = bucket.add(BUCKET_LOCK);
      emitLock(mem, lock, () => helper.go());
      block(code, (refused) => {
        const place = { call, at: call.at, key, hash, bucket, old: local32(code), link: local32(code) };
        emitFind(place);
        // BPF_NOEXIST for one that is there, BPF_EXIST for one that is not.
        if (hasFlags) refused.when(select(place.old, BPF_NOEXIST, BPF_EXIST).and(low));
        locked(place, refused, (result) => {
          emitUnlock(mem, lock);
          end(result);
        });
      });
      emitUnlock(mem, lock);
    });
    return call.helper;
  });
}

/** The same with the table's lock beside the bucket's. */
function emitTableWrite(
  { call: { code, mem }, at }: Place,
  refused: Exit,
  locked: (full: Exit) => void,
  end: (result: number) => void,
): void {
  const lock = at.add(HT_LOCK);
  emitLock(mem, lock, () => refused.go());
  block(code, (full) => {
    locked(full);
    emitUnlock(mem, lock);
    end(0);
  });
  emitUnlock(mem, lock);
  refused.go();
}

function emitUpdate(call: ElementCall): Expr32 {
  return emitWrite(call, true, (place, refused, end) => {
    emitTableWrite(place, refused, (full) => emitReplace(place, call.args[1]!, full), end);
  });
}

function emitDelete(call: ElementCall): Expr32 {
  return emitWrite(call, false, (place, refused, end) => {
    when(place.old.eqz(), () => end(-ENOENT));
    const drop = (): void => {
      emitBypass(place);
      emitLeft(place);
      emitFreeOld(place);
      addToCount(place, -1);
    };
    emitTableWrite(place, refused, drop, end);
  });
}

/** The value of an element that is there is changed in place; a new one's is zero on the other CPUs. */
function emitUpdatePercpu(call: GenCall, cpus: number): Expr32 {
  const { code, mem, map, args } = call;
  const src = args[1]!;
  const size = mapField(mem, map, MAP_VALUE_SIZE);
  const span = call.field(HT_SPAN);
  const storeOwn = (values: Expr32): void => emitMove(local32(code, values.add(call.cpu.mul(span))), src, size);
  const insert = (place: Place, full: Exit): void => {
    const node = emitNew(place, full, (values) => {
      const own = local32(code, call.cpu);
      const at = local32(code, values);
      for (let cpu = 0; cpu < cpus; cpu++) {
        when(own.ne(cpu), () => emitZero(at, size));
        at.set(at.add(span));
      }
      storeOwn(values);
    });
    emitLink(place, node, place.bucket.load());
    addToCount(place, 1);
  };
  return emitWrite(call, true, (place, refused, end) => {
    const { old } = place;
    if (size * cpus > MAX_ZEROED) refused.when(old.eqz());
    else when(old.eqz(), () => emitTableWrite(place, refused, (full) => insert(place, full), end));
    storeOwn(old.load(NODE_VALUE));
    end(0);
  });
}

/** A new element at the head of the bucket, in the place of the old one if there is one. */
function emitReplace(place: Place, value: Local32, full: Exit): void {
  const { call, bucket, old, link } = place;
  const { mem, map } = call;
  const node = emitNew(place, full, (to) => emitMove(to, value, mapField(mem, map, MAP_VALUE_SIZE)));
  // What is next: the head, the end of an empty bucket, or what is behind an old element that is the head itself.
  const oldIsHead = link.eq(bucket).and(old.ne(0));
  emitLink(place, node, select(oldIsHead, old, bucket).load());
  when(
    old,
    () => {
      when(link.ne(bucket), () => emitBypass(place));
      emitLeft(place);
      emitFreeOld(place);
    },
    () => addToCount(place, 1),
  );
}

/** A node for the key in no chain yet, in a new local. `fill` is given the address of its value. */
function emitNew(place: Place, full: Exit, fill: (value: Local32) => void): Local32 {
  const { call, at, key, hash, old } = place;
  const { code, mem, map } = call;
  full.when(old.eqz().and(at.load(HT_COUNT).geU(call.field(MAP_MAX_ENTRIES))));
  const node = emitTake(place, full);
  node.store(NODE_HASH, hash);
  const [to, offset] = keyIn(call, node);
  emitMove(to, key, mapField(mem, map, MAP_KEY_SIZE), offset);
  fill(local32(code, node.load(NODE_VALUE)));
  node.store(NODE_SEQ, node.load(NODE_SEQ).and(~SEQ_COUNTED).or(SEQ_LINKED));
  return node;
}

/** `next` is 0 in a bucket that was never used. */
function emitLink(place: Place, node: Local32, next: Expr32): void {
  const { call, bucket } = place;
  const behind = local32(call.code, next);
  node.store(0, select(behind, behind, marker(place)));
  emitPublish(call.mem, bucket, node);
}

/** `findNode` for who holds the bucket's lock; keeps the link too. */
function emitFind({ call, key, hash, bucket, old, link }: Place): void {
  const { code } = call;
  link.set(bucket);
  block(code, (found) => {
    loop(code, (next) => {
      old.set(link.load());
      when(old.and(1).or(old.eqz()), () => {
        old.set(0);
        found.go();
      });
      when(old.load(NODE_HASH).eq(hash), () => found.when(sameKey(call, old, key)));
      link.set(old);
      next.go();
    });
  });
}

/** `takeLocked` without its count: the node, in a new local. */
function emitTake({ call: { code, mem, map, field }, at }: Place, full: Exit): Local32 {
  const node = local32(code, at.load(HT_FREE));
  const nextFree = choose(
    node,
    // 0 behind the last.
    () => select(node.load().eq(FREE_END), 0, node.load()),
    () => {
      node.set(at.load(HT_NEXT));
      full.when(node.eq(at.load(HT_END)));
      at.store(HT_NEXT, node.add(field(HT_NODE_SIZE)));
      node.store(NODE_VALUE, at.load(HT_NEXT_VALUE));
      at.store(HT_NEXT_VALUE, at.load(HT_NEXT_VALUE).add(rup8(mapField(mem, map, MAP_VALUE_SIZE))));
      return 0;
    },
  );
  at.store(HT_FREE, nextFree);
  return node;
}

/** The link to the old node goes behind it, to what everybody may have seen already: see `unlinkNode`. */
function emitBypass({ old, link }: Place): void {
  link.store(0, old.load());
}

/** The old node's sequence number, once it has left its chain. */
function emitLeft({ old }: Place): void {
  old.store(
    NODE_SEQ,
    old
      .load(NODE_SEQ)
      .and(~(SEQ_LINKED | SEQ_COUNTED))
      .add(SEQ_USE),
  );
}

/** The old node's link to the free ones. */
function emitFreeOld({ call: { code }, at, old }: Place): void {
  const first = local32(code, at.load(HT_FREE));
  old.store(0, select(first, first, FREE_END));
  at.store(HT_FREE, old);
}

function addToCount({ at }: Place, n: number): void {
  at.store(HT_COUNT, at.load(HT_COUNT).add(n));
}

/** What ends the bucket's chain. */
function marker({ call, bucket }: Place): Expr32 {
  return bucket.sub(call.field(HT_BUCKETS)).shrU(2).or(1);
}
