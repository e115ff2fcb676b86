/** Keys, values and cursors of random sequences: bytes from a number, the same on every host. */
import { typeIds } from "../btf_types.ts";

/** What a key's bytes are. */
export type KeyForm = "bytes" | "index" | "prefix" | "none";

/** Types of `btf_types.ts` that maps are given. */
export const BTF_KINDS = [
  "none0",
  "u32",
  "u64",
  "pair",
  "prefix",
  "key4",
  "narrow",
  "typedef",
  "section",
  "locked",
  "none",
] as const;

export function btfId(kind: (typeof BTF_KINDS)[number]): number {
  return kind === "none0" ? 0 : typeIds[kind]!;
}

const prefixLengths = [0, 1, 7, 8, 8, 9, 12, 16, 16, 17, 20, 23, 24, 24, 28, 31, 32, 255, 255, 255];
const prefixBytes = [0, 0, 1, 10, 10, 128, 192, 255];

function mix(n: number): number {
  let h = Math.imul(n ^ (n >>> 16), 0x45d9_f3b);
  h = Math.imul(h ^ (h >>> 13), 0xc2b2_ae35);
  return (h ^ (h >>> 16)) >>> 0;
}

export function putKey(bytes: Uint8Array, at: number, form: KeyForm, n: number, size: number): void {
  if (form === "prefix") putPrefix(bytes, at, n, size);
  else if (form === "index") for (let i = 0; i < size; i++) bytes[at + i] = i < 4 ? n >>> (i * 8) : 0;
  else for (let i = 0; i < size; i++) bytes[at + i] = i < 2 ? n >>> (i * 8) : n * i;
}

/** Prefixes that share beginnings; one in 32 is longer than the key. */
function putPrefix(bytes: Uint8Array, at: number, n: number, size: number): void {
  const bits = (size - 4) * 8;
  const h = mix(n);
  const length = h % 32 === 0 ? bits + 1 + (h >>> 30) : Math.min(prefixLengths[h % prefixLengths.length]!, bits);
  for (let i = 0; i < 4 && i < size; i++) bytes[at + i] = length >>> (i * 8);
  let more = mix(h);
  for (let i = 4; i < size; i++) {
    bytes[at + i] = prefixBytes[more & 7]!;
    more = (i & 7) === 3 ? mix(more) : more >>> 3;
  }
}

export function putValue(bytes: Uint8Array, at: number, n: number, size: number): void {
  for (let i = 0; i < size; i++) bytes[at + i] = (n >>> ((i & 3) * 8)) ^ (i >= 4 ? i * 7 : 0);
}
