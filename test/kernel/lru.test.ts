/**
 * LRU maps against Linux 6.18: the same calls evict the same keys in the same order, on one CPU and on a thread that
 * goes from one CPU to the other (so that it steals what the other has). Digests are of the kernel's answers on a
 * machine with two possible CPUs.
 */
import { readFileSync } from "node:fs";
import { afterEach, expect, test } from "vitest";
import * as u from "../../src/uapi/index.ts";
import { notRun, pinThread } from "../kernel.ts";
import { randomOf } from "../random.ts";
import { EmbeddedSide, judge, type MapShape, openKernelSide, type Side } from "./sides.ts";

const CPUS = 2;
const kernel = openKernelSide();
const alike = kernel !== undefined && possibleCpus() === CPUS;
if (kernel !== undefined && !alike) {
  notRun("on the kernel (CPUs)", `it has ${possibleCpus()} possible CPUs, what is evicted was recorded with ${CPUS}`);
}

function possibleCpus(): number {
  const last = /(\d+)\s*$/.exec(readFileSync("/sys/devices/system/cpu/possible", "utf8"));
  return Number(last![1]) + 1;
}

afterEach(() => {
  if (kernel !== undefined) pinThread(-1);
});

function call(side: Side, fd: number, op: number, key: Uint8Array, value: Uint8Array): number | string {
  if (op < 40) return side.update(fd, key, value, u.BPF_ANY);
  if (op < 46) return side.update(fd, key, value, u.BPF_NOEXIST);
  if (op < 52) return side.update(fd, key, value, u.BPF_EXIST);
  if (op < 58) return side.delete(fd, key);
  if (op < 61) return side.take(fd, key, value.length);
  if (op < 70) return side.lookup(fd, key, value.length);
  if (op < 71) return side.update(fd, key, value, 3);
  return side.programLookup(fd, key);
}

interface Script {
  readonly shape: MapShape;
  /** Bytes of a value in bpf(2): those of every CPU. */
  readonly valueBytes: number;
  /** The CPUs that the calls come from: 61 calls from each, then from the next. */
  readonly cpus: readonly number[];
  readonly calls: number;
  readonly seed: number;
}

/** What each call gave, with all keys of the map now and then. */
function play(side: Side, script: Script): string[] {
  const { shape, cpus, calls } = script;
  const fd = side.createMap(shape);
  expect(fd).toBeGreaterThanOrEqual(0);
  const random = randomOf(script.seed);
  const keys = Math.max(4, Math.floor(shape.max * 1.5));
  const every = Math.max(20, Math.min(500, shape.max));
  const key = new Uint8Array(shape.key);
  const value = new Uint8Array(script.valueBytes);
  const answers: string[] = [];
  let fresh = 0;
  for (let i = 0; i < calls; i++) {
    if (i % 61 === 0) {
      const cpu = cpus[(i / 61) % cpus.length]!;
      if (side instanceof EmbeddedSide) side.kernel.cpu = cpu;
      else pinThread(cpu);
    }
    // Stretches of new keys, of hot keys and of mixed calls bring different parts of the lists to work.
    const phase = Math.floor(i / 700) & 3;
    const n = phase === 1 ? fresh++ % (keys * 8) : random(phase === 2 ? Math.max(1, keys >> 2) : keys);
    const op = phase === 1 ? 0 : random(100);
    new DataView(key.buffer).setUint32(0, n, true);
    new DataView(value.buffer).setUint32(0, i, true);
    const answer = `op ${op}, key ${n}: ${call(side, fd, op, key, value)}`;
    answers.push(i % every === 0 ? `${answer}; ${side.keys(fd, shape.key).join(" ")}` : answer);
  }
  expect(side.close(fd)).toBe(0);
  return answers;
}

const types = { LRU_HASH: u.BPF_MAP_TYPE_LRU_HASH, LRU_PERCPU_HASH: u.BPF_MAP_TYPE_LRU_PERCPU_HASH } as const;

