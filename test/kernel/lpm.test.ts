/** LPM tries against the running kernel: results, bytes and the order of iteration. */
import { afterAll, beforeAll, expect, test } from "vitest";
import * as u from "../../src/uapi/index.ts";
import { EmbeddedSide, type MapShape, openKernelSide, randomOf, type Side } from "./sides.ts";

const CALLS = 20_000;
const kernel = openKernelSide();
let embedded: EmbeddedSide;
const fds: number[] = [];

beforeAll(() => {
  embedded = new EmbeddedSide(2);
});
afterAll(() => {
  expect(fds).toEqual([]);
});

function shapeOf(data: number, value: number, max: number): MapShape {
  return { type: u.BPF_MAP_TYPE_LPM_TRIE, key: 4 + data, value, max, flags: u.BPF_F_NO_PREALLOC };
}

function hex(bytes: number | Uint8Array): number | string {
  return typeof bytes === "number" ? bytes : Buffer.from(bytes).toString("hex");
}

function call(side: Side, fd: number, op: number, key: Uint8Array, value: Uint8Array): number | string {
  if (op < 30) return side.update(fd, key, value, u.BPF_ANY);
  if (op < 36) return side.update(fd, key, value, u.BPF_NOEXIST);
  if (op < 42) return side.update(fd, key, value, u.BPF_EXIST);
  if (op < 66) return side.delete(fd, key);
  if (op < 67) return side.update(fd, key, value, 3);
  if (op < 68) return side.take(fd, key, value.length);
  if (op < 76) return hex(side.nextKey(fd, key, key.length));
  if (op < 80) return side.programLookup(fd, key);
  return side.lookup(fd, key, value.length);
}

/** `spread`: bits that differ between keys at a place; few of them give deep tries, many flat ones. */
function compare(shape: MapShape, seed: number, spread: number): void {
  const real = kernel!;
  const pair: [number, number] = [embedded.createMap(shape), real.createMap(shape)];
  fds.push(...pair);
  const random = randomOf(seed);
  const key = new Uint8Array(shape.key);
  const value = new Uint8Array(shape.value);
  const max = (shape.key - 4) * 8;
  for (let i = 0; i < CALLS; i++) {
    for (let at = 4; at < shape.key; at++) key[at] = random(4) === 0 ? random(256) : (random(spread) * 0x91) & 0xff;
    const len = random(50) === 0 ? max + random(3) : random(5) === 0 ? max : random(max + 1);
    new DataView(key.buffer).setUint32(0, len, true);
    for (let at = 0; at < shape.value; at++) value[at] = random(256);
    // Stretches in which the trie mostly grows, and others in which it mostly shrinks.
    const op = Math.floor(i / 2500) % 4 === 3 && random(2) === 0 ? 50 : random(100);
    const results = [call(embedded, pair[0], op, key, value), call(real, pair[1], op, key, value)];
    if (results[0] !== results[1]) {
      expect.fail(`seed ${seed}, call ${i}, op ${op}, key ${hex(key)}: embedded ${results[0]}, kernel ${results[1]}`);
    }
    if (i % 1000 === 0) {
      const found = [embedded.keys(pair[0], shape.key).join(" "), real.keys(pair[1], shape.key).join(" ")];
      expect(found[0], `seed ${seed}, keys after call ${i}`).toBe(found[1]);
    }
  }
  expect(embedded.close(pair[0])).toBe(0);
  expect(real.close(pair[1])).toBe(0);
  fds.length = 0;
}

for (const [data, value, max] of [
  [1, 1, 100],
  [2, 8, 1000],
  [3, 5, 64],
  [4, 4, 20],
  [4, 8, 100_000],
  [8, 16, 100_000],
  [16, 3, 500],
  [32, 1, 100_000],
] as const) {
  test.skipIf(kernel === undefined)(`LPM_TRIE, ${data} bytes of data, at most ${max}`, () => {
    for (const spread of [2, 6]) compare(shapeOf(data, value, max), data * 1000 + max + spread, spread);
  });
}

test.skipIf(kernel === undefined)("what cannot be created, and what can", () => {
  const real = kernel!;
  const good = shapeOf(4, 8, 10);
  const shapes: MapShape[] = [
    good,
    { ...good, flags: 0 },
    { ...good, flags: u.BPF_F_NO_PREALLOC | u.BPF_F_ZERO_SEED },
    { ...good, flags: u.BPF_F_NO_PREALLOC | u.BPF_F_NUMA_NODE },
    { ...good, flags: u.BPF_F_NO_PREALLOC | u.BPF_F_RDONLY_PROG | u.BPF_F_WRONLY_PROG },
    { ...good, flags: u.BPF_F_NO_PREALLOC | u.BPF_F_RDONLY_PROG },
    { ...good, max: 0 },
    { ...good, key: 4 },
    { ...good, key: 5 },
    { ...good, key: 260 },
    { ...good, key: 261 },
    { ...good, key: 0 },
    { ...good, value: 0 },
    { ...good, value: 4194024 },
    { ...good, value: 4194025 },
  ];
  for (const shape of shapes) {
    const results = [embedded, real].map((side) => {
      const fd = side.createMap(shape);
      if (fd >= 0) side.close(fd);
      return Math.min(fd, 0);
    });
    expect(results[0], JSON.stringify(shape)).toBe(results[1]);
  }
});
