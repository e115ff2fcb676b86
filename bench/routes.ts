/**
 * Routing tables made up from a seed, with the shape of real ones: registries give out blocks close to each other, the
 * holders announce them and parts of them, and most announcements are of few lengths. Shares are about those that
 * public BGP tables had in 2024.
 */
import { randomOf } from "../test/random.ts";
import type { KeySet } from "./keys.ts";

interface Shape {
  /** Bytes of an address. */
  readonly bytes: number;
  /** Where registries give blocks out: first bits, and how many of them. */
  readonly pools: readonly (readonly [first: number, bits: number])[];
  /** Lengths of the blocks that are given out, with their weights. */
  readonly blocks: readonly (readonly [length: number, weight: number])[];
  /** Lengths of announcements, with their weights. */
  readonly lengths: readonly (readonly [length: number, weight: number])[];
  /** Announcements of one block, on average. */
  readonly announced: number;
}

const ipv4: Shape = {
  bytes: 4,
  pools: [
    1, 2, 5, 14, 23, 24, 27, 31, 37, 41, 45, 46, 58, 61, 62, 64, 66, 69, 72, 77, 78, 80, 85, 88, 91, 93, 95, 101, 103,
  ]
    .concat([
      105, 109, 112, 117, 121, 125, 128, 138, 141, 146, 151, 154, 159, 165, 168, 172, 176, 181, 185, 188, 190, 193,
    ])
    .concat([195, 197, 200, 203, 206, 208, 209, 210, 213, 216, 217, 220])
    .map((first) => [first, 8] as const),
  blocks: [
    [14, 2],
    [15, 3],
    [16, 14],
    [17, 6],
    [18, 8],
    [19, 12],
    [20, 16],
    [21, 10],
    [22, 25],
    [24, 4],
  ],
  lengths: [
    [8, 0.02],
    [10, 0.03],
    [11, 0.1],
    [12, 0.3],
    [13, 0.6],
    [14, 1.2],
    [15, 1.9],
    [16, 13],
    [17, 8],
    [18, 13.5],
    [19, 24],
    [20, 44],
    [21, 55],
    [22, 117],
    [23, 100],
    [24, 610],
    [25, 0.3],
    [28, 0.2],
    [32, 0.5],
  ],
  announced: 9,
};

const ipv6: Shape = {
  bytes: 16,
  pools: [
    [0x2001, 16],
    [0x240, 12],
    [0x260, 12],
    [0x280, 12],
    [0x2a0, 12],
    [0x2c0, 12],
    [0x2404, 16],
    [0x2a02, 16],
  ],
  blocks: [
    [20, 1],
    [24, 1],
    [28, 3],
    [29, 18],
    [32, 70],
    [36, 2],
    [40, 2],
    [44, 2],
    [48, 8],
  ],
  lengths: [
    [20, 0.1],
    [24, 0.2],
    [28, 0.7],
    [29, 28],
    [30, 5],
    [31, 3],
    [32, 125],
    [33, 15],
    [34, 10],
    [35, 6],
    [36, 55],
    [38, 12],
    [40, 85],
    [42, 18],
    [44, 110],
    [45, 7],
    [46, 22],
    [47, 26],
    [48, 470],
    [52, 1],
    [56, 8],
    [64, 10],
    [128, 2],
  ],
  announced: 4,
};

export type Family = "IPv4" | "IPv6";
const shapes: Readonly<Record<Family, Shape>> = { IPv4: ipv4, IPv6: ipv6 };

type Random = ReturnType<typeof randomOf>;

function pick(weighted: Shape["lengths"], random: Random): number {
  let left = (random(1_000_000) / 1_000_000) * weighted.reduce((sum, [, weight]) => sum + weight, 0);
  for (const [length, weight] of weighted) {
    left -= weight;
    if (left < 0) return length;
  }
  return weighted.at(-1)![0];
}

