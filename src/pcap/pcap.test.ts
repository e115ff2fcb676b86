import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { InputError } from "../errors.ts";
import { LINKTYPE_ETHERNET, type PcapFile, pcapPackets, readPcap, readPcapHeader, writePcap } from "./index.ts";

/** Two packets as tcpdump would write them: 2 and 3 bytes, the second cut from 60; microseconds, little-endian. */
const FILE = bytesOf(`
  d4c3b2a1 0200 0400 00000000 00000000 ffff0000 01000000
  15cd5b07 40e20100 02000000 02000000 aabb
  16cd5b07 3f420f00 03000000 3c000000 010203`);

const BIG_NANOSECONDS = bytesOf(`
  a1b23c4d 0002 0004 00000000 00000000 0000ffff 00000071
  075bcd15 3b9ac9ff 00000001 00000001 ee`);

function bytesOf(hex: string): Uint8Array {
  return Uint8Array.from(Buffer.from(hex.replace(/\s+/g, ""), "hex"));
}

function patched(offset: number, hex: string): Uint8Array {
  const copy = FILE.slice();
  copy.set(bytesOf(hex), offset);
  return copy;
}

function messageOf(bytes: Uint8Array): string {
  try {
    readPcap(bytes);
  } catch (error) {
    expect(error).toBeInstanceOf(InputError);
    return (error as InputError).message;
  }
  throw new Error("expected an InputError");
}

describe("readPcap", () => {
  test("reads microseconds, little-endian", () => {
    expect(readPcap(FILE)).toEqual({
      byteOrder: "little",
      resolution: "microseconds",
      snapLength: 65535,
      linkType: LINKTYPE_ETHERNET,
      packets: [
        { timestampNs: 123456789_123456000n, data: Uint8Array.of(0xaa, 0xbb), originalLength: 2 },
        { timestampNs: 123456790_999999000n, data: Uint8Array.of(1, 2, 3), originalLength: 60 },
      ],
    });
  });

  test("reads nanoseconds, big-endian", () => {
    expect(readPcap(BIG_NANOSECONDS)).toEqual({
      byteOrder: "big",
      resolution: "nanoseconds",
      snapLength: 65535,
      linkType: 113,
      packets: [{ timestampNs: 123456789_999999999n, data: Uint8Array.of(0xee), originalLength: 1 }],
    });
  });

  test("data is a view over the file, also of a file inside a larger buffer", () => {
    const larger = new Uint8Array(FILE.length + 7);
    larger.set(FILE, 5);
    const file = larger.subarray(5, 5 + FILE.length);
    const [first] = readPcap(file).packets;
    expect(first?.data.buffer).toBe(larger.buffer);
    larger[5 + 40] = 0x77;
    expect(first?.data).toEqual(Uint8Array.of(0x77, 0xbb));
  });

  test("a header alone is a capture without packets", () => {
    expect(readPcap(FILE.subarray(0, 24)).packets).toEqual([]);
  });

  test("a snapshot length of 0 or with the top bit set means libpcap's limit", () => {
    expect(readPcapHeader(patched(16, "00000000")).snapLength).toBe(262144);
    expect(readPcapHeader(patched(16, "ffffffff")).snapLength).toBe(262144);
  });

  test("a packet may be as long as the snapshot length", () => {
    expect(readPcap(patched(16, "03000000")).packets).toHaveLength(2);
  });

  test("the upper half of the link type word is not the link type", () => {
    expect(readPcapHeader(patched(20, "01000024")).linkType).toBe(1);
  });

  test("pcapPackets yields good packets before it throws at the broken one", () => {
    const packets = pcapPackets(FILE.subarray(0, FILE.length - 1));
    expect(packets.next().value?.originalLength).toBe(2);
    expect(() => packets.next()).toThrow(InputError);
  });
});

