/** LPM tries against Linux 6.18: results, bytes and the order of iteration. Digests are of the kernel's answers. */
import { expect, test } from "vitest";
import * as u from "../../src/uapi/index.ts";
import { randomOf } from "../random.ts";
import { EmbeddedSide, judge, type MapShape, openKernelSide, type Side } from "./sides.ts";

const kernel = openKernelSide();

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

/** `spread`: values of most bytes; few of them give deep tries, many flat ones. */
function play(side: Side, shape: MapShape, calls: number, spread: number): string[] {
  const fd = side.createMap(shape);
  expect(fd).toBeGreaterThanOrEqual(0);
  const random = randomOf(shape.key * 1000 + shape.max + spread);
  const key = new Uint8Array(shape.key);
  const value = new Uint8Array(shape.value);
  const max = (shape.key - 4) * 8;
  const answers: string[] = [];
  for (let i = 0; i < calls; i++) {
    for (let at = 4; at < shape.key; at++) key[at] = random(4) === 0 ? random(256) : (random(spread) * 0x91) & 0xff;
    const len = random(50) === 0 ? max + random(3) : random(5) === 0 ? max : random(max + 1);
    new DataView(key.buffer).setUint32(0, len, true);
    for (let at = 0; at < shape.value; at++) value[at] = random(256);
    // Stretches in which the trie mostly grows, and others in which it mostly shrinks.
    const op = Math.floor(i / 2500) % 4 === 3 && random(2) === 0 ? 50 : random(100);
    const answer = `op ${op}, key ${hex(key)}: ${call(side, fd, op, key, value)}`;
    answers.push(i % 1000 === 0 ? `${answer}; ${side.keys(fd, shape.key).join(" ")}` : answer);
  }
  expect(side.close(fd)).toBe(0);
  return answers;
}

/** Bytes of data, of values, max_entries; digests for deep and for flat tries. */
const recorded: readonly (readonly [number, number, number, string, string])[] = [
  [1, 1, 100, "e0f571c4eeaf5dd8", "041e2e96bea58cc1"],
  [2, 8, 1000, "76084179503f7651", "49236334b2764e40"],
  [3, 5, 64, "950d4b46dc730aa6", "3495ed7c3a296661"],
  [4, 4, 20, "21f63891dc199e4a", "2d84b7603b148dd7"],
  [4, 8, 100_000, "c75b26fb6ba28498", "a3f973385d10b05a"],
  [8, 16, 100_000, "6cca5de89daa8fca", "2b2a50f81b388478"],
  [16, 3, 500, "9a59ade11289ef45", "2df4d297c64943c2"],
  [32, 1, 100_000, "c38da402637dba4b", "7bea986b85ac8c62"],
];

for (const [data, value, max, deep, flat] of recorded) {
  test(`LPM_TRIE, ${data} bytes of data, at most ${max}`, () => {
    const side = new EmbeddedSide(2);
    const shape = shapeOf(data, value, max);
    for (const [spread, calls, digest] of [
      [2, 10_000, deep],
      [6, 20_000, flat],
    ] as const) {
      const answers = play(side, shape, calls, spread);
      const real = kernel === undefined ? undefined : play(kernel, shape, calls, spread);
      expect.soft(judge(answers, real, digest)).toBeUndefined();
    }
  });
}

test.skipIf(kernel === undefined)("what cannot be created, and what can", () => {
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
  const embedded = new EmbeddedSide(2);
  for (const shape of shapes) expect(embedded.canCreate(shape), JSON.stringify(shape)).toBe(kernel!.canCreate(shape));
});
