/** LRU maps and LPM tries under several threads. */
import { expect, test } from "vitest";
import type { EmbeddedHost } from "../../src/host/embedded.ts";
import * as u from "../../src/uapi/index.ts";
import { type Started, sharedHost, startOn, times } from "./worker.ts";

const VALUE = 64;
/** So big that few values rest in the pool, and that copies take a while. */
const BIG_VALUE = 8192;

/**
 * Calls on one map with a key of 4 or 8 bytes and values of equal words; `keyOf` makes the key's bytes from a random
 * number. What should not be is counted: torn values, errnos that cannot come, the prefix that is never deleted absent.
 */
const work = `
  const attr = host.user.alloc(64), buf = host.user.alloc(32 + data.value);
  const a = new DataView(attr.bytes.buffer, attr.bytes.byteOffset, 64);
  const key = new DataView(buf.bytes.buffer, buf.bytes.byteOffset, 32);
  const value = new Uint32Array(buf.bytes.buffer, buf.bytes.byteOffset + 32, data.value / 4);
  a.setUint32(0, data.fd, true);
  a.setBigUint64(8, buf.address, true);
  const at = Number(attr.address);
  let seed = data.seed;
  const random = (n) => { seed = (Math.imul(seed, 1664525) + 1013904223) >>> 0; return Math.floor(seed / 2 ** 32 * n); };
  const wrong = { torn: 0, errno: 0, absent: 0 };
  const lpm = data.lpm;
  ready();
  for (let i = 0; i < data.rounds; i++) {
    const n = random(data.keys);
    if (lpm) {
      const len = n === 0 ? 8 : 9 + random(24);
      key.setUint32(0, len, true);
      key.setUint8(4, 10);
      key.setUint8(5, n & 3);
      key.setUint8(6, n >> 2);
      key.setUint8(7, random(2) * 128);
    } else key.setUint32(0, n, true);
    const kind = random(8);
    a.setBigUint64(16, buf.address + 32n, true);
    if (kind < 3) {
      value.fill(i * 4 + data.seed);
      if (host.bpf(2, at, 32) !== 0) wrong.errno++;
    } else if (kind === 3) {
      if (lpm && n === 0) continue;
      a.setBigUint64(16, 0n, true);
      const ret = host.bpf(3, at, 16);
      if (ret !== 0 && ret !== -2) wrong.errno++;
    } else {
      if (lpm) key.setUint32(0, 32, true);
      const ret = host.bpf(1, at, 32);
      if (ret === -2) { if (lpm) wrong.absent++; continue; }
      if (ret !== 0) wrong.errno++;
      else if (!value.every((word) => word === value[0])) wrong.torn++;
    }
  }
  return wrong;
`;

const fine = { torn: 0, errno: 0, absent: 0 };

interface Job {
  readonly fd: number;
  readonly seed: number;
  readonly rounds: number;
  readonly keys: number;
  readonly lpm: boolean;
  readonly value: number;
}

const start = (host: EmbeddedHost, job: Job): Started<typeof fine> => startOn(host, work, job);

function keysOf(h: EmbeddedHost, fd: number, size: number): string[] {
  const keys: string[] = [];
  const next = new Uint8Array(size);
  let from: Uint8Array | null = null;
  while (h.bpf(u.BPF_MAP_GET_NEXT_KEY, { map_fd: fd, key: from, next_key: next }) === 0) {
    keys.push(Buffer.from(next).toString("hex"));
    from = next.slice();
  }
  expect(new Set(keys).size).toBe(keys.length);
  return keys;
}

function update(h: EmbeddedHost, fd: number, key: Uint8Array, size: number = VALUE): number {
  return h.bpf(u.BPF_MAP_UPDATE_ELEM, { map_fd: fd, key, value: new Uint8Array(size) });
}

function remove(h: EmbeddedHost, fd: number, keys: readonly string[]): void {
  for (const key of keys) {
    expect(h.bpf(u.BPF_MAP_DELETE_ELEM, { map_fd: fd, key: new Uint8Array(Buffer.from(key, "hex")) })).toBe(0);
  }
}