function setBits(address: Uint8Array, from: number, to: number, bitOf: (index: number) => number): void {
  for (let i = from; i < to; i++) {
    const mask = 0x80 >> (i & 7);
    address[i >> 3] = bitOf(i) ? address[i >> 3]! | mask : address[i >> 3]! & ~mask;
  }
}

interface Prefix {
  readonly address: Uint8Array;
  readonly length: number;
}

/** Blocks are given out one after the other, with gaps. */
class Registry {
  readonly #shape: Shape;
  readonly #random: Random;
  readonly #next: number[];

  constructor(shape: Shape, random: Random) {
    this.#shape = shape;
    this.#random = random;
    this.#next = shape.pools.map(() => random(64));
  }

  block(): Prefix {
    const { pools, blocks, bytes } = this.#shape;
    const pool = this.#random(pools.length);
    const [first, bits] = pools[pool]!;
    const length = Math.max(pick(blocks, this.#random), bits + 2);
    const address = new Uint8Array(bytes);
    setBits(address, 0, bits, (i) => (first >> (bits - 1 - i)) & 1);
    // The place in the pool, counted in blocks of this length up to 14 bits; the bits behind them are random.
    const counted = Math.min(14, length - bits);
    const place = this.#next[pool]!;
    this.#next[pool] = (place + 1 + this.#random(3)) % 2 ** 14;
    setBits(address, bits, bits + counted, (i) => (place >> (13 - (i - bits))) & 1);
    setBits(address, bits + counted, length, () => this.#random(2));
    return { address, length };
  }
}

export interface RouteTable {
  readonly family: Family;
  /** Different prefixes; as keys of an LPM trie. */
  readonly routes: KeySet;
  /** Addresses as keys: `hits` of 100 lie under a route, the others anywhere. */
  lookups(count: number, hits: number): KeySet;
}

export function routeTable(family: Family, count: number, seed = 1): RouteTable {
  const shape = shapes[family];
  const stride = 1 + shape.bytes / 4;
  const words = new Uint32Array(count * stride);
  const bytes = new Uint8Array(words.buffer);
  const random = randomOf(seed);
  const registry = new Registry(shape, random);
  const seen = new Set<string>();
  let block = registry.block();
  while (seen.size < count) {
    if (random(shape.announced) === 0) block = registry.block();
    const length = Math.max(pick(shape.lengths, random), block.length);
    const address = block.address.slice();
    // Holders number their parts from the front.
    const wide = random(4) === 0 ? length - block.length : Math.min(length - block.length, 5);
    setBits(address, length - wide, length, () => random(2));
    const name = `${address.join(".")}/${length}`;
    if (seen.has(name)) {
      block = registry.block();
      continue;
    }
    words[seen.size * stride] = length;
    bytes.set(address, seen.size * stride * 4 + 4);
    seen.add(name);
  }
  const routes: KeySet = { words, stride, count };
  return { family, routes, lookups: (n, hits) => lookupsIn(routes, shape, n, hits, random) };
}

function lookupsIn(routes: KeySet, shape: Shape, count: number, hits: number, random: Random): KeySet {
  const { stride } = routes;
  const from = new Uint8Array(routes.words.buffer);
  const words = new Uint32Array(count * stride);
  const bytes = new Uint8Array(words.buffer);
  for (let i = 0; i < count; i++) {
    const route = random(routes.count) * stride;
    const address = from.slice(route * 4 + 4, (route + stride) * 4);
    const [first, bits] = shape.pools[random(shape.pools.length)]!;
    const hit = random(100) < hits;
    if (!hit) setBits(address, 0, bits, (b) => (first >> (bits - 1 - b)) & 1);
    setBits(address, hit ? routes.words[route]! : bits, shape.bytes * 8, () => random(2));
    words[i * stride] = shape.bytes * 8;
    bytes.set(address, i * stride * 4 + 4);
  }
  return { words, stride, count };
}
