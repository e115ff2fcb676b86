/**
 * Batch commands against Linux 6.18: random calls, among them such with pointers, flags and cursors that are wrong; every
 * byte of the caller's buffers is compared. Digests are of the kernel's answers on a machine with two possible CPUs.
 */
import { createHash } from "node:crypto";
import { afterEach, expect, test } from "vitest";
import * as u from "../../src/uapi/index.ts";
import { pinThread } from "../kernel.ts";
import { randomOf } from "../random.ts";
import { EmbeddedSide, judge, type MapShape, openKernelSide, type Side } from "./sides.ts";

const CPUS = 2;
const kernel = openKernelSide(CPUS);

afterEach(() => {
  if (kernel !== undefined) pinThread(-1);
});

const CURSOR_IN = 0x1000;
const CURSOR_OUT = 0x1100;
const KEYS = 0x1200;
const VALUES = 0x1600;
/** Behind 40 keys of 13 bytes, and behind 40 values of 32, are bytes that nothing may touch. All is hashed after each call. */
const END = 0x1d00;
/** And so far nothing may have touched any at the end. */
const GUARDED = 0x4000;
const MOST = 40;
const BAD = 8n;
const commands = [
  u.BPF_MAP_LOOKUP_BATCH,
  u.BPF_MAP_LOOKUP_AND_DELETE_BATCH,
  u.BPF_MAP_UPDATE_BATCH,
  u.BPF_MAP_DELETE_BATCH,
];

interface Plan {
  readonly shape: MapShape;
  /** Bytes of a value in bpf(2). */
  readonly valueBytes: number;
  /** Writes the n-th key. */
  key(bytes: Uint8Array, n: number): void;
  /** Writes a cursor that need not be one. */
  cursor(bytes: Uint8Array, random: (n: number) => number): void;
}

function play(side: Side, plan: Plan, calls: number, seed: number): string[] {
  const { shape, valueBytes } = plan;
  if (side instanceof EmbeddedSide) side.kernel.cpu = 0;
  else pinThread(0);
  const fd = side.createMap(shape);
  expect(fd).toBeGreaterThanOrEqual(0);
  const random = randomOf(seed);
  const { bytes, view, base } = side;
  const keys = Math.ceil(shape.max * 1.5);
  const answers: string[] = [];
  bytes.fill(0xee, END, GUARDED);
  const fillKeys = (count: number): void => {
    for (let i = 0; i < count; i++) {
      plan.key(bytes.subarray(KEYS + i * shape.key, KEYS + (i + 1) * shape.key), random(keys));
      for (let b = 0; b < valueBytes; b++) bytes[VALUES + i * valueBytes + b] = random(256);
    }
  };
  for (let i = 0; i < calls; i++) {
    // Stretches of updates, of deletions and of all mixed; what is read goes on where the last call stopped, mostly.
    const kind = random(10);
    const phase = Math.floor(i / 50) % 4;
    const cmd = commands[kind < 4 ? random(4) : phase === 0 ? 2 : phase === 1 ? 0 : phase === 2 ? random(2) : 3]!;
    const count = random(12) === 0 ? random(2) * MOST : 1 + random(random(4) === 0 ? MOST : 5);
    if (random(4) === 0) plan.cursor(bytes.subarray(CURSOR_IN, CURSOR_IN + shape.key), random);
    else bytes.copyWithin(CURSOR_IN, CURSOR_OUT, CURSOR_OUT + 16);
    bytes.fill(0xee, CURSOR_OUT, END);
    if (cmd === u.BPF_MAP_UPDATE_BATCH || cmd === u.BPF_MAP_DELETE_BATCH) fillKeys(count);
    const wrong = random(12) === 0 ? random(6) : -1;
    const pointer = (at: number, n: number): bigint => (wrong === n ? BAD : base + BigInt(at));
    bytes.fill(0, 0, 64);
    view.setBigUint64(0, random(5) === 0 ? 0n : pointer(CURSOR_IN, 0), true);
    view.setBigUint64(8, pointer(CURSOR_OUT, 1), true);
    view.setBigUint64(16, pointer(KEYS, 2), true);
    view.setBigUint64(24, pointer(VALUES, 3), true);
    view.setUint32(32, count, true);
    view.setUint32(36, fd, true);
    if (wrong === 4) view.setUint32(40 + 4 * random(2), 1 << random(4), true);
    if (wrong === 5) view.setUint32(48 + 4 * random(2), 1 << random(4), true);
    const ret = side.bpf(cmd, 56);
    const written = createHash("sha1").update(bytes.subarray(CURSOR_OUT, END)).digest("hex").slice(0, 8);
    const answer = `command ${cmd}, count ${count}, wrong ${wrong}: ${ret}, ${view.getUint32(32, true)}, ${written}`;
    answers.push(i % 20 === 0 ? `${answer}; ${side.keys(fd, shape.key).join(" ")}` : answer);
  }
  expect(side.close(fd)).toBe(0);
  expect(new Set(bytes.subarray(END, GUARDED))).toEqual(new Set([0xee]));
  return answers;
}