/** Type, max_entries, lists by CPU: the digests of the three scripts. */
const recorded: readonly (readonly [keyof typeof types, number, boolean, readonly string[]])[] = [
  ["LRU_HASH", 1, false, ["f2caa505a69c1421", "cd51f746ea3537b0", "08ae686bb01b4b0f"]],
  ["LRU_HASH", 1, true, ["f2caa505a69c1421", "cd51f746ea3537b0", "a9416a27c3eed298"]],
  ["LRU_HASH", 2, false, ["74daf2fd54d6b0c0", "725dc3d6a6d9f101", "05be753d4bd33404"]],
  ["LRU_HASH", 2, true, ["08ca135d588a5e98", "a843b1d983a148ac", "39d0d2d6d7dbcfc3"]],
  ["LRU_HASH", 3, false, ["05268fe1dc29f0c7", "e11159ace58ec55b", "f014f76755b51f0c"]],
  ["LRU_HASH", 3, true, ["9397a943b67d39d7", "5039789392755dda", "6aaf2a3d7cc0a507"]],
  ["LRU_HASH", 8, false, ["2ece0de715932867", "3258ed426f6eec7f", "de3beeb2c413ce18"]],
  ["LRU_HASH", 8, true, ["06deb3326a95c147", "c259fe2392418f7b", "9238a30db534d7a4"]],
  ["LRU_HASH", 100, false, ["2156743dc83bb60e", "9689bf47f93af44b", "116d1d2cc0c1a1eb"]],
  ["LRU_HASH", 100, true, ["3408089001c415e1", "0b7b4efc1b0dc0a5", "e66f7d2d6786bdc9"]],
  ["LRU_HASH", 1000, false, ["43e467bb24532efe", "c03eecf85715eca0", "92304968a75b411c"]],
  ["LRU_HASH", 1000, true, ["0e9d19e0e765e022", "66bdafbdc5931de0", "6455ee1b3da4cc38"]],
  ["LRU_PERCPU_HASH", 1, false, ["5d09d6e190b9afd2", "97ed0a4c4fa22260", "5f5c9df12e6720ed"]],
  ["LRU_PERCPU_HASH", 1, true, ["5d09d6e190b9afd2", "97ed0a4c4fa22260", "f6bb2d29aac98d54"]],
  ["LRU_PERCPU_HASH", 3, false, ["a9d3a1c860d43159", "0710163961a616dc", "e8390e23e0a6b059"]],
  ["LRU_PERCPU_HASH", 3, true, ["f007466c4078f9ed", "7cadd44a7580d643", "27e797f5fa890044"]],
  ["LRU_PERCPU_HASH", 100, false, ["d90b5d3e131b7a91", "b294da759b645a0e", "b0e91ac8ddbc749c"]],
  ["LRU_PERCPU_HASH", 100, true, ["f041e941ca0d4647", "4c36f01b1ccb67a2", "b3810d250dfd5594"]],
  ["LRU_PERCPU_HASH", 1000, false, ["6e99f9a464366423", "13cacf4a400b119c", "9a39edb75ba93922"]],
  ["LRU_PERCPU_HASH", 1000, true, ["67a0d907fc6adbc7", "9b541eae3281bec5", "0cd5669ac666ab94"]],
];

for (const [name, max, own, digests] of recorded) {
  test(`${name} of ${max}${own ? ", lists by CPU" : ""}`, () => {
    const flags = (own ? u.BPF_F_NO_COMMON_LRU : 0) | u.BPF_F_ZERO_SEED;
    const shape = { type: types[name], key: 4, value: 8, max, flags };
    const valueBytes = name === "LRU_HASH" ? 8 : 8 * CPUS;
    const side = new EmbeddedSide(CPUS);
    const scripts: Script[] = [
      { shape, valueBytes, cpus: [0], calls: 20_000, seed: max },
      { shape, valueBytes, cpus: [1], calls: 5_000, seed: max + 1 },
      { shape, valueBytes, cpus: [0, 0, 0, 1], calls: 10_000, seed: max + 2 },
    ];
    for (const [i, script] of scripts.entries()) {
      const answers = play(side, script);
      expect.soft(judge(answers, alike ? play(kernel!, script) : undefined, digests[i]!)).toBeUndefined();
    }
  });
}

test.skipIf(kernel === undefined)("what cannot be created, and what can", () => {
  const good = { type: u.BPF_MAP_TYPE_LRU_HASH, key: 4, value: 8, max: 10, flags: 0 };
  const own = u.BPF_F_NO_COMMON_LRU;
  const shapes: MapShape[] = [
    good,
    ...Array.from({ length: 16 }, (_, i) => ({ ...good, flags: 2 ** i })),
    { ...good, flags: u.BPF_F_NO_PREALLOC, max: 0 },
    { ...good, flags: own | u.BPF_F_NUMA_NODE },
    { ...good, flags: own | u.BPF_F_NUMA_NODE, numaNode: 0xffff_ffff },
    { ...good, flags: own | u.BPF_F_NO_PREALLOC },
    { ...good, flags: own | u.BPF_F_RDONLY_PROG | u.BPF_F_WRONLY_PROG },
    { ...good, max: 0 },
    { ...good, max: 2 ** 31 + 1 },
    { ...good, max: 2 ** 32 - 1, flags: own },
    { ...good, key: 0 },
    { ...good, key: 1024 },
    { ...good, value: 0 },
    { ...good, value: 4194251, max: 1 },
    { ...good, value: 4194252, max: 1 },
  ];
  for (const shape of [...shapes]) {
    shapes.push({ ...shape, type: u.BPF_MAP_TYPE_LRU_PERCPU_HASH });
  }
  shapes.push({ ...good, type: u.BPF_MAP_TYPE_LRU_PERCPU_HASH, value: 32768 });
  shapes.push({ ...good, type: u.BPF_MAP_TYPE_LRU_PERCPU_HASH, value: 32769 });
  shapes.push({ ...good, type: u.BPF_MAP_TYPE_PERCPU_HASH, flags: u.BPF_F_NUMA_NODE, numaNode: 0xffff_ffff });
  const embedded = new EmbeddedSide(CPUS);
  for (const shape of shapes) expect(embedded.canCreate(shape), JSON.stringify(shape)).toBe(kernel!.canCreate(shape));
});
