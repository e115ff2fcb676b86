/** Packets for the cases of test programs, with checksums that are right, and a way to tell that they still are. */
import { __sk_buff } from "../../src/uapi/index.ts";

export const TCP = 6;
export const UDP = 17;
export const IPIP = 4;

export const u16 = (n: number): number[] => [(n >>> 8) & 255, n & 255];
export const u32 = (n: number): number[] => [...u16(n >>> 16), ...u16(n)];
/** `"10.0.0.1"` as bytes. */
export const address = (text: string): number[] => text.split(".").map(Number);

/** The Internet checksum (RFC 1071). */
export function checksum(bytes: ArrayLike<number>): number {
  let sum = 0;
  for (let i = 0; i < bytes.length; i += 2) sum += (bytes[i]! << 8) | (bytes[i + 1] ?? 0);
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
  return ~sum & 0xffff;
}

export function ethernet(protocol: number, ...rest: readonly (readonly number[])[]): Uint8Array {
  return Uint8Array.from([2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, ...u16(protocol), ...rest.flat()]);
}

export interface Ipv4 {
  readonly from: string;
  readonly to: string;
  readonly tos?: number;
  readonly ttl?: number;
  /** Flags and offset of a fragment. */
  readonly fragment?: number;
}

export function ipv4(
  { from, to, tos = 0, ttl = 64, fragment = 0 }: Ipv4,
  protocol: number,
  payload: readonly number[],
): number[] {
  const header = [
    0x45,
    tos,
    ...u16(20 + payload.length),
    0,
    1,
    ...u16(fragment),
    ttl,
    protocol,
    0,
    0,
    ...address(from),
    ...address(to),
  ];
  header.splice(10, 2, ...u16(checksum(header)));
  return [...header, ...payload];
}

const pseudo = ({ from, to }: Ipv4, protocol: number, length: number): number[] => [
  ...address(from),
  ...address(to),
  0,
  protocol,
  ...u16(length),
];

export function tcp(ip: Ipv4, source: number, destination: number, payload: readonly number[] = []): number[] {
  const segment = [
    ...u16(source),
    ...u16(destination),
    ...u32(0x0102_0304),
    ...u32(0),
    0x50,
    0x10,
    0x20,
    0,
    0,
    0,
    0,
    0,
    ...payload,
  ];
  segment.splice(16, 2, ...u16(checksum([...pseudo(ip, TCP, segment.length), ...segment])));
  return ipv4(ip, TCP, segment);
}

/** Without a checksum where `summed` is false, which UDP allows. */
export function udp(
  ip: Ipv4,
  source: number,
  destination: number,
  payload: readonly number[] = [],
  summed = true,
): number[] {
  const datagram = [...u16(source), ...u16(destination), ...u16(8 + payload.length), 0, 0, ...payload];
  if (summed) datagram.splice(6, 2, ...u16(checksum([...pseudo(ip, UDP, datagram.length), ...datagram]) || 0xffff));
  return ipv4(ip, UDP, datagram);
}

/** Whether the checksums of the IPv4 header at `at` and of what it carries are right. */
export function sumsRight(packet: Uint8Array, at = 14): boolean {
  const header = packet.subarray(at, at + 20);
  const payload = packet.subarray(at + 20, at + ((header[2]! << 8) | header[3]!));
  const whole = [...header.subarray(12, 20), 0, header[9]!, ...u16(payload.length), ...payload];
  return checksum(header) === 0 && checksum(whole) === 0;
}

/** A struct __sk_buff with these words; `cb` is its first one. */
export function skb(values: Partial<Record<keyof typeof __sk_buff.fields, number>> = {}): Uint8Array {
  const view = new DataView(new ArrayBuffer(__sk_buff.size));
  for (const [name, value] of Object.entries(values)) {
    view.setUint32(__sk_buff.fields[name as keyof typeof __sk_buff.fields].offset, value, true);
  }
  return new Uint8Array(view.buffer);
}

/** A word of a context. */
export function word(ctx: Uint8Array | undefined, name: keyof typeof __sk_buff.fields, at = 0): number {
  const { buffer, byteOffset } = ctx!;
  return new DataView(buffer, byteOffset).getUint32(__sk_buff.fields[name].offset + at, true);
}
