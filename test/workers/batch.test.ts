/** Batch commands under several threads. */
import { expect, test } from "vitest";
import type { EmbeddedHost } from "../../src/host/embedded.ts";
import * as u from "../../src/uapi/index.ts";
import { type Started, sharedHost, startOn, times } from "./worker.ts";

const ROOM = 16;
/** In the shared state of a test: producers that are done, and whether all shall stop. */
const DONE = 0;
const STOP = 1;

/**
 * `batches(cmd)` walks the map once with LOOKUP_BATCH (24) or LOOKUP_AND_DELETE_BATCH (25) and gives keys and values;
 * values are two words, the first with all bits turned.
 */
const prelude = `
  const state = new Int32Array(data.state);
  const key = new Uint32Array(1), value = new Uint32Array(2);
  const keys = new Uint32Array(${ROOM}), values = new Uint32Array(2 * ${ROOM}), cursor = new Uint32Array(1);
  let odd = 0, torn = 0;
  const put = (n, word, flags) => {
    key[0] = n;
    value[0] = ~word;
    value[1] = word;
    return host.bpf(2, { map_fd: data.fd, key, value, flags });
  };
  const batches = (cmd, each) => {
    for (let from = null; ; from = cursor) {
      const attr = { map_fd: data.fd, in_batch: from, out_batch: cursor, keys, values, count: ${ROOM} };
      const ret = host.bpf(cmd, attr);
      if (ret !== 0 && ret !== -2) { odd++; return; }
      for (let i = 0; i < attr.count; i++) {
        if (values[2 * i] !== ~values[2 * i + 1] >>> 0) torn++;
        each(keys[i], values[2 * i + 1]);
      }
      if (ret !== 0) return;
    }
  };
`;

/** Puts in `count` keys of its own; when the map is full, it waits for the takers. */
const produce = `
  for (let n = 0; n < data.count; ) {
    const ret = put(data.id * 1_000_000 + n, n, 1);
    if (ret === 0) n++;
    else if (ret !== -7) { odd++; break; }
  }
  Atomics.add(state, ${DONE}, 1);
  return { odd, torn, taken: [] };
`;

const take = `
  const taken = [];
  for (let last = false; ; ) {
    const before = taken.length;
    batches(25, (k) => taken.push(k));
    // One walk more after the producers are done.
    if (last && taken.length === before) break;
    last = Atomics.load(state, ${DONE}) === data.producers;
  }
  return { odd, torn, taken };
`;

/** Replaces every key over and over. */
const replace = `
  ready();
  for (let n = 0; Atomics.load(state, ${STOP}) === 0; n++) if (put(n % data.keys, n, 2) !== 0) odd++;
  return { odd, torn, taken: [] };
`;

/** Takes and puts back, to be ended in the middle. */
const churn = `
  ready();
  for (let n = data.id; ; n++) {
    put(n % data.keys, n, 0);
    if (n % 40 === 0) batches(25, () => undefined);
  }
`;

interface Report {
  readonly odd: number;
  readonly torn: number;
  readonly taken: readonly number[];
}

function start(host: EmbeddedHost, body: string, data: object): Started<Report> {
  return startOn(host, prelude + body, data);
}

function create(host: EmbeddedHost, map_type: number, max_entries: number, map_flags = 0): number {
  return host.bpf(u.BPF_MAP_CREATE, { map_type, key_size: 4, value_size: 8, max_entries, map_flags });
}

const maps = [
  ["HASH", u.BPF_MAP_TYPE_HASH, 0],
  ["HASH without preallocation", u.BPF_MAP_TYPE_HASH, u.BPF_F_NO_PREALLOC],
  ["LRU_HASH", u.BPF_MAP_TYPE_LRU_HASH, 0],
] as const;

for (const [name, type, flags] of maps) {
  test(`two threads put elements into a ${name}, two take them: each is taken once`, async () => {
    const host = sharedHost();
    const fd = create(host, type, 256, flags);
    const state = new SharedArrayBuffer(8);
    const job = { fd, state, count: times(1500), producers: 2 };
    const workers = [
      start(host, produce, { ...job, id: 1 }),
      start(host, produce, { ...job, id: 2 }),
      start(host, take, job),
      start(host, take, job),
    ];
    const reports = await Promise.all(workers.map((w) => w.done));
    expect(reports.map(({ odd, torn }) => ({ odd, torn }))).toEqual(workers.map(() => ({ odd: 0, torn: 0 })));
    const taken = reports.flatMap((r) => r.taken);
    expect(new Set(taken).size).toBe(taken.length);
    // An LRU map makes room by itself; what it holds at the end, all but the free elements of both CPUs, is taken.
    if (type === u.BPF_MAP_TYPE_HASH) expect(taken.length).toBe(2 * job.count);
    else expect(taken.length).toBeGreaterThanOrEqual(256 - 2 * 64);
  });
}

