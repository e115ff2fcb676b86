/**
 * Lookups of the hash types in compiled programs, with the table's address, mask and seed as constants: what `findNode`
 * and the types' lookups do, by the same rules for readers. Kernel counterpart: htab_map_gen_lookup.
 */
import { rup8 } from "../mem/layout.ts";
import {
  BPF_FUNC_for_each_map_elem,
  BPF_FUNC_map_delete_elem,
  BPF_FUNC_map_lookup_elem,
  BPF_FUNC_map_lookup_percpu_elem,
  BPF_FUNC_map_update_elem,
  BPF_MAP_DELETE_ELEM,
  BPF_MAP_LOOKUP_ELEM,
  BPF_MAP_UPDATE_ELEM,
  ENOENT,
} from "../uapi/index.ts";
import {
  block,
  blockValue,
  choose,
  type Expr32,
  type Local32,
  local32,
  loop,
  type Operand32,
  when,
} from "../wasm/expr.ts";
import { emitCopy, emitCopyCpus, MAX_CPUS } from "./emit.ts";
import type { MapEnv } from "./env.ts";
import type { ElementCall, ElementGen, GenCall, MapGen } from "./gen.ts";
import { emitHash, sameKey } from "./hash_gen_key.ts";
import { elementDelete, elementUpdate, genHashWrite, genPercpuWrite } from "./hash_gen_write.ts";
import { hashWalk, percpuHashWalk } from "./hash_walk_gen.ts";
import { HT_BUCKETS, HT_MASK, HT_SPAN, NODE_HASH, NODE_HEAD, NODE_SEQ, NODE_VALUE, SEQ_LINKED } from "./hashtab.ts";
import { REF } from "./lru_list.ts";
import { MAP_KEY_SIZE, MAP_VALUE_SIZE, mapField } from "./map.ts";

/** Up to so many bytes of key a lookup is so short that it stands where it is called: that saves a fifth of its time. */
const MAX_INLINE = 8;

/** What `found` comes to for the node with this key, or NULL. */
export function findThen(call: ElementCall, key: Local32, hash: Local32, found: (node: Local32) => Operand32): Expr32 {
  const { code, mem } = call;
  return blockValue(code, (end) => {
    const bucket = local32(code, hash.and(call.field(HT_MASK)).shl(3));
    const buckets = call.field(HT_BUCKETS);
    const head = typeof buckets === "number" ? bucket.load(buckets) : bucket.add(buckets).load();
    const node = local32(code);
    block(code, (missed) => {
      loop(code, (again) => {
        node.set(head);
        missed.when(node.eqz());
        loop(code, (next) => {
          // An odd link ends the chain.
          when(node.and(1), () => {
            // At another bucket's marker: the reader was led there by a node that moved.
            if (mem.shared) again.when(node.ne(bucket.shrU(2).or(1)));
            missed.go();
          });
          when(node.load(NODE_HASH).eq(hash), () => {
            when(sameKey(call, node, key), () => end(found(node)));
          });
          node.set(node.load());
          next.go();
        });
      });
    });
    return 0;
  });
}

/**
 * What `copyHash` does. A node that was reused while it was copied is left to it: so is all that is rare.
 */
function emitCopyOut(call: ElementCall): Expr32 {
  const { code, mem, map, args } = call;
  const [key, value] = args as [Local32, Local32];
  return blockValue(code, (end) => {
    const node = local32(
      code,
      findThen(call, key, emitHash(call, key), (found) => found),
    );
    when(node.eqz(), () => end(-ENOENT));
    const seq = mem.shared ? local32(code, node.load(NODE_SEQ)) : undefined;
    emitCopy(value, local32(code, node.load(NODE_VALUE)), mapField(mem, map, MAP_VALUE_SIZE));
    if (seq !== undefined) {
      const same = seq
        .and(SEQ_LINKED)
        .and(sameKey(call, node, key))
        .and(node.atomicLoad(NODE_SEQ).eq(seq));
      when(same.eqz(), () => end(call.helper));
    }
    return 0;
  });
}

