/** Answers in words. */
import { nameOf, toHex } from "../encode.ts";
import type { Side } from "./side.ts";

export function result(side: Side): string {
  return side.thrown === undefined ? nameOf(side.ret) : `threw ${side.thrown}`;
}

const SHOWN = 32;

/** Results, and the first bytes that differ, by their place in the block of attributes and buffers. */
export function differing(one: Side, other: Side): string[] {
  const top = Math.max(one.top, other.top);
  let at = 0;
  while (at < top && one.bytes[at] === other.bytes[at]) at++;
  return [one, other].map((side) => {
    const from = at & ~7;
    const bytes = at < top ? `; bytes from ${from} on: ${toHex(side.bytes.subarray(from, from + SHOWN))}` : "";
    return `    ${side.name}: ${result(side)}${bytes}`;
  });
}
