/** Steps that try many attributes of MAP_CREATE. */
import * as u from "../../../src/uapi/index.ts";
import { constant, errnoOf, flagsOf, toHex } from "../encode.ts";
import type { Errno, Result } from "../step.ts";
import { compare, resultOf, type State } from "./state.ts";

export function eachFlag(state: State, allowed: number, refused: Readonly<Record<string, Errno>>): string | undefined {
  const base = Number(flagsOf(state.base.map_flags ?? 0));
  const special = new Map(Object.entries(refused).map(([name, errno]) => [constant(name) >>> 0, errno]));
  for (let bit = 0; bit < 32; bit++) {
    const flag = (1 << bit) >>> 0;
    const expected = (allowed & flag) !== 0 ? 0 : errnoOf(special.get(flag) ?? "-EINVAL");
    const problem = compare(expected, state.tryToMake({ map_flags: (base | flag) >>> 0 }));
    if (problem !== undefined) return `flag 0x${flag.toString(16)}: ${problem}`;
  }
  return undefined;
}

export function eachValue(
  state: State,
  attribute: string,
  tries: readonly (readonly [number, Result])[],
): string | undefined {
  for (const [value, result] of tries) {
    const problem = compare(resultOf(result), state.tryToMake({ [attribute]: value }));
    if (problem !== undefined) return `${attribute} ${value}: ${problem}`;
  }
  return undefined;
}

export function eachName(state: State, allowed: string): string | undefined {
  const bytes = new Set(
    allowed.split(" ").flatMap((range) => {
      const [first = 0, last = first] = range.split("-").map((hex) => Number.parseInt(hex, 16));
      return Array.from({ length: last - first + 1 }, (_, i) => first + i);
    }),
  );
  for (let byte = 1; byte < 256; byte++) {
    const name = new Uint8Array(16);
    name[0] = byte;
    const made = state.tryToMake({ map_name: { hex: toHex(name) } });
    const problem = compare(bytes.has(byte) ? 0 : -u.EINVAL, made);
    if (problem !== undefined) return `byte 0x${byte.toString(16)}: ${problem}`;
  }
  return undefined;
}
