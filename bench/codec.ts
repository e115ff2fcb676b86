/** What do codecs cost? Reading and writing through them beside an object literal written by hand. */
import {
  array,
  type Codec,
  CodecBuffer,
  cstring,
  decodePerCpu,
  ipv4,
  ipv6,
  struct,
  u8,
  u16,
  u32,
  u64,
} from "../src/api/codec/index.ts";
import { inProcess, measure, type Side } from "./measure.ts";
import type { Report } from "./report.ts";

/** Structs beside the measured ones: V8 is quicker where it knows only a few. */
const OTHERS = 30;

const Flow = struct({ packets: u64, bytes: u64 });
const FlowNumbers = struct({ packets: u64.asNumber, bytes: u64.asNumber });
const FlowKey = struct({ saddr: ipv4, daddr: ipv4, sport: u16.be, dport: u16.be });

function reading<T>(name: string, codec: Codec<T>, buffer: CodecBuffer): Side {
  const stride = Math.ceil(codec.size / 8) * 8;
  const end = buffer.bytes.length;
  // Values that are kept cannot be optimised away.
  const kept: unknown[] = new Array<unknown>(8).fill(undefined);
  return inProcess(name, (count) => {
    for (let i = 0, at = 0; i < count; i++) {
      kept[i & 7] = codec.read(buffer, at);
      at += stride;
      if (at + stride > end) at = 0;
    }
    return kept.length;
  });
}

function writing<T>(name: string, codec: Codec<T>, value: T): Side {
  const buffer = CodecBuffer.alloc(codec.size);
  return inProcess(name, (count) => {
    for (let i = 0; i < count; i++) codec.write(buffer, 0, value);
    return buffer.bytes[0] ?? 0;
  });
}

/** The same work without a codec. */
function byHand(buffer: CodecBuffer): Side {
  const { words } = buffer;
  const kept: unknown[] = new Array<unknown>(8).fill(undefined);
  return inProcess("read { packets, bytes } by hand", (count) => {
    for (let i = 0; i < count; i++) {
      const at = (i * 2) & 0x7fe;
      kept[i & 7] = { packets: words[at], bytes: words[at + 1] };
    }
    return kept.length;
  });
}

/** Makes and uses structs of many shapes, as a program with many maps does. */
function meetOthers(buffer: CodecBuffer): void {
  for (let i = 0; i < OTHERS; i++) {
    const fields = Array.from({ length: 1 + (i % 6) }, (_, f) => [
      `f${i}_${f}`,
      [u64, u32, u16, u8, ipv4][(i + f) % 5]!,
    ]);
    const codec = struct(Object.fromEntries(fields)) as Codec<unknown>;
    const to = CodecBuffer.alloc(codec.size);
    for (let n = 0; n < 5000; n++) codec.write(to, 0, codec.read(buffer, (n & 511) * 64));
  }
}

export function benchCodecs(report: Report): void {
  const buffer = CodecBuffer.alloc(64 * 1024);
  for (let i = 0; i < buffer.words.length; i++) buffer.words[i] = (BigInt(i * 7919) & 0xffff_ffffn) | (1n << 40n);
  const key = FlowKey.decode(Uint8Array.of(10, 0, 0, 1, 192, 168, 1, 1, 1, 187, 0, 80));
  const name = CodecBuffer.alloc(1024);
  for (let at = 0; at < 1024; at += 16) cstring(16).write(name, at, "eth0-longer");
  const perCpu = decodePerCpu(Flow, buffer.bytes.slice(0, 8 * Flow.size));
  const sides: Side[] = [
    byHand(buffer),
    reading("read struct { u64, u64 }", Flow, buffer),
    reading("read struct { u64.asNumber, u64.asNumber }", FlowNumbers, buffer),
    reading("read flow key { ipv4, ipv4, u16.be, u16.be }", FlowKey, buffer),
    reading("read u64", u64, buffer),
    reading("read u32", u32, buffer),
    reading("read ipv6", ipv6, buffer),
    reading("read cstring(16) of 11 characters", cstring(16), name),
    reading("read u64[64]", array(u64, 64) as Codec<unknown>, buffer),
    writing("write struct { u64, u64 }", Flow, { packets: 5n, bytes: 7n }),
    writing("write flow key", FlowKey, key),
    writing("write u32", u32, 7),
    inProcess("sum of { u64, u64 } over 8 CPUs", (count) => {
      let seen = 0;
      for (let i = 0; i < count; i++) if (perCpu.sum().packets > 0n) seen++;
      return seen;
    }),
  ];
  report.measured("Codecs beside an object literal", "few structs in the program", measure(sides));
  meetOthers(buffer);
  report.measured("Codecs beside an object literal", `${OTHERS} other structs in use`, measure(sides));
}
