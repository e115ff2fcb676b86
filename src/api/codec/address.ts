/** Network addresses as text: ipv4, ipv6, mac. In memory they are in network order, as packets and `__be32` have them. */
import { HEX } from "../hex.ts";
import { type Codec, makeCodec } from "./codec.ts";
import { CodecError, show, wrongType } from "./error.ts";

/** "0." to "255." and "0" to "255": joining these is quicker than printing numbers. */
const DOTTED: readonly string[] = /* @__PURE__ */ Array.from({ length: 256 }, (_, byte) => `${byte}.`);
const DECIMAL: readonly string[] = /* @__PURE__ */ Array.from({ length: 256 }, (_, byte) => `${byte}`);
/** "0" to "ff", without a leading zero. */
const HEX_SHORT: readonly string[] = /* @__PURE__ */ Array.from({ length: 256 }, (_, byte) => byte.toString(16));

const DOT = 0x2e;
const COLON = 0x3a;

function isDigit(code: number): boolean {
  return code >= 0x30 && code <= 0x39;
}

/** The address in `text` from `start` to its end as a number, the first byte highest; -1 when it is none. */
function parseIpv4(text: string, start: number): number {
  let address = 0;
  let at = start;
  for (let part = 0; part < 4; part++) {
    if (part > 0 && text.charCodeAt(at++) !== DOT) return -1;
    const first = at;
    let byte = 0;
    while (at < text.length && at - first < 3 && isDigit(text.charCodeAt(at))) {
      byte = byte * 10 + text.charCodeAt(at++) - 0x30;
    }
    // inet_aton reads "010" as octal 8, others as 10: refused, as inet_pton does.
    if (at === first || byte > 255 || (text.charCodeAt(first) === 0x30 && at - first > 1)) return -1;
    address = address * 256 + byte;
  }
  return at === text.length ? address : -1;
}

/** 4 bytes in network order as text: `"10.0.0.1"`. Aligned to 4, as a `__be32`; for a `__u8[4]` use `aligned(ipv4, 1)`. */
export const ipv4: Codec<string> = /* @__PURE__ */ makeCodec<string>({
  kind: "ipv4",
  layout: { kind: "ipv4", size: 4, align: 4 },
  read: (from, offset) => {
    const word = from.view.getUint32(offset, false);
    return DOTTED[word >>> 24]! + DOTTED[(word >>> 16) & 0xff]! + DOTTED[(word >>> 8) & 0xff]! + DECIMAL[word & 0xff]!;
  },
  write: (to, offset, value) => {
    if (typeof value !== "string") throw wrongType(value, "ipv4", 'text as "10.0.0.1"');
    const address = parseIpv4(value, 0);
    if (address < 0) {
      throw new CodecError("range", `${show(value)} is no IPv4 address; write four numbers as "10.0.0.1"`, value);
    }
    to.view.setUint32(offset, address, false);
  },
});

const GROUPS = 8;

/** Value of a hexadecimal digit's character code, or -1. */
function hexDigit(code: number): number {
  if (isDigit(code)) return code - 0x30;
  const lower = code | 0x20;
  return lower >= 0x61 && lower <= 0x66 ? lower - 0x57 : -1;
}

/** The eight groups of an IPv6 address, or undefined when `text` is none. Zone ids ("%eth0") are not part of the bytes. */
function parseIpv6(text: string): number[] | undefined {
  const groups: number[] = [];
  let gap = -1;
  let at = 0;
  if (text.startsWith("::")) {
    gap = 0;
    at = 2;
  }
  while (at < text.length) {
    const first = at;
    let group = 0;
    for (let digit = hexDigit(text.charCodeAt(at)); digit >= 0; digit = hexDigit(text.charCodeAt(++at))) {
      group = group * 16 + digit;
    }
    if (text.charCodeAt(at) === DOT) {
      const tail = parseIpv4(text, first);
      if (tail < 0) return undefined;
      groups.push(Math.floor(tail / 0x1_0000), tail % 0x1_0000);
      break;
    }
    if (at === first || at - first > 4 || groups.push(group) > GROUPS) return undefined;
    if (at === text.length) break;
    if (text.charCodeAt(at++) !== COLON || at === text.length) return undefined;
    if (text.charCodeAt(at) === COLON) {
      if (gap >= 0) return undefined;
      gap = groups.length;
      at++;
    }
  }
  if (gap < 0) return groups.length === GROUPS ? groups : undefined;
  // "::" stands for at least one group.
  if (groups.length >= GROUPS) return undefined;
  groups.splice(gap, 0, ...new Array<number>(GROUPS - groups.length).fill(0));
  return groups;
}

