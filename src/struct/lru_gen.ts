/**
 * Updates and deletions of the LRU hash types in compiled programs: what `replace`, `storeOrAdd` and `remove`
 * (lru_ops.ts) do, with elements that make room for others. Left to them are nodes that were never used, flags that do
 * not fit, a CPU that has to look for spoils with others, and a lock that another client holds: there nothing was done,
 * or only what they would find done. A client may die anywhere in here: who takes its lock makes all lists again.
 */
import {
  BPF_ANY,
  BPF_EXIST,
  BPF_F_NO_COMMON_LRU,
  BPF_FUNC_map_delete_elem,
  BPF_FUNC_map_update_elem,
  BPF_NOEXIST,
  ENOENT,
} from "../uapi/index.ts";
import {
  block,
  blockValue,
  const32,
  type Exit,
  type Expr32,
  type Local32,
  local32,
  loop,
  select,
  when,
} from "../wasm/expr.ts";
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
} from "./hashtab.ts";
import { LRU_LISTS, LRU_TARGET, OWN_SCANS, OWN_TARGET, SCANS } from "./lru.ts";
import {
  emitAttach,
  emitDetach,
  emitEnter,
  emitFlushPending,
  emitLeave,
  emitMoveFree,
  emitPutFree,
  emitRotate,
  emitShrink,
  emitUnlink,
} from "./lru_gen_lists.ts";
import { CPU, FREE_HEAD, IN, INACTIVE, LISTS_SIZE, NEXT, PENDING, PENDING_HEAD, REF, UNUSED } from "./lru_list.ts";
import { MAP_FIELDS, MAP_FLAGS, MAP_KEY_SIZE, MAP_LOCK, MAP_VALUE_SIZE, mapField } from "./map.ts";

export function genLru(env: MapEnv, map: number, helper: number): MapGen | undefined {
  return genWrite(env, map, helper, emitUpdate) ?? genLruLookup(env, map, helper);
}

export function genPercpuLru(env: MapEnv, map: number, helper: number): MapGen | undefined {
  const update = (call: GenCall): Expr32 => emitUpdatePercpu(call, env.cpus);
  return genWrite(env, map, helper, update) ?? genPercpuLruLookup(env, map, helper);
}

function genWrite(
  { mem }: MapEnv,
  map: number,
  helper: number,
  emitUpdate: (call: GenCall) => Expr32,
): MapGen | undefined {
  // Of an element with such fields more ends than the element.
  if (mapField(mem, map, MAP_FIELDS) !== 0) return undefined;
  if (helper === BPF_FUNC_map_update_elem) return { inline: false, emit: emitUpdate };
  return helper === BPF_FUNC_map_delete_elem ? { inline: false, emit: emitDelete } : undefined;
}

function hasOwn({ mem, map }: GenCall): boolean {
  return (mapField(mem, map, MAP_FLAGS) & BPF_F_NO_COMMON_LRU) !== 0;
}

function cpuLists({ mem, map }: GenCall, cpu: Expr32): Expr32 {
  return cpu.mul(LISTS_SIZE).add(mapField(mem, map, LRU_LISTS) + LISTS_SIZE);
}

function emitFindNode(call: GenCall, hash: Local32): Local32 {
  return local32(
    call.code,
    findThen(call, call.args[0]!, hash, (found) => found),
  );
}

function emitBucket({ code, mem, map }: GenCall, hash: Local32): Local32 {
  const index = hash.and(mapField(mem, map, HT_MASK));
  return local32(code, index.shl(3).add(mapField(mem, map, HT_BUCKETS)));
}

/** `locked` runs under the map's lock and leaves by `end`, or by `refused`: then, as where `refuses`, it is the helper's. */
function emitWrite(
  call: GenCall,
  refuses: Expr32 | undefined,
  locked: (hash: Local32, refused: Exit, end: (result: number) => void) => void,
): Expr32 {
  const { code, mem, map, args } = call;
  const lock = const32(code, map + MAP_LOCK);
  return blockValue(code, (end) => {
    block(code, (helper) => {
      if (refuses !== undefined) helper.when(refuses);
      const hash = emitHash(call, args[0]!);
      emitLock(mem, lock, () => helper.go());
      block(code, (refused) => {
        locked(hash, refused, (result) => {
          emitUnlock(mem, lock);
          end(result);
        });
      });
      emitUnlock(mem, lock);
    });
    return call.helper;
  });
}

function emitDelete(call: GenCall): Expr32 {
  return emitWrite(call, undefined, (hash, _, end) => {
    const old = emitFindNode(call, hash);
    when(old.eqz(), () => end(-ENOENT));
    emitDrop(call, emitBucket(call, hash), old);
    end(0);
  });
}

/** The call, and locals: the address of what the CPU has, its first free node, and the node that has the key, or 0. */
interface Update {
  readonly call: GenCall;
  readonly hash: Local32;
  readonly lists: Local32;
  readonly node: Local32;
  readonly old: Local32;
}

function emitUpdate(call: GenCall): Expr32 {
  return emitChange(call, emitFirstFree, emitReplace);
}

function emitUpdatePercpu(call: GenCall, cpus: number): Expr32 {
  const [, , flags] = call.args as [Local32, Local32, Local32];
  // With BPF_EXIST no node is needed.
  const free = (place: GenCall, lists: Local32, node: Local32, refused: Exit): void => {
    when(flags.ne(BPF_EXIST), () => emitFirstFree(place, lists, node, refused));
  };
  return emitChange(call, free, (update) => emitStoreOrAdd(update, cpus));
}

