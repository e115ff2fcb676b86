/**
 * Updates of the LRU hash types in compiled programs, where the CPU's share has a free element: what `replace` and
 * `storeOrAdd` (lru_ops.ts) do then. All else is left to them: filling the share, flags that do not fit, and a lock that
 * another client holds.
 */
import { BPF_EXIST, BPF_F_NO_COMMON_LRU, BPF_FUNC_map_update_elem, BPF_NOEXIST } from "../uapi/index.ts";
import { block, blockValue, const32, type Expr32, type Local32, local32, loop, select, when } from "../wasm/expr.ts";
import { emitCopy, emitLock, emitPublish, emitUnlock, emitZero } from "./emit.ts";
import type { MapEnv } from "./env.ts";
import type { GenCall, MapGen } from "./gen.ts";
import { emitRefer, findThen, genLruLookup, genPercpuLruLookup } from "./hash_gen.ts";
import { emitHash } from "./hash_gen_key.ts";
import {
  HT_BUCKETS,
  HT_KEY,
  HT_MASK,
  HT_SPAN,
  NODE_HASH,
  NODE_HEAD,
  NODE_SEQ,
  NODE_VALUE,
  SEQ_LINKED,
  SEQ_USE,
} from "./hashtab.ts";
import { LRU_LISTS } from "./lru.ts";
import {
  COUNTS,
  CPU,
  FREE,
  FREE_HEAD,
  IN,
  LISTS_SIZE,
  NEXT,
  PENDING,
  PENDING_HEAD,
  PREV,
  REF,
  ROTATE,
} from "./lru_list.ts";
import { MAP_FIELDS, MAP_FLAGS, MAP_KEY_SIZE, MAP_LOCK, MAP_VALUE_SIZE, mapField } from "./map.ts";

export function genLru(env: MapEnv, map: number, helper: number): MapGen | undefined {
  return helper === BPF_FUNC_map_update_elem ? genUpdate(env, map, emitReplace) : genLruLookup(env, map, helper);
}

export function genPercpuLru(env: MapEnv, map: number, helper: number): MapGen | undefined {
  if (helper !== BPF_FUNC_map_update_elem) return genPercpuLruLookup(env, map, helper);
  return genUpdate(env, map, (update) => emitStoreOrAdd(update, env.cpus));
}

/** The call, and locals: the address of the share, its first free node, and the node that has the key, or 0. */
interface Update {
  readonly call: GenCall;
  readonly hash: Local32;
  readonly share: Local32;
  readonly node: Local32;
  readonly old: Local32;
}

function genUpdate({ mem }: MapEnv, map: number, emitChange: (update: Update) => void): MapGen | undefined {
  if ((mapField(mem, map, MAP_FLAGS) & BPF_F_NO_COMMON_LRU) !== 0 || mapField(mem, map, MAP_FIELDS) !== 0) return;
  return { inline: false, emit: (call) => emitUpdate(call, emitChange) };
}

function emitUpdate(call: GenCall, emitChange: (update: Update) => void): Expr32 {
  const { code, mem, map, args } = call;
  const [key, , flags, flagsHigh] = args as [Local32, Local32, Local32, Local32];
  const lock = const32(code, map + MAP_LOCK);
  return blockValue(code, (end) => {
    block(code, (other) => {
      other.when(flags.gtU(BPF_EXIST).or(flagsHigh));
      const hash = emitHash(call, key);
      const share = local32(code, call.cpu.mul(LISTS_SIZE).add(mapField(mem, map, LRU_LISTS) + LISTS_SIZE));
      emitLock(mem, lock, () => end(call.helper));
      block(code, (unlock) => {
        const node = local32(code, share.load(FREE_HEAD));
        unlock.when(node.eqz());
        node.set(node.sub(NODE_HEAD));
        const old = local32(
          code,
          findThen(call, key, hash, (found) => found),
        );
        // Not with BPF_NOEXIST when it is there, nor with BPF_EXIST, which is one more, when it is not.
        unlock.when(old.eqz().add(BPF_NOEXIST).eq(flags));
        emitChange({ call, hash, share, node, old });
        emitUnlock(mem, lock);
        end(0);
      });
      emitUnlock(mem, lock);
    });
    return call.helper;
  });
}

