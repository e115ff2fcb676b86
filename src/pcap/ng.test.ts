import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { InputError } from "../errors.ts";
import { type CapturedPacket, capturedPackets, readPcap, writePcap } from "./index.ts";

/** Writes blocks; a byte order for each file. */
class Writer {
  readonly #little: boolean;
  #bytes: number[] = [];

  constructor(little: boolean) {
    this.#little = little;
  }

  u16(value: number): number[] {
    const bytes = [value & 0xff, value >>> 8];
    return this.#little ? bytes : bytes.reverse();
  }

  u32(value: number): number[] {
    const bytes = [0, 8, 16, 24].map((bits) => (value >>> bits) & 0xff);
    return this.#little ? bytes : bytes.reverse();
  }

  u64(value: bigint): number[] {
    const bits = BigInt.asUintN(64, value);
    const halves = [Number(bits & 0xffff_ffffn), Number(bits >> 32n)];
    return (this.#little ? halves : halves.reverse()).flatMap((half) => this.u32(half));
  }

  option(code: number, value: readonly number[]): number[] {
    return [...this.u16(code), ...this.u16(value.length), ...padded(value)];
  }

  block(type: number, body: readonly number[]): this {
    const length = 12 + body.length;
    this.#bytes.push(...this.u32(type), ...this.u32(length), ...body, ...this.u32(length));
    return this;
  }

  section(major = 1): this {
    return this.block(0x0a0d0d0a, [...this.u32(0x1a2b3c4d), ...this.u16(major), ...this.u16(0), ...this.u64(-1n)]);
  }

  interface(linkType: number, snapLength: number, options: readonly number[] = []): this {
    return this.block(1, [...this.u16(linkType), ...this.u16(0), ...this.u32(snapLength), ...options]);
  }

  packet(index: number, time: bigint, data: readonly number[], original = data.length, options: number[] = []): this {
    const stamp = [...this.u32(Number(time >> 32n)), ...this.u32(Number(time & 0xffff_ffffn))];
    const lengths = [...this.u32(data.length), ...this.u32(original)];
    return this.block(6, [...this.u32(index), ...stamp, ...lengths, ...padded(data), ...options]);
  }

  build(): Uint8Array {
    return Uint8Array.from(this.#bytes);
  }
}

function padded(bytes: readonly number[]): number[] {
  return [...bytes, ...new Array<number>(-bytes.length & 3).fill(0)];
}

const read = (bytes: Uint8Array): CapturedPacket[] => [...capturedPackets(bytes)];

describe.each([true, false])("little-endian: %s", (little) => {
  test("interfaces, resolutions, packets of every kind", () => {
    const w = new Writer(little);
    w.section().interface(1, 0, w.option(2, [101, 116, 104, 48, 0]));
    w.interface(113, 60, [...w.option(9, [9]), ...w.option(14, w.u64(100n)), ...w.option(0, [])]);
    w.interface(1, 0, w.option(9, [0x80 | 10]));
    w.packet(0, 1_700_000_000_000_001n, [1, 2, 3], 60, w.option(2, w.u32(1)));
    w.block(0xbad, [1, 2, 3, 4]);
    w.packet(1, 5n, [4, 5, 6, 7]);
    w.packet(2, 1024n * 3n + 512n, []);
    w.block(3, [...w.u32(2), ...padded([8, 9])]);
    const old = [...w.u16(1), ...w.u16(0xffff), ...w.u32(0), ...w.u32(7), ...w.u32(1), ...w.u32(1), ...padded([10])];
    w.block(2, old);
    expect(read(w.build())).toEqual([
      { linkType: 1, timestampNs: 1_700_000_000_000_001_000n, data: Uint8Array.of(1, 2, 3), originalLength: 60 },
      { linkType: 113, timestampNs: 100_000_000_005n, data: Uint8Array.of(4, 5, 6, 7), originalLength: 4 },
      { linkType: 1, timestampNs: 3_500_000_000n, data: new Uint8Array(0), originalLength: 0 },
      { linkType: 1, timestampNs: 0n, data: Uint8Array.of(8, 9), originalLength: 2 },
      { linkType: 113, timestampNs: 100_000_000_007n, data: Uint8Array.of(10), originalLength: 1 },
    ]);
  });

  test("the snapshot length cuts simple packets", () => {
    const w = new Writer(little).section().interface(1, 2);
    w.block(3, [...w.u32(60), ...padded([8, 9])]);
    expect(read(w.build())).toMatchObject([{ data: Uint8Array.of(8, 9), originalLength: 60 }]);
  });
});

test("a section has its own byte order and its own interfaces", () => {
  const first = new Writer(true).section().interface(1, 0).packet(0, 1n, [1]).build();
  const second = new Writer(false).section().interface(113, 0).packet(0, 2n, [2]).build();
  expect(read(Uint8Array.of(...first, ...second)).map((p) => [p.linkType, p.timestampNs, p.data[0]])).toEqual([
    [1, 1000n, 1],
    [113, 2000n, 2],
  ]);
  const bare = new Writer(false).section().build();
  const orphan = new Writer(false).packet(0, 2n, [2]).build();
  expect(() => read(Uint8Array.of(...first, ...bare, ...orphan))).toThrow(
    /block 5 at byte 112: interface 0, .* of the 0/,
  );
});

test("pcap files are read by the same function; readPcap names the other format", () => {
  const file = writePcap([{ timestampNs: 5000n, data: Uint8Array.of(1) }], { linkType: 113 });
  expect(read(file)).toEqual([{ linkType: 113, timestampNs: 5000n, data: Uint8Array.of(1), originalLength: 1 }]);
  expect(() => readPcap(new Writer(true).section().build())).toThrow(/pcapng file \(capturedPackets reads both\)/);
  expect(() => read(new Uint8Array(0))).toThrow(InputError);
});

const good = (): Uint8Array => new Writer(true).section().interface(1, 0).packet(0, 1n, [1, 2, 3]).build();

test.each<[string, number, number, RegExp]>([
  ["byte-order magic", 8, 0, /block 1 at byte 0: byte-order magic 0x1a2b3c00/],
  ["version", 12, 2, /block 1 at byte 0: version 2, expected 1/],
  ["length no multiple of 4", 32, 21, /block 2 at byte 28: length 21/],
  ["length too small", 32, 8, /block 2 at byte 28: length 8/],
  ["length of a block with nothing in it", 32, 12, /block 2 at byte 28: length 1 at its end, expected 12/],
  ["length at the end", 44, 24, /block 2 at byte 28: length 24 at its end, expected 20/],
  ["interface", 56, 1, /block 3 at byte 48: interface 1/],
  ["captured length", 68, 5, /block 3 at byte 48: captured length 5, expected at most the block's 4/],
])("spoiled: %s", (_, at, value, message) => {
  const bytes = good();
  bytes[at] = value;
  expect(() => read(bytes)).toThrow(message);
});

test("cut after every byte: whole blocks, or an error that names the place", () => {
  const bytes = good();
  for (let length = 0; length < bytes.length; length++) {
    const cut = bytes.subarray(0, length);
    if (length === 28 || length === 48) expect(read(cut)).toEqual([]);
    else if (length >= 12) expect(() => read(cut)).toThrow(/block \d at byte \d+: (header|block) is cut off/);
    else expect(() => read(cut)).toThrow(InputError);
  }
});

test("spoiled files: packets inside the file, or an InputError", () => {
  const seed = Number(process.env.FC_SEED ?? Date.now() & 0x7fffffff);
  console.log(`pcapng fuzz FC_SEED=${seed}`);
  const changes = fc.array(fc.tuple(fc.nat(87), fc.oneof(fc.nat(255), fc.constantFrom(0, 1, 12, 255))), {
    maxLength: 5,
  });
  let parsed = 0;
  fc.assert(
    fc.property(changes, (list) => {
      const bytes = good();
      for (const [at, byte] of list) bytes[at % bytes.length] = byte;
      try {
        for (const { data } of read(bytes)) expect(data.byteOffset + data.length).toBeLessThanOrEqual(bytes.length);
        parsed++;
      } catch (error) {
        if (!(error instanceof InputError)) throw error;
      }
    }),
    { seed, numRuns: 2000 },
  );
  expect(parsed).toBeGreaterThan(100);
  expect(parsed).toBeLessThan(1900);
});
