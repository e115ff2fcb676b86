/**
 * LRU maps against the running kernel: the same calls evict the same keys in the same order, on one CPU and on a thread
 * that goes from one CPU to the other (so that it steals what the other has).
 */
import { readFileSync } from "node:fs";
import { afterAll, beforeAll, expect, test } from "vitest";
import * as u from "../../src/uapi/index.ts";
import { EmbeddedSide, type MapShape, openKernelSide, pinThread, randomOf, type Side } from "./sides.ts";

const CALLS = 20_000;
const kernel = openKernelSide();
const possible = kernel === undefined ? 2 : possibleCpus();
let embedded: EmbeddedSide;

function possibleCpus(): number {
  const last = /(\d+)\s*$/.exec(readFileSync("/sys/devices/system/cpu/possible", "utf8"));
  return Number(last![1]) + 1;
}

beforeAll(() => {
  embedded = new EmbeddedSide(possible);
});
afterAll(() => {
  if (kernel !== undefined) pinThread(-1);
});

/** One call on one side, as something to compare. */
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

function compare(shape: MapShape, cpus: readonly number[], seed: number, keys: number): void {
  const real = kernel!;
  const fds: [number, number] = [embedded.createMap(shape), real.createMap(shape)];
  expect(fds[0]).toBeGreaterThanOrEqual(0);
  expect(fds[1]).toBeGreaterThanOrEqual(0);
  const random = randomOf(seed);
  const key = new Uint8Array(shape.key);
  const value = new Uint8Array(shape.value);
  const every = Math.max(20, Math.min(500, shape.max));
  let sequential = 0;
  for (let i = 0; i < CALLS; i++) {
    if (i % 61 === 0) {
      const cpu = cpus[(i / 61) % cpus.length]!;
      pinThread(cpu);
      embedded.kernel.cpu = cpu;
    }
    // Stretches of new keys, of hot keys and of mixed calls bring different parts of the lists to work.
    const phase = Math.floor(i / 700) & 3;
    const n = phase === 1 ? sequential++ % (keys * 8) : random(phase === 2 ? Math.max(1, keys >> 2) : keys);
    new DataView(key.buffer).setUint32(0, n, true);
    new DataView(value.buffer).setUint32(0, i, true);
    const op = phase === 1 ? 0 : random(100);
    const results = [call(embedded, fds[0], op, key, value), call(real, fds[1], op, key, value)];
    if (results[0] !== results[1]) {
      expect.fail(`seed ${seed}, call ${i}, op ${op}, key ${n}: embedded ${results[0]}, kernel ${results[1]}`);
    }
    if (i % every === 0) {
      const found = [embedded.keys(fds[0], shape.key).join(" "), real.keys(fds[1], shape.key).join(" ")];
      expect(found[0], `seed ${seed}, keys after call ${i}`).toBe(found[1]);
    }
  }
  expect(embedded.close(fds[0])).toBe(0);
  expect(real.close(fds[1])).toBe(0);
}

for (const max of [1, 2, 3, 8, 100, 1000]) {
  for (const flags of [0, u.BPF_F_NO_COMMON_LRU]) {
    test.skipIf(kernel === undefined)(`LRU_HASH of ${max}, flags ${flags}`, () => {
      const shape = { type: u.BPF_MAP_TYPE_LRU_HASH, key: 4, value: 8, max, flags: flags | u.BPF_F_ZERO_SEED };
      const keys = Math.max(4, Math.floor(max * 1.5));
      for (const [run, cpus] of (possible > 1 ? [[0], [1], [0, 1], [0, 0, 0, 1]] : [[0]]).entries()) {
        compare(shape, cpus, max * 10 + flags + run, keys);
      }
    });
  }
}
