/** Lookups that LPM_TRIE emits for compiled programs, held against the type's own function on the same map. */
import { once } from "node:events";
import { Worker } from "node:worker_threads";
import { expect, test } from "vitest";
import { mapHelpers } from "../../src/helpers/map.ts";
import { createKernel } from "../../src/kern/create.ts";
import type { Kernel } from "../../src/kern/kernel.ts";
import { allocMap } from "../../src/kern/map.ts";
import { lpmTrieMap } from "../../src/maps/lpm_trie.ts";
import { alloc } from "../../src/mem/alloc.ts";
import { LPM_SEQ, TABLED } from "../../src/struct/lpm_node.ts";
import { MAP_LOCK } from "../../src/struct/map.ts";
import * as u from "../../src/uapi/index.ts";
import { randomOf } from "../random.ts";
import { type Generated, generated } from "./generated.ts";
import { DEAD } from "./map_code.ts";

const { ops } = lpmTrieMap;

function kernelOf(shared: boolean): Kernel {
  return createKernel({ memory: 16 << 20, cpus: 2, shared, seed: 1, virtualClock: true });
}

class Trie {
  readonly kernel: Kernel;
  readonly map: number;
  readonly size: number;
  readonly at: number;
  readonly code: Generated;

  constructor(kernel: Kernel, size: number) {
    this.kernel = kernel;
    this.size = size;
    this.map = allocMap(kernel, lpmTrieMap, {
      map_type: u.BPF_MAP_TYPE_LPM_TRIE,
      key_size: size + 4,
      value_size: 4,
      max_entries: 10_000,
      map_flags: u.BPF_F_NO_PREALLOC,
      numa_node: 0,
      map_extra_lo: 0,
      map_extra_hi: 0,
      inner_map_fd: 0,
      btf_key_type_id: 0,
      btf_value_type_id: 0,
    });
    this.at = alloc(kernel.mem, 1024);
    this.code = generated(kernel, this.map, u.BPF_FUNC_map_lookup_elem);
  }

  key(len: number, data: Uint8Array, at = this.at): number {
    this.kernel.mem.view.setUint32(at, len, true);
    this.kernel.mem.u8.set(data, at + 4);
    return at;
  }

  update(len: number, data: Uint8Array, value: number): void {
    this.kernel.mem.u32[(this.at + 512) >>> 2] = value;
    expect(ops.map_update_elem(this.kernel, this.map, this.key(len, data), this.at + 512, 0)).toBe(0);
  }

  delete(len: number, data: Uint8Array): void {
    ops.map_delete_elem(this.kernel, this.map, this.key(len, data));
  }

  /** What both find. */
  lookup(len: number, data: Uint8Array, at: number): number {
    const key = this.key(len, data, at);
    const own = (mapHelpers[u.BPF_FUNC_map_lookup_elem]!.fn as (...args: unknown[]) => number)(
      this.kernel,
      this.map,
      key,
    );
    const found = this.code(0, key) >>> 0;
    if (found !== own) expect.fail(`${found} instead of ${own} for ${data.join(".")}/${len}`);
    return own;
  }
}

const SIZES = [1, 2, 3, 4, 5, 7, 8, 12, 16, 17, 20, 64, 256];

test.each([false, true])("finds what the type's function finds, shared: %s", (shared) => {
  for (const size of SIZES) {
    const kernel = kernelOf(shared);
    const trie = new Trie(kernel, size);
    const most = size * 8;
    const random = randomOf(size);
    let found = 0;
    let lookups = 0;
    // Bits close to each other for tables, few values of a byte for lists, any for what is found nowhere.
    for (const spread of [2, 256, 5]) {
      for (let i = 0; i < 500; i++) {
        const data = Uint8Array.from({ length: size }, (_, at) => random(at < 2 && spread === 256 ? 256 : spread) * 51);
        const len = random(3) === 0 ? most : random(most + 1);
        if (random(4) === 0) trie.delete(len, data);
        else trie.update(len, data, i);
        for (let n = 0; n < 3; n++) {
          const bit = random(most);
          if (n > 0) data[bit >> 3]! ^= 0x80 >> (bit & 7);
          const at = trie.at + (random(2) && random(8));
          if (trie.lookup(random(8) === 0 ? random(most + 2) : most, data, at) !== 0) found++;
          lookups++;
        }
      }
    }
    expect(found).toBeGreaterThan(lookups / 20);
    expect(found).toBeLessThan(lookups);
  }
});
