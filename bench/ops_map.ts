/** A map of the embedded host as helpers call it for a program: no fd, no attributes, key and value in memory. */
import { createKernel, type Kernel } from "../src/kern/kernel.ts";
import { allocMap, destroyMap } from "../src/kern/map.ts";
import type { MapOps } from "../src/maps/ops.ts";
import { mapEntry } from "../src/maps/registry.ts";
import { alloc, free, POOL_USER } from "../src/mem/alloc.ts";
import type { KeySet } from "./keys.ts";
import { inProcess, type Side } from "./measure.ts";
import type { MapShape } from "./raw_map.ts";

const MEMORY = 1 << 30;

export function opsKernel(shared: boolean, cpus: number): Kernel {
  return createKernel({ memory: MEMORY, cpus, shared, seed: 1, virtualClock: true });
}

export class OpsMap {
  readonly name: string;
  readonly kernel: Kernel;
  readonly map: number;
  readonly ops: MapOps;
  readonly #stride: number;
  readonly #value: number;
  readonly #valueSize: number;

  constructor(name: string, kernel: Kernel, shape: MapShape, keySize: number) {
    const entry = mapEntry(shape.type);
    if (entry === undefined) throw new Error(`${name}: no map type ${shape.type}`);
    this.name = name;
    this.kernel = kernel;
    this.ops = entry.ops;
    this.#stride = keySize;
    this.#valueSize = Math.max(8, shape.valueSize);
    this.map = allocMap(kernel, entry, {
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
    if (this.map < 0 || this.#value === 0) throw new Error(`${name}: no memory`);
  }

  /** Puts keys where a program would have them. Returns their address. */
  place(keys: KeySet): number {
    const { mem } = this.kernel;
    const at = alloc(mem, keys.words.length * 4, POOL_USER);
    if (at === 0) throw new Error(`${this.name}: no memory for keys`);
    mem.u32.set(keys.words, at >>> 2);
    return at;
  }

  fill(keys: KeySet): void {
    const at = this.place(keys);
    for (let i = 0; i < keys.count; i++) {
      this.kernel.mem.u32[this.#value >>> 2] = i;
      const ret = this.ops.map_update_elem(this.kernel, this.map, at + i * this.#stride, this.#value, 0);
      if (ret !== 0) throw new Error(`${this.name}: update ${i} gave ${ret}`);
    }
    free(this.kernel.mem, at, keys.words.length * 4, POOL_USER);
  }

  /** Looks up, and reads the value's first word. */
  lookup(keys: KeySet): Side {
    const { kernel, map, ops } = this;
    const { u32 } = kernel.mem;
    const start = this.place(keys);
    const end = start + keys.words.length * 4;
    let key = start;
    return inProcess(this.name, (count) => {
      let sum = 0;
      for (let i = 0; i < count; i++) {
        const value = ops.map_lookup_elem(kernel, map, key);
        if (value !== 0) sum += u32[value >>> 2]!;
        key += this.#stride;
        if (key === end) key = start;
      }
      return sum;
    });
  }

  update(keys: KeySet): Side {
    const { kernel, map, ops } = this;
    const start = this.place(keys);
    const end = start + keys.words.length * 4;
    const value = this.#value;
    let key = start;
    return inProcess(this.name, (count) => {
      let sum = 0;
      for (let i = 0; i < count; i++) {
        sum += ops.map_update_elem(kernel, map, key, value, 0);
        key += this.#stride;
        if (key === end) key = start;
      }
      return sum;
    });
  }

  pushPop(): Side {
    const { kernel, map, ops } = this;
    const value = this.#value;
    return inProcess(this.name, (count) => {
      let sum = 0;
      for (let i = 0; i < count; i++) {
        sum += ops.map_push_elem(kernel, map, value, 0);
        sum += ops.map_pop_elem(kernel, map, value);
      }
      return sum;
    });
  }

  /** For types without a key: the value is what is asked for. */
  peek(values: KeySet): Side {
    const { kernel, map, ops } = this;
    const start = this.place(values);
    const end = start + values.words.length * 4;
    const stride = values.stride * 4;
    let at = start;
    return inProcess(this.name, (count) => {
      let sum = 0;
      for (let i = 0; i < count; i++) {
        sum += ops.map_peek_elem(kernel, map, at);
        at += stride;
        if (at === end) at = start;
      }
      return sum;
    });
  }

  push(values: KeySet): void {
    const at = this.place(values);
    for (let i = 0; i < values.count; i++) {
      this.ops.map_push_elem(this.kernel, this.map, at + i * values.stride * 4, 0);
    }
  }

  close(): void {
    destroyMap(this.kernel, this.map);
  }
}
