/** A map of the embedded host as helpers call it for a program: no fd, no attributes, key and value in memory. */
import { createKernel } from "../src/kern/create.ts";
import type { Kernel } from "../src/kern/kernel.ts";
import { allocMap, destroyMap } from "../src/kern/map.ts";
import type { MapOps } from "../src/maps/ops.ts";
import { mapEntry } from "../src/maps/registry.ts";
import { alloc, free, POOL_USER } from "../src/mem/alloc.ts";
import { ringOutput } from "../src/struct/ring.ts";
import { RING_BASE, RING_PROD_PAGE } from "../src/struct/ring_map.ts";
import { BPF_RB_NO_WAKEUP } from "../src/uapi/index.ts";
import type { KeySet } from "./keys.ts";
import { inProcess, type Side } from "./measure.ts";
import type { MapShape } from "./raw_map.ts";

const MEMORY = 1 << 30;

export function opsKernel(shared: boolean, cpus: number): Kernel {
  return createKernel({ memory: MEMORY, cpus, shared, seed: 1, virtualClock: true });
}

export class OpsMap {
  readonly name: string;
  readonly #kernel: Kernel;
  readonly #map: number;
  /** Functions are taken out of it before a loop, as a program is bound to its helpers once. */
  readonly #ops: MapOps;
  readonly #value: number;
  readonly #valueSize: number;
  /** Keys that sides work on: address and bytes. */
  readonly #placed: (readonly [number, number])[] = [];

  constructor(name: string, kernel: Kernel, shape: MapShape, keySize: number) {
    const entry = mapEntry(shape.type);
    if (entry === undefined) throw new Error(`${name}: no map type ${shape.type}`);
    this.name = name;
    this.#kernel = kernel;
    this.#ops = entry.ops;
    this.#valueSize = Math.max(64, shape.valueSize);
    this.#map = allocMap(kernel, entry, {
      map_type: shape.type,
      key_size: keySize,
      value_size: shape.valueSize,
      max_entries: shape.maxEntries,
      map_flags: shape.flags,
      numa_node: 0,
      map_extra_lo: 0,
      map_extra_hi: 0,
      inner_map_fd: 0,
      btf_key_type_id: 0,
      btf_value_type_id: 0,
    });
    this.#value = alloc(kernel.mem, this.#valueSize, POOL_USER);
    if (this.#map < 0 || this.#value === 0) throw new Error(`${name}: no memory`);
  }

  /** Puts keys where a program would have them. Returns their address. */
  #place(keys: KeySet): number {
    const { mem } = this.#kernel;
    const bytes = keys.words.length * 4;
    const at = alloc(mem, bytes, POOL_USER);
    if (at === 0) throw new Error(`${this.name}: no memory for keys`);
    mem.u32.set(keys.words, at >>> 2);
    this.#placed.push([at, bytes]);
    return at;
  }

  fill(keys: KeySet): void {
    const { mem } = this.#kernel;
    let key = this.#place(keys);
    for (let i = 0; i < keys.count; i++) {
      mem.u32[this.#value >>> 2] = i;
      const ret = this.#ops.map_update_elem(this.#kernel, this.#map, key, this.#value, 0);
      if (ret !== 0) throw new Error(`${this.name}: update ${i} gave ${ret}`);
      key += keys.stride * 4;
    }
  }

  /** Looks up, and reads the value's first word. */
  lookup(keys: KeySet): Side {
    const kernel = this.#kernel;
    const map = this.#map;
    const { map_lookup_elem } = this.#ops;
    const { u32 } = kernel.mem;
    const start = this.#place(keys);
    const end = start + keys.words.length * 4;
    const stride = keys.stride * 4;
    let key = start;
    return inProcess(this.name, (count) => {
      let sum = 0;
      for (let i = 0; i < count; i++) {
        const value = map_lookup_elem(kernel, map, key);
        if (value !== 0) sum += u32[value >>> 2]!;
        key += stride;
        if (key === end) key = start;
      }
      return sum;
    });
  }

  update(keys: KeySet): Side {
    const { map_update_elem } = this.#ops;
    const value = this.#value;
    return this.#each(keys, (kernel, map, key) => map_update_elem(kernel, map, key, value, 0));
  }

  deleteAndInsert(keys: KeySet): Side {
    const { map_delete_elem, map_update_elem } = this.#ops;
    const value = this.#value;
    return this.#each(keys, (kernel, map, key) => {
      const ret = map_delete_elem(kernel, map, key);
      return ret + map_update_elem(kernel, map, key, value, 0);
    });
  }

  pushPop(): Side {
    const kernel = this.#kernel;
    const map = this.#map;
    const { map_push_elem, map_pop_elem } = this.#ops;
    const value = this.#value;
    return this.#withoutErrors((count) => {
      let sum = 0;
      for (let i = 0; i < count; i++) {
        sum += map_push_elem(kernel, map, value, 0);
        sum += map_pop_elem(kernel, map, value);
      }
      return sum;
    });
  }

  /** Of a bloom filter. */
  peek(values: KeySet): Side {
    const { map_peek_elem } = this.#ops;
    return this.#each(values, (kernel, map, value) => map_peek_elem(kernel, map, value));
  }

  /** Of a bloom filter. */
  push(values: KeySet): Side {
    const { map_push_elem } = this.#ops;
    return this.#each(values, (kernel, map, value) => map_push_elem(kernel, map, value, 0));
  }

  #each(keys: KeySet, operation: (kernel: Kernel, map: number, key: number) => number): Side {
    const kernel = this.#kernel;
    const map = this.#map;
    const start = this.#place(keys);
    const end = start + keys.words.length * 4;
    const stride = keys.stride * 4;
    let key = start;
    return this.#withoutErrors((count) => {
      let sum = 0;
      for (let i = 0; i < count; i++) {
        sum += operation(kernel, map, key);
        key += stride;
        if (key === end) key = start;
      }
      return sum;
    });
  }

  /** Records of so many bytes; after each `room` of them a consumer has read all. */
  output(bytes: number, room: number): Side {
    const kernel = this.#kernel;
    const map = this.#map;
    const value = this.#value;
    const { mem } = kernel;
    const base = mem.u32[(map + RING_BASE) >>> 2]!;
    return this.#withoutErrors((count) => {
      let sum = 0;
      for (let i = 0; i < count; i++) {
        sum += ringOutput(kernel, map, value, bytes, BPF_RB_NO_WAKEUP);
        if (i % room === room - 1) mem.copy(base, base + RING_PROD_PAGE, 8);
      }
      mem.copy(base, base + RING_PROD_PAGE, 8);
      return sum;
    });
  }

  #withoutErrors(run: (count: number) => number): Side {
    return inProcess(this.name, (count) => {
      const sum = run(count);
      if (sum !== 0) throw new Error(`${this.name}: ${count} operations gave ${sum} in all`);
      return sum;
    });
  }

  close(): void {
    const { mem } = this.#kernel;
    destroyMap(this.#kernel, this.#map);
    for (const [at, bytes] of this.#placed) free(mem, at, bytes, POOL_USER);
    free(mem, this.#value, this.#valueSize, POOL_USER);
  }
}
