/**
 * Updates of the LRU hash types in compiled programs, where the CPU's share has a free element: what `replace` and
 * `storeOrAdd` (lru_ops.ts) do then. All else is left to them: filling the share, flags that do not fit, and a lock that
 * another client holds.
 */
import { BPF_EXIST, BPF_F_NO_COMMON_LRU, BPF_FUNC_map_update_elem, BPF_NOEXIST } from "../uapi/index.ts";
import { I32 } from "../wasm/code.ts";
import * as w from "../wasm/opcodes.ts";
import { emitCopy, emitLock, emitPublish, emitUnlock, emitZero } from "./emit.ts";
import type { MapEnv } from "./env.ts";
import type { GenCall, MapGen } from "./gen.ts";
import { emitFind, emitRefer, genLruLookup, genPercpuLruLookup } from "./hash_gen.ts";
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
  readonly hash: number;
  readonly share: number;
  readonly node: number;
  readonly old: number;
}

function genUpdate({ mem }: MapEnv, map: number, emitChange: (update: Update) => void): MapGen | undefined {
  if ((mapField(mem, map, MAP_FLAGS) & BPF_F_NO_COMMON_LRU) !== 0 || mapField(mem, map, MAP_FIELDS) !== 0) return;
  return { inline: false, emit: (call) => emitUpdate(call, emitChange) };
}

function emitUpdate(call: GenCall, emitChange: (update: Update) => void): void {
  const { code, mem, map, args } = call;
  const [key, , flags, high] = args as [number, number, number, number];
  const hash = code.local(I32);
  const share = code.local(I32);
  const node = code.local(I32);
  const old = code.local(I32);
  const done = code.open(w.BLOCK, I32);
  const other = code.open();
  code.get(flags);
  code.i32(BPF_EXIST);
  code.op(w.I32_GT_U);
  code.get(high);
  code.op(w.I32_OR);
  code.br(other, true);
  emitHash(call, key, hash);
  call.cpu();
  code.i32(LISTS_SIZE);
  code.op(w.I32_MUL);
  code.i32(mapField(mem, map, LRU_LISTS) + LISTS_SIZE);
  code.op(w.I32_ADD);
  code.set(share);
  emitLock(code, mem, map + MAP_LOCK, done, () => call.callHelper());
  const unlock = code.open();
  code.get(share);
  code.memory(w.I32_LOAD, FREE_HEAD);
  code.tee(node);
  code.op(w.I32_EQZ);
  code.br(unlock, true);
  code.get(node);
  code.i32(NODE_HEAD);
  code.op(w.I32_SUB);
  code.set(node);
  emitFind(call, key, hash, (found) => code.get(found));
  code.tee(old);
  // Not with BPF_NOEXIST when it is there, nor with BPF_EXIST, which is one more, when it is not.
  code.op(w.I32_EQZ);
  code.i32(BPF_NOEXIST);
  code.op(w.I32_ADD);
  code.get(flags);
  code.op(w.I32_EQ);
  code.br(unlock, true);
  emitChange({ call, hash, share, node, old });
  emitUnlock(code, mem, map + MAP_LOCK);
  code.i32(0);
  code.br(done);
  code.end();
  emitUnlock(code, mem, map + MAP_LOCK);
  code.end();
  call.callHelper();
  code.end();
}

function emitReplace(update: Update): void {
  const { call, node, old } = update;
  const { code, mem, map, args } = call;
  const to = code.local(I32);
  const bucket = code.local(I32);
  code.get(node);
  code.memory(w.I32_LOAD, NODE_VALUE);
  code.set(to);
  emitCopy(code, to, args[1]!, mapField(mem, map, MAP_VALUE_SIZE));
  emitAdd(update, bucket);
  code.get(old);
  code.open(w.IF);
  code.get(node);
  code.i32(1);
  code.memory(w.I32_STORE8, NODE_HEAD + REF);
  emitDrop(update, bucket);
  code.end();
}

/** Where the key is there the free node stays what it is. */
function emitStoreOrAdd(update: Update, cpus: number): void {
  const { call, node, old } = update;
  const { code, mem, map, args } = call;
  const size = mapField(mem, map, MAP_VALUE_SIZE);
  const span = mapField(mem, map, HT_SPAN);
  const value = code.local(I32);
  code.get(old);
  code.open(w.IF);
  emitRefer(code, old);
  code.get(old);
  code.memory(w.I32_LOAD, NODE_VALUE);
  code.set(value);
  code.op(w.ELSE);
  const last = code.local(I32);
  code.get(node);
  code.memory(w.I32_LOAD, NODE_VALUE);
  code.tee(value);
  code.i32(span * (cpus - 1));
  code.op(w.I32_ADD);
  code.set(last);
  const next = code.loop();
  emitZero(code, last, size);
  code.get(last);
  code.get(value);
  code.op(w.I32_NE);
  code.open(w.IF);
  code.get(last);
  code.i32(span);
  code.op(w.I32_SUB);
  code.set(last);
  code.br(next);
  code.end();
  code.end();
  code.end();
  code.get(value);
  call.cpu();
  code.i32(span);
  code.op(w.I32_MUL, w.I32_ADD);
  code.set(value);
  emitCopy(code, value, args[1]!, size);
  code.get(old);
  code.op(w.I32_EQZ);
  code.open(w.IF);
  emitAdd(update, code.local(I32));
  code.end();
}