const number = (bytes: Uint8Array, n: number): void => {
  for (let i = 0; i < bytes.length; i++) bytes[i] = i < 4 ? n >>> (i * 8) : i;
};

function byBucket(type: number, key: number, value: number, max: number, flags = 0): Plan {
  const percpu = type === u.BPF_MAP_TYPE_PERCPU_HASH || type === u.BPF_MAP_TYPE_LRU_PERCPU_HASH;
  return {
    shape: { type, key, value, max, flags: flags | u.BPF_F_ZERO_SEED },
    valueBytes: percpu ? Math.ceil(value / 8) * 8 * CPUS : value,
    key: number,
    cursor: (bytes, random) => number(bytes.subarray(0, 4), random(Math.ceil(max * 1.6))),
  };
}

function byKey(type: number, value: number, max: number): Plan {
  const percpu = type === u.BPF_MAP_TYPE_PERCPU_ARRAY;
  return {
    shape: { type, key: 4, value, max, flags: 0 },
    valueBytes: percpu ? Math.ceil(value / 8) * 8 * CPUS : value,
    key: number,
    cursor: (bytes, random) => number(bytes, random(max + 3)),
  };
}

/** Few bits in use, so that prefixes meet; now and then one that is too long. */
function prefix(bytes: Uint8Array, n: number): void {
  bytes.fill(0);
  bytes[0] = n % 61 === 0 ? 33 : [0, 3, 8, 9, 17, 32][n % 6]!;
  bytes[4] = (n >>> 1) * 0x49;
  bytes[5] = (n * 0x95) & 0xf0;
  bytes[7] = n;
}

const plans: Readonly<Record<string, readonly [plan: Plan, digest: string]>> = {
  "HASH of 30": [byBucket(u.BPF_MAP_TYPE_HASH, 4, 8, 30), "ec595a96ebc53b7f"],
  "HASH of 100, keys of 13 bytes": [byBucket(u.BPF_MAP_TYPE_HASH, 13, 5, 100), "bc72f48a900b23e1"],
  "HASH of 1": [byBucket(u.BPF_MAP_TYPE_HASH, 8, 16, 1), "a5b3138279820b3c"],
  "HASH of 50 without preallocation": [
    byBucket(u.BPF_MAP_TYPE_HASH, 8, 3, 50, u.BPF_F_NO_PREALLOC),
    "c39cd33e6061df76",
  ],
  "PERCPU_HASH of 40": [byBucket(u.BPF_MAP_TYPE_PERCPU_HASH, 4, 12, 40), "7ddc196712190e08"],
  "LRU_HASH of 40": [byBucket(u.BPF_MAP_TYPE_LRU_HASH, 4, 8, 40), "27346ebaf9c1f5ee"],
  "LRU_HASH of 5": [byBucket(u.BPF_MAP_TYPE_LRU_HASH, 7, 8, 5), "a65b62e2d3d01e9f"],
  "LRU_HASH of 300": [byBucket(u.BPF_MAP_TYPE_LRU_HASH, 4, 8, 300), "bcf4174a6ca5e6e4"],
  "LRU_HASH of 40, lists by CPU": [
    byBucket(u.BPF_MAP_TYPE_LRU_HASH, 4, 8, 40, u.BPF_F_NO_COMMON_LRU),
    "61db2fda15f39320",
  ],
  "LRU_PERCPU_HASH of 40": [byBucket(u.BPF_MAP_TYPE_LRU_PERCPU_HASH, 4, 8, 40), "b8165e9ee2d9db1d"],
  "ARRAY of 20": [byKey(u.BPF_MAP_TYPE_ARRAY, 7, 20), "77bdeb005cd29719"],
  "PERCPU_ARRAY of 20": [byKey(u.BPF_MAP_TYPE_PERCPU_ARRAY, 12, 20), "9a44e7c8dabbdbb7"],
  "LPM_TRIE of 30": [
    {
      shape: { type: u.BPF_MAP_TYPE_LPM_TRIE, key: 8, value: 8, max: 30, flags: u.BPF_F_NO_PREALLOC },
      valueBytes: 8,
      key: prefix,
      cursor: (bytes, random) => prefix(bytes, random(70)),
    },
    "7a3e32b46440c70d",
  ],
};

for (const [name, [plan, digest]] of Object.entries(plans)) {
  test(`batches of ${name}`, () => {
    const real = kernel === undefined ? undefined : play(kernel, plan, 3000, plan.shape.max);
    for (const shared of [false, true]) {
      const answers = play(new EmbeddedSide(CPUS, shared), plan, 3000, plan.shape.max);
      expect.soft(judge(answers, real, digest), shared ? "shared" : "exclusive").toBeUndefined();
    }
  });
}