/** RFC 5952: lower case, no leading zeros, the longest run of two or more zero groups (the first of equals) as "::". */
function formatIpv6(view: DataView, offset: number): string {
  let best = 0;
  let bestLength = 1;
  let run = 0;
  for (let i = 0; i < GROUPS; i++) {
    run = view.getUint16(offset + 2 * i, false) === 0 ? run + 1 : 0;
    if (run > bestLength) {
      bestLength = run;
      best = i - run + 1;
    }
  }
  // ::ffff:0:0/96, an IPv4 address in IPv6 clothes, keeps its dots (RFC 5952, section 5).
  if (best === 0 && bestLength === 5 && view.getUint16(offset + 10, false) === 0xffff) {
    return `::ffff:${view.getUint8(offset + 12)}.${view.getUint8(offset + 13)}.${view.getUint8(offset + 14)}.${view.getUint8(offset + 15)}`;
  }
  let text = "";
  for (let i = 0; i < GROUPS; i++) {
    if (bestLength > 1 && i === best) {
      text += "::";
      i += bestLength - 1;
    } else {
      if (text !== "" && !text.endsWith(":")) text += ":";
      const high = view.getUint8(offset + 2 * i);
      const low = view.getUint8(offset + 2 * i + 1);
      text += high === 0 ? HEX_SHORT[low]! : HEX_SHORT[high]! + HEX[low]!;
    }
  }
  return text;
}

/**
 * 16 bytes in network order as text. Decoding gives the canonical form of RFC 5952 (`"2001:db8::1"`, `"::ffff:10.0.0.1"`),
 * encoding takes every legal form. Aligned to 4, as `struct in6_addr`; for a `__u8[16]` use `aligned(ipv6, 1)`.
 */
export const ipv6: Codec<string> = /* @__PURE__ */ makeCodec<string>({
  kind: "ipv6",
  layout: { kind: "ipv6", size: 16, align: 4 },
  read: (from, offset) => formatIpv6(from.view, offset),
  write: (to, offset, value) => {
    if (typeof value !== "string") throw wrongType(value, "ipv6", 'text as "2001:db8::1"');
    const groups = parseIpv6(value);
    if (groups === undefined) {
      const hint = value.includes("%") ? "leave out the zone" : 'write it as "2001:db8::1"';
      throw new CodecError("range", `${show(value)} is no IPv6 address; ${hint}`, value);
    }
    for (let i = 0; i < GROUPS; i++) to.view.setUint16(offset + 2 * i, groups[i]!, false);
  },
});

const MAC_TEXT = /^[0-9a-f]{2}([:-])(?:[0-9a-f]{2}\1){4}[0-9a-f]{2}$/i;

/** 6 bytes as text: `"02:00:5e:10:00:01"`; encoding also takes capitals and dashes. Alignment 1, as `__u8[6]`. */
export const mac: Codec<string> = /* @__PURE__ */ makeCodec<string>({
  kind: "mac",
  layout: { kind: "mac", size: 6, align: 1 },
  read: (from, offset) => {
    const { view } = from;
    let text = HEX[view.getUint8(offset)]!;
    for (let i = 1; i < 6; i++) text += `:${HEX[view.getUint8(offset + i)]!}`;
    return text;
  },
  write: (to, offset, value) => {
    if (typeof value !== "string") throw wrongType(value, "mac", 'text as "02:00:5e:10:00:01"');
    if (!MAC_TEXT.test(value)) {
      const hint = 'write six pairs of hexadecimal digits as "02:00:5e:10:00:01"';
      throw new CodecError("range", `${show(value)} is no MAC address; ${hint}`, value);
    }
    for (let i = 0; i < 6; i++) {
      to.view.setUint8(offset + i, hexDigit(value.charCodeAt(3 * i)) * 16 + hexDigit(value.charCodeAt(3 * i + 1)));
    }
  },
});