/** `takeFree`, `setKey`, `linkHead` and `enterLruNode`. The local `bucket` gets the bucket's address. */
function emitAdd({ call, hash, share, node }: Update, bucket: number): void {
  const { code, mem, map, args } = call;
  const first = code.local(I32);
  const pushLink = (): void => {
    code.get(node);
    code.i32(NODE_HEAD);
    code.op(w.I32_ADD);
  };
  code.get(share);
  code.get(node);
  code.memory(w.I32_LOAD, NODE_HEAD + NEXT);
  code.memory(w.I32_STORE, FREE_HEAD);

  code.get(node);
  code.get(hash);
  code.memory(w.I32_STORE, NODE_HASH);
  emitCopy(code, node, args[0]!, mapField(mem, map, MAP_KEY_SIZE), mapField(mem, map, HT_KEY));

  code.get(node);
  code.get(node);
  code.memory(w.I32_LOAD, NODE_SEQ);
  code.i32(SEQ_LINKED);
  code.op(w.I32_OR);
  code.memory(w.I32_STORE, NODE_SEQ);
  code.get(hash);
  code.i32(mapField(mem, map, HT_MASK));
  code.op(w.I32_AND);
  code.tee(first);
  code.i32(3);
  code.op(w.I32_SHL);
  code.i32(mapField(mem, map, HT_BUCKETS));
  code.op(w.I32_ADD);
  code.set(bucket);
  // In front of the first node, or of the marker with the bucket's number.
  code.get(node);
  code.get(bucket);
  code.memory(w.I32_LOAD);
  code.get(first);
  code.i32(1);
  code.op(w.I32_SHL);
  code.i32(1);
  code.op(w.I32_OR);
  code.get(bucket);
  code.memory(w.I32_LOAD);
  code.op(w.SELECT);
  code.memory(w.I32_STORE);
  emitPublish(code, mem, bucket, node);

  code.get(node);
  call.cpu();
  code.i32(8 * (CPU - IN));
  code.op(w.I32_SHL);
  code.i32(PENDING);
  code.op(w.I32_OR);
  code.memory(w.I32_STORE, NODE_HEAD + IN);
  code.get(node);
  code.get(share);
  code.i32(PENDING_HEAD);
  code.op(w.I32_ADD);
  code.memory(w.I32_STORE, NODE_HEAD + PREV);
  code.get(node);
  code.get(share);
  code.memory(w.I32_LOAD, PENDING_HEAD + NEXT);
  code.tee(first);
  code.memory(w.I32_STORE, NODE_HEAD + NEXT);
  code.get(first);
  pushLink();
  code.memory(w.I32_STORE, PREV);
  code.get(share);
  pushLink();
  code.memory(w.I32_STORE, PENDING_HEAD + NEXT);
}

/** `dropLruNode`, of the node that had the key. */
function emitDrop({ call, old }: Update, bucket: number): void {
  const { code, mem, map } = call;
  const common = mapField(mem, map, LRU_LISTS);
  const at = code.local(I32);
  const next = code.local(I32);
  const lists = code.local(I32);
  const link = code.local(I32);
  code.get(bucket);
  code.set(at);
  const search = code.loop();
  code.get(at);
  code.memory(w.I32_LOAD);
  code.tee(next);
  code.get(old);
  code.op(w.I32_NE);
  code.open(w.IF);
  code.get(next);
  code.set(at);
  code.br(search);
  code.end();
  code.end();
  code.get(at);
  code.get(old);
  code.memory(w.I32_LOAD);
  code.memory(w.I32_STORE);
  code.get(old);
  code.get(old);
  code.memory(w.I32_LOAD, NODE_SEQ);
  code.i32(SEQ_USE - SEQ_LINKED);
  code.op(w.I32_ADD);
  code.memory(w.I32_STORE, NODE_SEQ);

  code.get(old);
  code.i32(NODE_HEAD);
  code.op(w.I32_ADD);
  code.set(link);
  code.get(link);
  code.memory(w.I32_LOAD8_U, IN);
  code.i32(PENDING);
  code.op(w.I32_EQ);
  code.open(w.IF);
  code.get(link);
  code.memory(w.I32_LOAD8_U, CPU);
  code.i32(LISTS_SIZE);
  code.op(w.I32_MUL);
  code.i32(common + LISTS_SIZE);
  code.op(w.I32_ADD);
  code.set(lists);
  code.op(w.ELSE);
  code.i32(common);
  code.tee(lists);
  code.memory(w.I32_LOAD, ROTATE);
  code.get(link);
  code.op(w.I32_EQ);
  code.open(w.IF);
  code.get(lists);
  code.get(link);
  code.memory(w.I32_LOAD, PREV);
  code.memory(w.I32_STORE, ROTATE);
  code.end();
  code.get(link);
  code.memory(w.I32_LOAD8_U, IN);
  code.i32(2);
  code.op(w.I32_SHL);
  code.tee(at);
  code.get(at);
  code.memory(w.I32_LOAD, common + COUNTS);
  code.i32(1);
  code.op(w.I32_SUB);
  code.memory(w.I32_STORE, common + COUNTS);
  code.end();

  code.get(link);
  code.memory(w.I32_LOAD, PREV);
  code.tee(at);
  code.get(link);
  code.memory(w.I32_LOAD, NEXT);
  code.tee(next);
  code.memory(w.I32_STORE, NEXT);
  code.get(next);
  code.get(at);
  code.memory(w.I32_STORE, PREV);

  code.get(link);
  code.i32(FREE);
  code.memory(w.I32_STORE8, IN);
  code.get(link);
  code.get(lists);
  code.memory(w.I32_LOAD, FREE_HEAD);
  code.memory(w.I32_STORE, NEXT);
  code.get(lists);
  code.get(link);
  code.memory(w.I32_STORE, FREE_HEAD);
}