/** What `copyPercpu` does. */
function emitCopyAll(call: ElementCall, cpus: number): Expr32 {
  const { code, mem, map, args } = call;
  const [key, value] = args as [Local32, Local32];
  return blockValue(code, (end) => {
    const node = findThen(call, key, emitHash(call, key), (found) => found.load(NODE_VALUE));
    const from = local32(code, node);
    when(from.eqz(), () => end(-ENOENT));
    emitCopyCpus(value, from, rup8(mapField(mem, map, MAP_VALUE_SIZE)), call.field(HT_SPAN), cpus);
    return 0;
  });
}

/** A lookup of an LRU type is no use of the element. */
export function genLruElement(_env: MapEnv, cmd: number): ElementGen | undefined {
  return cmd === BPF_MAP_LOOKUP_ELEM ? emitCopyOut : undefined;
}

export function genPercpuLruElement({ cpus }: MapEnv, cmd: number): ElementGen | undefined {
  return cmd === BPF_MAP_LOOKUP_ELEM && cpus <= MAX_CPUS ? (call) => emitCopyAll(call, cpus) : undefined;
}

export function genPercpuHashElement(env: MapEnv, cmd: number): ElementGen | undefined {
  return cmd === BPF_MAP_DELETE_ELEM ? elementDelete : genPercpuLruElement(env, cmd);
}

/** Commands on elements of HASH. */
export function genHashElement(_env: MapEnv, cmd: number): ElementGen | undefined {
  if (cmd === BPF_MAP_LOOKUP_ELEM) return emitCopyOut;
  return cmd === BPF_MAP_UPDATE_ELEM ? elementUpdate : elementDelete;
}

/** What `referLruNode` does. */
export function emitRefer(node: Local32): void {
  when(node.load8(NODE_HEAD + REF).eqz(), () => node.store8(NODE_HEAD + REF, 1));
}

/** `lru`: says that the element was used. `cpu`: whose value is wanted. */
function lookup({ mem }: MapEnv, map: number, lru: boolean, cpu?: (call: GenCall) => Expr32): MapGen {
  return {
    inline: mapField(mem, map, MAP_KEY_SIZE) <= MAX_INLINE,
    emit: (call) => {
      const key = call.args[0]!;
      return findThen(call, key, emitHash(call, key), (node) => {
        if (lru) emitRefer(node);
        const value = node.load(NODE_VALUE);
        return cpu === undefined ? value : value.add(cpu(call).mul(call.field(HT_SPAN)));
      });
    },
  };
}

/** bpf_map_lookup_percpu_elem: of a CPU that is not there nothing is found, and nothing used. */
function lookupOf(env: MapEnv, map: number, lru: boolean): MapGen {
  const { inline, emit } = lookup(env, map, lru, ({ args }) => args[1]!);
  return {
    inline,
    emit: (call) =>
      choose(
        call.args[1]!.ltU(env.cpus),
        () => emit(call),
        () => 0,
      ),
  };
}

function isWrite(helper: number): boolean {
  return helper === BPF_FUNC_map_update_elem || helper === BPF_FUNC_map_delete_elem;
}

export function genHash(env: MapEnv, map: number, helper: number): MapGen | undefined {
  if (helper === BPF_FUNC_map_lookup_elem) return lookup(env, map, false);
  if (helper === BPF_FUNC_for_each_map_elem) return hashWalk;
  return isWrite(helper) ? genHashWrite(env, map, helper) : undefined;
}

export function genLruLookup(env: MapEnv, map: number, helper: number): MapGen | undefined {
  if (helper === BPF_FUNC_for_each_map_elem) return hashWalk;
  return helper === BPF_FUNC_map_lookup_elem ? lookup(env, map, true) : undefined;
}

export function genPercpuHash(env: MapEnv, map: number, helper: number): MapGen | undefined {
  if (helper === BPF_FUNC_for_each_map_elem) return percpuHashWalk;
  return isWrite(helper) ? genPercpuWrite(env, map, helper) : genPercpu(env, map, helper, false);
}

export function genPercpuLruLookup(env: MapEnv, map: number, helper: number): MapGen | undefined {
  if (helper === BPF_FUNC_for_each_map_elem) return percpuHashWalk;
  return genPercpu(env, map, helper, true);
}

function genPercpu(env: MapEnv, map: number, helper: number, lru: boolean): MapGen | undefined {
  if (helper === BPF_FUNC_map_lookup_elem) return lookup(env, map, lru, ({ cpu }) => cpu);
  return helper === BPF_FUNC_map_lookup_percpu_elem ? lookupOf(env, map, lru) : undefined;
}