describe("hostile files", () => {
  test.each<[string, Uint8Array, RegExp]>([
    ["empty", new Uint8Array(0), /file is 0 bytes long, expected a 24-byte header/],
    [
      "pcapng",
      bytesOf("0a0d0d0a1c0000004d3c2b1a"),
      /magic at byte 0 is 0x0a0d0d0a, this is a pcapng file .*expected 0xa1b2c3d4/,
    ],
    ["gzip", bytesOf("1f8b080000000000"), /gzip/],
    ["modified pcap", patched(0, "34cdb2a1"), /modified pcap/],
    ["an object file", bytesOf("7f454c46020101"), /ELF/],
    ["something else", bytesOf("00010203"), /magic at byte 0 is 0x00010203, expected/],
    ["version", patched(4, "0100"), /version at byte 4 is 1\.4, expected 2\.4/],
    [
      "captured length above the snapshot length",
      patched(16, "01000000"),
      /packet 1 at byte 24: captured length is 2, .* 1$/,
    ],
    [
      "captured length above the rest",
      patched(32, "16000000"),
      /packet 1 at byte 24: data is cut off: 21 bytes are left, expected 22/,
    ],
    ["largest captured length", patched(50, "ffffffff"), /packet 2 at byte 42: captured length is 4294967295/],
  ])("%s", (_, bytes, message) => {
    expect(messageOf(bytes)).toMatch(message);
  });

  test("cut after every byte: packets whole, or an error that names the place", () => {
    for (let length = 0; length < FILE.length; length++) {
      const bytes = FILE.subarray(0, length);
      if (length === 24) expect(readPcap(bytes).packets).toHaveLength(0);
      else if (length === 42) expect(readPcap(bytes).packets).toHaveLength(1);
      else if (length < 4)
        expect(messageOf(bytes)).toBe(`pcap: file is ${length} bytes long, expected a 24-byte header`);
      else if (length < 24) expect(messageOf(bytes)).toContain("file header is cut off");
      else if (length < 40)
        expect(messageOf(bytes)).toContain(`packet 1 at byte 24: header is cut off: ${length - 24} bytes`);
      else if (length < 42)
        expect(messageOf(bytes)).toContain(`packet 1 at byte 24: data is cut off: ${length - 40} bytes`);
      else if (length < 58)
        expect(messageOf(bytes)).toContain(`packet 2 at byte 42: header is cut off: ${length - 42} bytes`);
      else expect(messageOf(bytes)).toContain(`packet 2 at byte 42: data is cut off: ${length - 58} bytes`);
    }
  });
});

describe("writePcap", () => {
  test("writes what readPcap read, byte for byte", () => {
    for (const bytes of [FILE, BIG_NANOSECONDS]) {
      const file: PcapFile = readPcap(bytes);
      expect(writePcap(file.packets, file)).toEqual(bytes);
    }
  });

  test("refuses what the format cannot hold", () => {
    const data = Uint8Array.of(1, 2);
    expect(() => writePcap([{ timestampNs: -1n, data }])).toThrow(/timestampNs of packet 1 is -1/);
    expect(() => writePcap([{ timestampNs: 1_000_000_000n << 32n, data }])).toThrow(InputError);
    expect(() => writePcap([{ timestampNs: 0n, data }], { snapLength: 1 })).toThrow(/data of packet 1 is 2 bytes long/);
  });
});

describe("properties", () => {
  // Chosen anew each run; printed, so that a failure can be run again.
  const seed = Number(process.env.FC_SEED ?? Date.now() & 0x7fffffff);

  test(`any capture survives a round trip (FC_SEED=${seed})`, () => {
    const packet = fc.record({
      timestampNs: fc.bigInt({ min: 0n, max: (1n << 32n) * 1_000_000_000n - 1n }),
      data: fc.uint8Array({ maxLength: 40 }),
      originalLength: fc.nat(0xffffffff),
    });
    const header = fc.record({
      byteOrder: fc.constantFrom("little", "big"),
      resolution: fc.constantFrom("microseconds", "nanoseconds"),
      snapLength: fc.integer({ min: 40, max: 0x7fffffff }),
      linkType: fc.nat(0xffff),
    });
    fc.assert(
      fc.property(fc.array(packet), header, (packets, head) => {
        const unit = head.resolution === "microseconds" ? 1000n : 1n;
        const expected = packets.map((p) => ({ ...p, timestampNs: (p.timestampNs / unit) * unit }));
        expect(readPcap(writePcap(packets, head))).toEqual({ ...head, packets: expected });
      }),
      { seed, numRuns: 200 },
    );
  });

  test(`spoiled captures: packets inside the file, or an InputError (FC_SEED=${seed})`, () => {
    const spoiled = fc
      .tuple(
        fc.constantFrom(FILE, BIG_NANOSECONDS),
        fc.array(fc.tuple(fc.nat(60), fc.nat(255)), { maxLength: 6 }),
        fc.nat(70),
      )
      .map(([bytes, changes, length]) => {
        const copy = bytes.slice(0, length);
        for (const [at, byte] of changes) if (at < copy.length) copy[at] = byte;
        return copy;
      });
    fc.assert(
      fc.property(fc.oneof(spoiled, fc.uint8Array({ maxLength: 100 })), (bytes) => {
        try {
          let used = 24;
          for (const packet of readPcap(bytes).packets) used += 16 + packet.data.length;
          expect(used).toBe(bytes.length);
        } catch (error) {
          if (!(error instanceof InputError)) throw error;
        }
      }),
      { seed, numRuns: 3000 },
    );
  });
});
