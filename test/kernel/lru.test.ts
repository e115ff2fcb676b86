/**
 * LRU maps against Linux 6.18: the same calls evict the same keys in the same order, on one CPU and on a thread that
 * goes from one CPU to the other (so that it steals what the other has). Digests are of the kernel's answers on a
 * machine with two possible CPUs.
 */
import { readFileSync } from "node:fs";
import { afterEach, expect, test } from "vitest";
import * as u from "../../src/uapi/index.ts";
import { notRun, pinThread } from "../kernel.ts";
import { play, type Script } from "./lru_play.ts";
import { EmbeddedSide, judge, type MapShape, openKernelSide } from "./sides.ts";

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

const types = { LRU_HASH: u.BPF_MAP_TYPE_LRU_HASH, LRU_PERCPU_HASH: u.BPF_MAP_TYPE_LRU_PERCPU_HASH } as const;

/** Type, max_entries, lists by CPU: the digests of the three scripts. */
const recorded: readonly (readonly [keyof typeof types, number, boolean, readonly string[]])[] = [
  ["LRU_HASH", 1, false, ["283503fafa641b23", "269d57cdccf9f0c5", "fe19f905dbafaa31"]],
  ["LRU_HASH", 1, true, ["283503fafa641b23", "269d57cdccf9f0c5", "a16ac8f92ad00913"]],
  ["LRU_HASH", 2, false, ["2e68033e3a1ae590", "b2f6372f3cdf4d36", "de0a39cfc484626f"]],
  ["LRU_HASH", 2, true, ["0286a1829f8b2716", "f958779acda85c9e", "89413b1828beed51"]],
  ["LRU_HASH", 3, false, ["17c6bf6686235979", "d6f49a2c7e179c0f", "60370362ef157e18"]],
  ["LRU_HASH", 3, true, ["9608246cc5b87d78", "104915deff656f3c", "6880a37fcbe15592"]],
  ["LRU_HASH", 8, false, ["de721fdbb8584f25", "db72a9cf1189004f", "8d73d7a51c818fd7"]],
  ["LRU_HASH", 8, true, ["7dff36039ee8feb0", "1160ef196cd5f9f5", "9270c6915b79112f"]],
  ["LRU_HASH", 100, false, ["a82687e660c32dd0", "2ce074d41982c029", "9ff4169a372c94ff"]],
  ["LRU_HASH", 100, true, ["14990703bf8c7aa6", "94be7fccaf2341cb", "116964fe605d9c66"]],
  ["LRU_HASH", 1000, false, ["949e12aca06396a8", "9b987b43feeaf43b", "c1f336395f9d0086"]],
  ["LRU_HASH", 1000, true, ["0e683b72ddf0df8a", "a4b843cb9ffd413a", "13dc6cfd2b629761"]],
  ["LRU_PERCPU_HASH", 1, false, ["98eb408fef9ebaa2", "f2ab5e7a8325925d", "93e4d477857c2f2c"]],
  ["LRU_PERCPU_HASH", 1, true, ["98eb408fef9ebaa2", "f2ab5e7a8325925d", "d699193295c79e1d"]],
  ["LRU_PERCPU_HASH", 3, false, ["ebd52f8f2605985a", "9b7eec2c1ab9fc1a", "e9ca79357445dfe2"]],
  ["LRU_PERCPU_HASH", 3, true, ["8292fe45ea6b063d", "254d7736b3c858d0", "94ea1604b5ca6345"]],
  ["LRU_PERCPU_HASH", 100, false, ["4d77eed530f5e0cc", "a7019f1170d93665", "b6091c78665d9d47"]],
  ["LRU_PERCPU_HASH", 100, true, ["7ae8638f4e235afe", "d356ff3d126e259f", "d8356f0c20d8e3ec"]],
  ["LRU_PERCPU_HASH", 1000, false, ["6b41250abb6ab6b1", "7946e67db93a6532", "aa428c0f03e16ca1"]],
  ["LRU_PERCPU_HASH", 1000, true, ["e22f86b4798ae5cb", "68c9e2467f1160cd", "0e53a2f5fb1a5580"]],
];

for (const [name, max, own, digests] of recorded) {
  test(`${name} of ${max}${own ? ", lists by CPU" : ""}`, () => {
    const flags = (own ? u.BPF_F_NO_COMMON_LRU : 0) | u.BPF_F_ZERO_SEED;
    const shape = { type: types[name], key: 4, value: 8, max, flags };
    const valueBytes = name === "LRU_HASH" ? 8 : 8 * CPUS;
    const side = new EmbeddedSide(CPUS);
    const every = Math.max(20, Math.min(500, max));
    const scripts: Script[] = [
      { shape, valueBytes, cpus: [0], calls: 8_000, seed: max, every },
      { shape, valueBytes, cpus: [1], calls: 3_000, seed: max + 1, every },
      { shape, valueBytes, cpus: [0, 0, 0, 1], calls: 6_000, seed: max + 2, every },
    ];
    for (const [i, script] of scripts.entries()) {
      const answers = [...play(side, script)];
      expect.soft(judge(answers, alike ? [...play(kernel!, script)] : undefined, digests[i]!)).toBeUndefined();
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
