/** The step that looks at one shape of special fields. */
import * as u from "../../../src/uapi/index.ts";
import { constant, errnoOf, isErrno, toHex } from "../encode.ts";
import { shapeOf } from "../field_shapes.ts";
import type { Result } from "../step.ts";
import { compare, resultOf, type State } from "./state.ts";

export function shape(
  state: State,
  name: string,
  result: string,
  types: Readonly<Record<string, Result>>,
): string | undefined {
  const { session } = state;
  const { btf, keyId, valueId, size } = shapeOf(name);
  const fd = session.call(u.BPF_BTF_LOAD, { btf: btf.slice(), btf_size: btf.length });
  if (isErrno(result) || fd < 0) {
    if (fd >= 0) session.close(fd);
    return compare(isErrno(result) ? errnoOf(result) : 0, Math.min(fd, 0));
  }
  const attr = { btf_fd: fd, btf_key_type_id: keyId, btf_value_type_id: valueId, value_size: size };
  const problem = readBack(state, attr, size, result) ?? others(state, attr, types);
  session.close(fd);
  return problem;
}

function readBack(state: State, attr: Record<string, number>, size: number, expected: string): string | undefined {
  const { session } = state;
  const map = state.make(attr);
  if (typeof map === "number") return compare(0, map);
  const key = new Uint8Array(map.shape.keySize);
  const written = session.update(map, key, new Uint8Array(size).fill(0xff), 0);
  const found = written === 0 ? session.lookup(map, key) : written;
  const frozen = session.call(u.BPF_MAP_FREEZE, { map_fd: map.fd });
  session.close(map.fd);
  if (typeof found === "number") return compare(0, found);
  return compare(pattern(expected), found) ?? compare(expected.includes("(") ? -u.ENOTSUPP : 0, frozen);
}

/** `8 (4) (+4) 16`: bytes of ff, of 00, and a reference count of one. */
function pattern(text: string): string {
  return text
    .split(" ")
    .map((part) => {
      const bytes = new Uint8Array(Number(/\d+/.exec(part)?.[0])).fill(part.startsWith("(") ? 0 : 0xff);
      if (part.startsWith("(+")) bytes[0] = 1;
      return toHex(bytes);
    })
    .join("");
}

function others(
  state: State,
  attr: Record<string, number>,
  types: Readonly<Record<string, Result>>,
): string | undefined {
  for (const [type, result] of Object.entries(types)) {
    const made = state.tryToMake({ ...attr, map_type: constant(`BPF_MAP_TYPE_${type}`), map_flags: 0 });
    const problem = compare(resultOf(result), made);
    if (problem !== undefined) return `${type}: ${problem}`;
  }
  return undefined;
}