function emitChange(call: GenCall, emitNode: typeof emitFirstFree, change: (update: Update) => void): Expr32 {
  const { code, args } = call;
  const [, , flags, flagsHigh] = args as [Local32, Local32, Local32, Local32];
  // Where elements turn with each update the helper cannot begin again, as it does where the flags do not fit.
  const refuses = flags.gtU(hasOwn(call) ? BPF_ANY : BPF_EXIST).or(flagsHigh);
  return emitWrite(call, refuses, (hash, refused, end) => {
    const lists = local32(code, cpuLists(call, call.cpu));
    const node = local32(code, 0);
    emitNode(call, lists, node, refused);
    const old = emitFindNode(call, hash);
    // Not with BPF_NOEXIST when it is there, nor with BPF_EXIST, which is one more, when it is not.
    refused.when(old.eqz().add(BPF_NOEXIST).eq(flags));
    change({ call, hash, lists, node, old });
    end(0);
  });
}

/** `takeLruNode`: the first free node, which is taken where it is used. */
function emitFirstFree(call: GenCall, lists: Local32, node: Local32, refused: Exit): void {
  const own = hasOwn(call);
  const link = local32(call.code, lists.load(FREE_HEAD));
  when(link.eqz(), () => refused.when(lists.load(UNUSED)));
  if (own) emitRotate(lists, OWN_SCANS);
  when(link.eqz(), () => {
    if (own) emitShrink(call, lists, OWN_TARGET, OWN_SCANS, lists);
    else emitRefill(call, lists);
    link.set(lists.load(FREE_HEAD));
    refused.when(link.eqz());
  });
  node.set(link.sub(NODE_HEAD));
}

function emitRefill(call: GenCall, share: Local32): void {
  const { code, mem, map } = call;
  const lists = const32(code, mapField(mem, map, LRU_LISTS));
  emitFlushPending(lists, share);
  emitRotate(lists, SCANS);
  const missing = emitMoveFree(lists, share, mapField(mem, map, LRU_TARGET));
  when(missing, () => emitShrink(call, lists, missing, SCANS, share));
}

function emitReplace(update: Update): void {
  const { call, node, old } = update;
  const { code, mem, map, args } = call;
  emitKey(update);
  emitCopy(local32(code, node.load(NODE_VALUE)), args[1]!, mapField(mem, map, MAP_VALUE_SIZE));
  const bucket = emitAdd(update);
  when(old, () => {
    node.store8(NODE_HEAD + REF, 1);
    emitDrop(call, bucket, old);
  });
}

/** Where the key is there the free node stays what it is. */
function emitStoreOrAdd(update: Update, cpus: number): void {
  const { call, node, old } = update;
  const { code, mem, map, args } = call;
  const size = mapField(mem, map, MAP_VALUE_SIZE);
  const span = mapField(mem, map, HT_SPAN);
  const first = local32(code, select(old, old, node).load(NODE_VALUE));
  const own = local32(code, first.add(call.cpu.mul(span)));
  when(
    old,
    () => emitRefer(old),
    () => {
      emitKey(update);
      const value = local32(code, first.add(span * (cpus - 1)));
      loop(code, (next) => {
        when(value.ne(own), () => emitZero(value, size));
        when(value.ne(first), () => {
          value.set(value.sub(span));
          next.go();
        });
      });
    },
  );
  emitCopy(own, args[1]!, size);
  when(old.eqz(), () => emitAdd(update));
}

/** `setKey`. Before the value is written: the key may lie in the one that the node had. */
function emitKey({ call: { mem, map, args }, hash, node }: Update): void {
  node.store(NODE_HASH, hash);
  emitCopy(node, args[0]!, mapField(mem, map, MAP_KEY_SIZE), mapField(mem, map, HT_KEY));
}

/** `takeFree`, `linkHead` and `enterLruNode`. Returns the bucket's address. */
function emitAdd({ call, hash, lists, node }: Update): Local32 {
  const { code, mem, map } = call;
  const link = local32(code, node.add(NODE_HEAD));
  lists.store(FREE_HEAD, link.load(NEXT));

  node.store(NODE_SEQ, node.load(NODE_SEQ).or(SEQ_LINKED));
  const bucket = emitBucket(call, hash);
  // In front of the first node, or of the marker with the bucket's number.
  const marker = hash
    .and(mapField(mem, map, HT_MASK))
    .shl(1)
    .or(1);
  node.store(0, select(bucket.load(), bucket.load(), marker));
  emitPublish(mem, bucket, node);

  if (hasOwn(call)) {
    emitEnter(lists, link, INACTIVE);
    link.store8(CPU, call.cpu);
  } else {
    link.store(IN, call.cpu.shl(8 * (CPU - IN)).or(PENDING));
    emitAttach(lists.add(PENDING_HEAD), link);
  }
  return bucket;
}

/** `dropLruNode` */
function emitDrop(call: GenCall, bucket: Local32, node: Local32): void {
  const { code, mem, map } = call;
  emitUnlink(bucket, node);
  const link = local32(code, node.add(NODE_HEAD));
  const lists = local32(code, cpuLists(call, link.load8(CPU)));
  const list = local32(code, link.load8(IN));
  const leave = (): void => emitLeave(lists, link, list.shl(2).add(lists));
  if (hasOwn(call)) leave();
  else
    when(
      list.eq(PENDING),
      () => emitDetach(link),
      () => {
        lists.set(mapField(mem, map, LRU_LISTS));
        leave();
      },
    );
  emitPutFree(lists, link);
}
