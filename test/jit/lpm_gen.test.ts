/** Lookups that LPM_TRIE emits for compiled programs, held against the type's own function on the same map. */

import { expect, test } from "vitest";
import { mapHelpers } from "../../src/helpers/map.ts";
import { EmbeddedHost } from "../../src/host/embedded.ts";
import { createKernel } from "../../src/kern/create.ts";
import type { Kernel } from "../../src/kern/kernel.ts";
import { allocMap } from "../../src/kern/map.ts";
import { lpmTrieMap } from "../../src/maps/lpm_trie.ts";
import { AREA_KIND, AREA_METADATA, AREA_NODES, alloc, areaOf } from "../../src/mem/alloc.ts";
import { GRANULE, OBJ_MAP } from "../../src/mem/layout.ts";
import { CHILD, LPM_ROOT, LPM_SEQ, PARENT, TABLE, tableBits, VALUE } from "../../src/struct/lpm_node.ts";
import { MAP_LOCK } from "../../src/struct/map.ts";
import * as u from "../../src/uapi/index.ts";
import { PLAIN_MAP } from "../plain_map.ts";
import { randomOf } from "../random.ts";
import { startOn, times } from "../workers/worker.ts";
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

  constructor(kernel: Kernel, size: number, map = 0) {
    this.kernel = kernel;
    this.size = size;
    this.map =
      map ||
      allocMap(kernel, lpmTrieMap, {
        map_type: u.BPF_MAP_TYPE_LPM_TRIE,
        key_size: size + 4,
        value_size: 4,
        max_entries: 10_000,
        map_flags: u.BPF_F_NO_PREALLOC,
        ...PLAIN_MAP,
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

const SIZES = [1, 3, 4, 5, 8, 16, 20, 256];

test.each([false, true])("finds what the type's function finds, shared: %s", (shared) => {
  const kernel = kernelOf(shared);
  for (const size of SIZES) {
    const trie = new Trie(kernel, size);
    const most = size * 8;
    const random = randomOf(size);
    let found = 0;
    let lookups = 0;
    // Bits close to each other for tables, few values of a byte for lists, any for what is found nowhere.
    for (const spread of [2, 256, 5]) {
      for (let i = 0; i < 150; i++) {
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

/** Addresses 10.0.0.0 to 10.255.255.255 that are close to each other here and there. */
function address(n: number): Uint8Array {
  return Uint8Array.of(10, n % 5, n >> 6, n * 7);
}

function filled(kernel: Kernel): Trie {
  const trie = new Trie(kernel, 4);
  trie.update(8, address(0), 1);
  for (let n = 0; n < 1000; n++) trie.update(32 - (n % 3), address(n), n);
  return trie;
}

test("a reader who is led astray neither leaves the memory nor goes round for ever", () => {
  const kernel = kernelOf(true);
  const { mem } = kernel;
  const trie = filled(kernel);
  const random = randomOf(9);
  const granules = Array.from({ length: mem.byteLength / GRANULE }, (_, g) => g * GRANULE);
  const kindOf = (at: number): number => mem.u32[(areaOf(mem, at) + AREA_KIND) >>> 2]!;
  // The first granules of metadata are the memory's own.
  const nodes = granules.filter((at) => kindOf(at) === AREA_NODES);
  const tables = granules.filter((at) => at > nodes[0]! && kindOf(at) === AREA_METADATA);
  expect(tables.length).toBeGreaterThan(1);
  const pieces = [...nodes, ...tables];
  const words = pieces.map((at) => mem.u32.slice(at >>> 2, (at + GRANULE) >>> 2));
  for (let round = 0; round < 40; round++) {
    for (const [i, at] of pieces.entries()) {
      mem.u32.set(words[i]!, at >>> 2);
      for (let n = 0; n < 1000; n++) {
        const word = [random(2 ** 32), 0xffff_fff0 + random(16), pieces[random(pieces.length)]! + random(GRANULE)];
        mem.u32[(at >>> 2) + random(GRANULE >>> 2)] = word[random(3)]!;
      }
    }
    for (let n = 0; n < 30; n++) trie.code(0, trie.key(32, address(random(1000))));
  }
});

/** Generated code that says whether the helper's own function was called. */
function asking(trie: Trie, write?: () => void): (len?: number) => boolean {
  let asked = false;
  const helper = (): void => {
    asked = true;
  };
  const code = generated(trie.kernel, trie.map, u.BPF_FUNC_map_lookup_elem, { helper, ...(write && { write }) });
  return (len = 32) => {
    asked = false;
    code(0, trie.key(len, address(7)));
    return asked;
  };
}

test("keys that are short, and a trie that is being changed, are left to the helper", () => {
  const kernel = kernelOf(true);
  const { u32 } = kernel.mem;
  const trie = filled(kernel);
  const seq = (trie.map + LPM_SEQ) >>> 2;
  let atomics = 0;
  let change = false;
  const asks = asking(trie, () => {
    // Between the two looks at the number.
    if (++atomics % 2 === 0 && change) u32[seq]! += 2;
  });
  expect([asks(), asks(31), asks(33), asks()]).toEqual([false, true, true, false]);
  change = true;
  expect(asks()).toBe(true);
  change = false;
  expect(asks()).toBe(false);
  u32[seq]!++;
  expect(asks()).toBe(true);
});

test("a reader does not go round for ever", () => {
  const trie = new Trie(kernelOf(true), 4);
  const { u32 } = trie.kernel.mem;
  trie.update(9, address(7), 1);
  const asks = asking(trie);
  expect(asks()).toBe(false);
  const node = u32[(trie.map + LPM_ROOT) >>> 2]!;
  u32[(node + VALUE) >>> 2] = 0;
  u32[(node + PARENT) >>> 2] = node;
  expect(asks()).toBe(true);
  for (const child of [CHILD, CHILD + 4]) u32[(node + child) >>> 2] = node;
  expect(asks()).toBe(true);
});

test("a writer that died in the middle of a change", () => {
  const kernel = kernelOf(true);
  const { u32 } = kernel.mem;
  const trie = filled(kernel);
  const right = trie.lookup(32, address(7), trie.at);
  u32[(trie.map + LPM_SEQ) >>> 2]!++;
  u32[(trie.map + MAP_LOCK) >>> 2] = DEAD;
  const root = u32[(trie.map + LPM_ROOT) >>> 2]!;
  const bits = tableBits(u32, root);
  expect(bits).toBeGreaterThan(0);
  u32.fill(root, u32[(root + TABLE) >>> 2]! >>> 2, (u32[(root + TABLE) >>> 2]! >>> 2) + (1 << bits));
  expect(trie.code(0, trie.key(32, address(7)))).toBe(right);
  expect(u32[(trie.map + MAP_LOCK) >>> 2]).toBe(0);
  expect(u32[(trie.map + LPM_SEQ) >>> 2]! & 1).toBe(0);
});

/** Prefixes of 9 to 31 bits come and go, so that tables and lists do. */
const write = `
  const bytes = host.user.alloc(96);
  const view = new DataView(bytes.bytes.buffer, bytes.bytes.byteOffset, 96);
  view.setUint32(0, data.fd, true);
  view.setBigUint64(8, bytes.address + 64n, true);
  view.setUint8(68, 10);
  let seed = data.seed;
  const random = (n) => { seed = (Math.imul(seed, 1664525) + 1013904223) >>> 0; return Math.floor(seed / 2 ** 32 * n); };
  ready();
  for (;;) {
    view.setUint32(64, 9 + random(23), true);
    view.setUint8(69, random(5));
    view.setUint8(70, random(16));
    view.setUint8(71, random(256));
    const more = random(3) !== 0;
    view.setBigUint64(16, more ? bytes.address + 80n : 0n, true);
    host.bpf(more ? 2 : 3, Number(bytes.address), more ? 32 : 16);
  }
`;

test("what stays is found while another thread changes the trie, and after it was terminated", async () => {
  const kernel = kernelOf(true);
  const host = new EmbeddedHost(kernel);
  const fd = host.bpf(u.BPF_MAP_CREATE, {
    map_type: u.BPF_MAP_TYPE_LPM_TRIE,
    key_size: 8,
    value_size: 4,
    max_entries: 100_000,
    map_flags: u.BPF_F_NO_PREALLOC,
  });
  const trie = new Trie(kernel, 4, kernel.get(fd, OBJ_MAP));
  const places = Array.from({ length: 1000 }, (_, n) => {
    trie.update(32, address(n), n);
    return trie.lookup(32, address(n), trie.at);
  });
  const wrong = (): number => places.filter((at, n) => trie.code(0, trie.key(32, address(n))) !== at).length;
  for (let round = 0; round < 3; round++) {
    const { worker, ready, gone } = startOn(host, write, { fd, seed: round });
    await ready;
    for (let n = 0; n < times(8); n++) expect(wrong()).toBe(0);
    await worker.terminate();
    await gone;
    expect(wrong()).toBe(0);
  }
  kernel.done(trie.map);
  host.dispose();
});
