/** Several threads on one shared host. */
import { expect, test } from "vitest";
import type { EmbeddedHost } from "../../src/host/embedded.ts";
import * as u from "../../src/uapi/index.ts";
import { type Started, sharedHost, startOn, times } from "./worker.ts";

const KEYS = 64;

/** Every thread updates and deletes the same few keys; values are two equal words, so that a torn one shows. */
const work = `
  const attr = host.user.alloc(64), buf = host.user.alloc(32);
  const a = new DataView(attr.bytes.buffer, attr.bytes.byteOffset, 64);
  const b = new DataView(buf.bytes.buffer, buf.bytes.byteOffset, 32);
  a.setUint32(0, data.fd, true);
  a.setBigUint64(8, buf.address, true);
  a.setBigUint64(16, buf.address + 8n, true);
  const at = Number(attr.address);
  let seed = data.seed, torn = 0, odd = 0;
  ready();
  for (let i = 0; i < data.rounds; i++) {
    seed = (Math.imul(seed, 1664525) + 1013904223) >>> 0;
    b.setUint32(0, (seed >>> 8) % ${KEYS}, true);
    const kind = seed >>> 30;
    if (kind < 2) {
      b.setUint32(8, i, true);
      b.setUint32(12, i, true);
      if (host.bpf(2, at, 32) !== 0) odd++;
    } else if (kind === 2) {
      a.setBigUint64(16, 0n, true);
      const ret = host.bpf(3, at, 16);
      a.setBigUint64(16, buf.address + 8n, true);
      if (ret !== 0 && ret !== -2) odd++;
    } else {
      const ret = host.bpf(1, at, 32);
      if (ret !== 0 && ret !== -2) odd++;
      if (ret === 0 && b.getUint32(8, true) !== b.getUint32(12, true)) torn++;
    }
  }
  return { torn, odd };
`;

function start(host: EmbeddedHost, fd: number, seed: number, rounds: number): Started<{ torn: number; odd: number }> {
  return startOn(host, work, { fd, seed, rounds });
}

/** Walks the map; every key once, every value whole. */
function keysOf(h: EmbeddedHost, fd: number): Set<number> {
  const keys = new Set<number>();
  const key = new Uint32Array(1);
  const next = new Uint32Array(1);
  const value = new Uint32Array(2);
  let from: Uint32Array | null = null;
  while (h.bpf(u.BPF_MAP_GET_NEXT_KEY, { map_fd: fd, key: from, next_key: next }) === 0) {
    expect(keys.has(next[0]!)).toBe(false);
    keys.add(next[0]!);
    expect(h.bpf(u.BPF_MAP_LOOKUP_ELEM, { map_fd: fd, key: next, value })).toBe(0);
    expect(value[0]).toBe(value[1]);
    key[0] = next[0]!;
    from = key;
  }
  return keys;
}

/** The map must still hold exactly max_entries: its count and its free list agree with its chains. */
function fillUp(h: EmbeddedHost, fd: number, max: number): void {
  let have = keysOf(h, fd).size;
  const value = new Uint32Array(2);
  for (let k = 1000; have < max; k++, have++) {
    expect(h.bpf(u.BPF_MAP_UPDATE_ELEM, { map_fd: fd, key: new Uint32Array([k]), value })).toBe(0);
  }
  const more = h.bpf(u.BPF_MAP_UPDATE_ELEM, { map_fd: fd, key: new Uint32Array([999]), value });
  expect(more).toBe(-u.E2BIG);
}

const hash = { map_type: u.BPF_MAP_TYPE_HASH, key_size: 4, value_size: 8, max_entries: 2 * KEYS };

for (const flags of [0, u.BPF_F_NO_PREALLOC]) {
  test(`workers see the same maps and never a torn value (flags ${flags})`, async () => {
    const host = sharedHost();
    const fd = host.bpf(u.BPF_MAP_CREATE, { ...hash, map_flags: flags });
    const workers = [1, 2, 3].map((seed) => start(host, fd, seed, times(25_000)));
    const results = await Promise.all(workers.map((w) => w.done));
    expect(results).toEqual([1, 2, 3].map(() => ({ torn: 0, odd: 0 })));
    expect(keysOf(host, fd).size).toBeLessThanOrEqual(KEYS);
    fillUp(host, fd, 2 * KEYS);
  });
}

test("a worker that is terminated in the middle stops nobody", async () => {
  const host = sharedHost();
  const fd = host.bpf(u.BPF_MAP_CREATE, { ...hash, max_entries: 2 * KEYS });
  for (let round = 0; round < 6; round++) {
    const [victim, other] = [start(host, fd, round + 1, 1e9), start(host, fd, round + 100, times(10_000))];
    await victim.ready;
    await new Promise((resolve) => setTimeout(resolve, 20 + round));
    await victim.worker.terminate();
    expect(await other.done).toEqual({ torn: 0, odd: 0 });
    expect(keysOf(host, fd).size).toBeLessThanOrEqual(KEYS);
    // Who comes to the bucket that the dead one had locked repairs count and free list: nothing is lost for good.
    for (let k = 0; k < KEYS; k++) host.bpf(u.BPF_MAP_DELETE_ELEM, { map_fd: fd, key: new Uint32Array([k]) });
    expect(keysOf(host, fd).size).toBe(0);
    fillUp(host, fd, 2 * KEYS);
    for (const k of keysOf(host, fd)) host.bpf(u.BPF_MAP_DELETE_ELEM, { map_fd: fd, key: new Uint32Array([k]) });
  }
});