/** No element of the map got lost: this CPU can have all but what the other one may keep. */
function fillUp(h: EmbeddedHost, fd: number, least: number, most: number): void {
  remove(h, fd, keysOf(h, fd, 4));
  for (let n = 0; n < 4 * most; n++) {
    expect(update(h, fd, new Uint8Array(Uint32Array.of(1_000_000 + n).buffer))).toBe(0);
  }
  const have = keysOf(h, fd, 4).length;
  expect(have).toBeLessThanOrEqual(most);
  expect(have).toBeGreaterThanOrEqual(least);
}

const lru = { map_type: u.BPF_MAP_TYPE_LRU_HASH, key_size: 4, value_size: VALUE, max_entries: 64 };

for (const flags of [0, u.BPF_F_NO_COMMON_LRU]) {
  // The other CPU keeps a share of 16, or its own half; where lists are by CPU four elements go at once.
  const [least, most] = flags === 0 ? [48, 64] : [29, 32];
  test(`LRU: workers that evict each other's elements (flags ${flags})`, async () => {
    const host = sharedHost();
    const fd = host.bpf(u.BPF_MAP_CREATE, { ...lru, map_flags: flags });
    const workers = [1, 2, 3].map((seed) =>
      start(host, { fd, seed, rounds: times(4_000), keys: 100, lpm: false, value: VALUE }),
    );
    expect(await Promise.all(workers.map((w) => w.done))).toEqual([fine, fine, fine]);
    expect(keysOf(host, fd, 4).length).toBeLessThanOrEqual(64);
    fillUp(host, fd, least, most);
  });

  test(`LRU: a worker that is terminated in the middle stops nobody (flags ${flags})`, async () => {
    const host = sharedHost();
    const fd = host.bpf(u.BPF_MAP_CREATE, { ...lru, map_flags: flags });
    for (let round = 0; round < 3; round++) {
      const [victim, other] = [
        start(host, { fd, seed: round + 1, rounds: 1e9, keys: 100, lpm: false, value: VALUE }),
        start(host, { fd, seed: round + 100, rounds: times(2_500), keys: 100, lpm: false, value: VALUE }),
      ];
      await victim.ready;
      await new Promise((resolve) => setTimeout(resolve, 20 + round));
      await victim.worker.terminate();
      expect(await other.done).toEqual(fine);
    }
    fillUp(host, fd, least, most);
  });
}

const trie = {
  map_type: u.BPF_MAP_TYPE_LPM_TRIE,
  key_size: 8,
  value_size: BIG_VALUE,
  max_entries: 100_000,
  map_flags: u.BPF_F_NO_PREALLOC,
};
const always = Uint8Array.of(8, 0, 0, 0, 10, 0, 0, 0);

test("LPM: what covers all is never absent, and no value is torn", async () => {
  const host = sharedHost();
  const fd = host.bpf(u.BPF_MAP_CREATE, trie);
  expect(update(host, fd, always, BIG_VALUE)).toBe(0);
  const workers = [1, 2, 3].map((seed) =>
    start(host, { fd, seed, rounds: times(3_000), keys: 60, lpm: true, value: BIG_VALUE }),
  );
  expect(await Promise.all(workers.map((w) => w.done))).toEqual([fine, fine, fine]);
  remove(host, fd, keysOf(host, fd, 8));
  expect(keysOf(host, fd, 8)).toEqual([]);
});

test("LPM: a worker that is terminated in the middle stops nobody", async () => {
  const host = sharedHost();
  const fd = host.bpf(u.BPF_MAP_CREATE, trie);
  expect(update(host, fd, always, BIG_VALUE)).toBe(0);
  for (let round = 0; round < 4; round++) {
    const [victim, other] = [
      start(host, { fd, seed: round + 1, rounds: 1e9, keys: 60, lpm: true, value: BIG_VALUE }),
      start(host, { fd, seed: round + 100, rounds: times(3_000), keys: 60, lpm: true, value: BIG_VALUE }),
    ];
    await victim.ready;
    await new Promise((resolve) => setTimeout(resolve, 20 + round));
    await victim.worker.terminate();
    expect(await other.done).toEqual(fine);
  }
  remove(host, fd, keysOf(host, fd, 8));
  expect(keysOf(host, fd, 8)).toEqual([]);
});
