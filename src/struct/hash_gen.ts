/**
 * Lookups of the hash types in compiled programs, with the table's address, mask and seed as constants: what `findNode`
 * and the types' lookups do, by the same rules for readers. Kernel counterpart: htab_map_gen_lookup.
 */
import {
  BPF_FUNC_map_delete_elem,
  BPF_FUNC_map_lookup_elem,
  BPF_FUNC_map_lookup_percpu_elem,
  BPF_FUNC_map_update_elem,
} from "../uapi/index.ts";
import { type Code, I32 } from "../wasm/code.ts";
import * as w from "../wasm/opcodes.ts";
import type { MapEnv } from "./env.ts";
import type { GenCall, MapGen } from "./gen.ts";
import { emitHash, emitSameKey } from "./hash_gen_key.ts";
import { genHashWrite, genPercpuWrite } from "./hash_gen_write.ts";
import { HT_BUCKETS, HT_MASK, HT_SPAN, NODE_HASH, NODE_HEAD, NODE_VALUE } from "./hashtab.ts";
import { REF } from "./lru_list.ts";
import { MAP_KEY_SIZE, mapField } from "./map.ts";

/** Up to so many bytes of key a lookup is so short that it stands where it is called: that saves a fifth of its time. */
const MAX_INLINE = 8;

/** Leaves the result of `found` (an i32, called with the node in a local), or NULL, on the stack. */
export function emitFind({ code, mem, map }: GenCall, key: number, hash: number, found: (node: number) => void): void {
  const bucket = code.local(I32);
  const node = code.local(I32);
  code.get(hash);
  code.i32(mapField(mem, map, HT_MASK));
  code.op(w.I32_AND);
  code.i32(3);
  code.op(w.I32_SHL);
  code.set(bucket);
  const done = code.open(w.BLOCK, I32);
  const missed = code.open();
  const again = code.loop();
  code.get(bucket);
  code.memory(w.I32_LOAD, mapField(mem, map, HT_BUCKETS));
  code.tee(node);
  code.op(w.I32_EQZ);
  code.br(missed, true);
  const next = code.loop();
  // An odd link ends the chain.
  code.get(node);
  code.i32(1);
  code.op(w.I32_AND);
  code.open(w.IF);
  if (mem.shared) {
    // At another bucket's marker: the reader was led there by a node that moved.
    code.get(node);
    code.get(bucket);
    code.i32(2);
    code.op(w.I32_SHR_U);
    code.i32(1);
    code.op(w.I32_OR, w.I32_NE);
    code.br(again, true);
  }
  code.br(missed);
  code.end();
  code.get(node);
  code.memory(w.I32_LOAD, NODE_HASH);
  code.get(hash);
  code.op(w.I32_EQ);
  code.open(w.IF);
  emitSameKey(code, mem, map, node, key);
  code.open(w.IF);
  found(node);
  code.br(done);
  code.end();
  code.end();
  code.get(node);
  code.memory(w.I32_LOAD);
  code.set(node);
  code.br(next);
  code.end();
  code.end();
  code.end();
  code.i32(0);
  code.end();
}

/** Address of the node's value. */
function pushValue(code: Code, node: number): void {
  code.get(node);
  code.memory(w.I32_LOAD, NODE_VALUE);
}

/** What `referLruNode` does. */
export function emitRefer(code: Code, node: number): void {
  code.get(node);
  code.memory(w.I32_LOAD8_U, NODE_HEAD + REF);
  code.op(w.I32_EQZ);
  code.open(w.IF);
  code.get(node);
  code.i32(1);
  code.memory(w.I32_STORE8, NODE_HEAD + REF);
  code.end();
}

/** `lru`: says that the element was used. `cpu`: puts the CPU whose value is wanted on the stack. */
function lookup({ mem }: MapEnv, map: number, lru: boolean, cpu?: (call: GenCall) => void): MapGen {
  return {
    inline: mapField(mem, map, MAP_KEY_SIZE) <= MAX_INLINE,
    emit: (call) => {
      const { code, mem, map } = call;
      const key = call.args[0]!;
      const hash = code.local(I32);
      emitHash(call, key, hash);
      emitFind(call, key, hash, (node) => {
        if (lru) emitRefer(code, node);
        pushValue(code, node);
        if (cpu === undefined) return;
        cpu(call);
        code.i32(mapField(mem, map, HT_SPAN));
        code.op(w.I32_MUL, w.I32_ADD);
      });
    },
  };
}

/** bpf_map_lookup_percpu_elem: of a CPU that is not there nothing is found, and nothing used. */
function lookupOf(env: MapEnv, map: number, lru: boolean): MapGen {
  const { inline, emit } = lookup(env, map, lru, ({ code, args }) => code.get(args[1]!));
  return {
    inline,
    emit: (call) => {
      const { code, args } = call;
      code.get(args[1]!);
      code.i32(env.cpus);
      code.op(w.I32_LT_U);
      code.open(w.IF, I32);
      emit(call);
      code.op(w.ELSE);
      code.i32(0);
      code.end();
    },
  };
}

const ownCpu = (call: GenCall): void => call.cpu();

export function genHash(env: MapEnv, map: number, helper: number): MapGen | undefined {
  if (helper === BPF_FUNC_map_lookup_elem) return lookup(env, map, false);
  const writes = helper === BPF_FUNC_map_update_elem || helper === BPF_FUNC_map_delete_elem;
  return writes ? genHashWrite(env, map, helper) : undefined;
}

export function genLruLookup(env: MapEnv, map: number, helper: number): MapGen | undefined {
  return helper === BPF_FUNC_map_lookup_elem ? lookup(env, map, true) : undefined;
}

export function genPercpuHash(env: MapEnv, map: number, helper: number): MapGen | undefined {
  return helper === BPF_FUNC_map_update_elem ? genPercpuWrite(env, map) : genPercpu(env, map, helper, false);
}

export function genPercpuLruLookup(env: MapEnv, map: number, helper: number): MapGen | undefined {
  return genPercpu(env, map, helper, true);
}

function genPercpu(env: MapEnv, map: number, helper: number, lru: boolean): MapGen | undefined {
  if (helper === BPF_FUNC_map_lookup_elem) return lookup(env, map, lru, ownCpu);
  return helper === BPF_FUNC_map_lookup_percpu_elem ? lookupOf(env, map, lru) : undefined;
}