test("a walk with LOOKUP_BATCH sees every element once while another thread replaces them", async () => {
  const KEYS = 40;
  // Few buckets, so that chains are long.
  const host = sharedHost();
  const fd = create(host, u.BPF_MAP_TYPE_HASH, KEYS);
  const one = new Uint32Array(1);
  for (let k = 0; k < KEYS; k++) {
    one[0] = k;
    const value = Uint32Array.of(~k, k);
    expect(host.bpf(u.BPF_MAP_UPDATE_ELEM, { map_fd: fd, key: one, value })).toBe(0);
  }
  const state = new SharedArrayBuffer(8);
  const workers = [0, 1].map(() => start(host, replace, { fd, state, keys: KEYS }));
  await Promise.all(workers.map((w) => w.ready));
  const keys = new Uint32Array(2 * KEYS);
  const values = new Uint32Array(4 * KEYS);
  let torn = 0;
  let wrong = 0;
  for (let round = 0; round < times(400); round++) {
    const attr = { map_fd: fd, in_batch: null, out_batch: one, keys, values, count: 2 * KEYS };
    if (host.bpf(u.BPF_MAP_LOOKUP_BATCH, attr) !== -u.ENOENT) wrong++;
    if (attr.count !== KEYS || new Set(keys.subarray(0, KEYS)).size !== KEYS) wrong++;
    for (let i = 0; i < attr.count; i++) if (values[2 * i] !== ~values[2 * i + 1]! >>> 0) torn++;
  }
  Atomics.store(new Int32Array(state), STOP, 1);
  const reports = await Promise.all(workers.map((w) => w.done));
  expect({ wrong, torn, odd: reports.map((r) => r.odd) }).toEqual({ wrong: 0, torn: 0, odd: [0, 0] });
});

/** How many elements go in until the map is full, after everything that is in it was taken. */
function refill(h: EmbeddedHost, fd: number, most: number): number {
  const keys = new Uint32Array(most);
  const cursor = new Uint32Array(1);
  const attr = { map_fd: fd, out_batch: cursor, keys, values: new Uint32Array(2 * most), count: most };
  // Before anybody has been at the buckets that the dead had locked.
  const counted = h.mapCounters(fd);
  expect(h.bpf(u.BPF_MAP_LOOKUP_AND_DELETE_BATCH, attr)).toBe(-u.ENOENT);
  expect(counted).toMatchObject({ entries: attr.count });
  for (let n = 0; n < 2 * most; n++) {
    const ret = h.bpf(u.BPF_MAP_UPDATE_ELEM, { map_fd: fd, key: Uint32Array.of(5000 + n), value: new Uint32Array(2) });
    if (ret !== 0 && ret !== -u.E2BIG) return ret;
  }
  attr.count = most;
  expect(h.bpf(u.BPF_MAP_LOOKUP_BATCH, attr)).toBe(-u.ENOENT);
  return attr.count;
}

for (const [name, type, flags] of maps) {
  test(`a thread that is ended while it takes from a ${name} costs no element its place`, async () => {
    const MAX = 64;
    const host = sharedHost();
    const fd = create(host, type, MAX, flags);
    const state = new SharedArrayBuffer(8);
    for (let round = 0; round < 2; round++) {
      const victims = [1, 2].map((id) => start(host, churn, { fd, state, id, keys: 3 * MAX }));
      await Promise.all(victims.map((v) => v.ready));
      await new Promise((resolve) => setTimeout(resolve, 15 + round));
      await Promise.all(victims.map((v) => v.worker.terminate()));
      const fit = refill(host, fd, MAX);
      // The other CPU of an LRU map keeps a share of 16.
      if (type === u.BPF_MAP_TYPE_HASH) expect(fit).toBe(MAX);
      else expect(fit).toBeGreaterThanOrEqual(MAX - 2 * 16);
    }
  });
}