function emitReplace(update: Update): void {
  const { call, node, old } = update;
  const { code, mem, map, args } = call;
  emitCopy(local32(code, node.load(NODE_VALUE)), args[1]!, mapField(mem, map, MAP_VALUE_SIZE));
  const bucket = emitAdd(update);
  when(old, () => {
    node.store8(NODE_HEAD + REF, 1);
    emitDrop(update, bucket);
  });
}

/** Where the key is there the free node stays what it is. */
function emitStoreOrAdd(update: Update, cpus: number): void {
  const { call, node, old } = update;
  const { code, mem, map, args } = call;
  const size = mapField(mem, map, MAP_VALUE_SIZE);
  const span = mapField(mem, map, HT_SPAN);
  const value = local32(code);
  when(
    old,
    () => {
      emitRefer(old);
      value.set(old.load(NODE_VALUE));
    },
    () => {
      value.set(node.load(NODE_VALUE));
      const last = local32(code, value.add(span * (cpus - 1)));
      loop(code, (next) => {
        emitZero(last, size);
        when(last.ne(value), () => {
          last.set(last.sub(span));
          next.go();
        });
      });
    },
  );
  value.set(value.add(call.cpu.mul(span)));
  emitCopy(value, args[1]!, size);
  when(old.eqz(), () => emitAdd(update));
}

/** `takeFree`, `setKey`, `linkHead` and `enterLruNode`. Returns the bucket's address. */
function emitAdd({ call, hash, share, node }: Update): Local32 {
  const { code, mem, map, args } = call;
  const link = node.add(NODE_HEAD);
  share.store(FREE_HEAD, node.load(NODE_HEAD + NEXT));

  node.store(NODE_HASH, hash);
  emitCopy(node, args[0]!, mapField(mem, map, MAP_KEY_SIZE), mapField(mem, map, HT_KEY));

  node.store(NODE_SEQ, node.load(NODE_SEQ).or(SEQ_LINKED));
  const number = local32(code, hash.and(mapField(mem, map, HT_MASK)));
  const bucket = local32(code, number.shl(3).add(mapField(mem, map, HT_BUCKETS)));
  // In front of the first node, or of the marker with the bucket's number.
  node.store(0, select(bucket.load(), bucket.load(), number.shl(1).or(1)));
  emitPublish(mem, bucket, node);

  node.store(NODE_HEAD + IN, call.cpu.shl(8 * (CPU - IN)).or(PENDING));
  node.store(NODE_HEAD + PREV, share.add(PENDING_HEAD));
  const first = local32(code, share.load(PENDING_HEAD + NEXT));
  node.store(NODE_HEAD + NEXT, first);
  first.store(PREV, link);
  share.store(PENDING_HEAD + NEXT, link);
  return bucket;
}

/** `dropLruNode`, of the node that had the key. */
function emitDrop({ call, old }: Update, bucket: Local32): void {
  const { code, mem, map } = call;
  const common = const32(code, mapField(mem, map, LRU_LISTS));
  const at = local32(code, bucket);
  loop(code, (search) => {
    when(at.load().ne(old), () => {
      at.set(at.load());
      search.go();
    });
  });
  at.store(0, old.load());
  old.store(NODE_SEQ, old.load(NODE_SEQ).add(SEQ_USE - SEQ_LINKED));

  const link = local32(code, old.add(NODE_HEAD));
  const lists = local32(code, common);
  const list = local32(code, link.load8(IN));
  when(
    list.eq(PENDING),
    () => lists.set(common.add(LISTS_SIZE).add(link.load8(CPU).mul(LISTS_SIZE))),
    () => {
      when(lists.load(ROTATE).eq(link), () => lists.store(ROTATE, link.load(PREV)));
      const count = local32(code, list.shl(2).add(common));
      count.store(COUNTS, count.load(COUNTS).sub(1));
    },
  );

  const previous = local32(code, link.load(PREV));
  const next = local32(code, link.load(NEXT));
  previous.store(NEXT, next);
  next.store(PREV, previous);

  link.store8(IN, FREE);
  link.store(NEXT, lists.load(FREE_HEAD));
  lists.store(FREE_HEAD, link);
}
