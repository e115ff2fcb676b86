/** Steps on elements. */
import * as u from "../../../src/uapi/index.ts";
import { constant, errnoOf, isErrno, toHex } from "../encode.ts";
import type { Data, Errno, Result } from "../step.ts";
import { compare, resultOf, type State } from "./state.ts";

export function update(
  state: State,
  key: Uint8Array | 0,
  value: Data,
  flags: number | bigint,
  result: Result,
): string | undefined {
  return compare(resultOf(result), state.session.update(state.map, key, state.val(value), flags));
}

export function take(state: State, key: Uint8Array | 0, result: Data | Errno): string | undefined {
  const found = state.session.lookup(state.map, key, u.BPF_MAP_LOOKUP_AND_DELETE_ELEM);
  return compare(state.expectedValue(result), found);
}

export function next(state: State, key: Data | null, result: Data | Errno): string | undefined {
  const next = state.session.nextKey(state.map, key === null ? 0 : state.key(key));
  const expected = isErrno(result) ? errnoOf(result) : toHex(state.key(result));
  return compare(expected, typeof next === "number" ? next : toHex(next));
}

export function keys(state: State, keys: readonly Data[]): string | undefined {
  const expected = keys.map((key) => toHex(state.key(key))).join(" ");
  return compare(expected, state.session.keys(state.map).join(" "));
}

export function fill(state: State, first: number, last: number, result: Result): string | undefined {
  for (let n = first; n <= last; n++) {
    const problem = update(state, state.key(n), n, 0, result);
    if (problem !== undefined) return `${n}: ${problem}`;
  }
  return undefined;
}

/** The value is asked about and not written. */
export function member(state: State, value: Data, result: Result): string | undefined {
  const bytes = state.val(value);
  const asked = toHex(bytes);
  const ret = state.session.call(u.BPF_MAP_LOOKUP_ELEM, { map_fd: state.map.fd, value: bytes });
  return compare(resultOf(result), ret) ?? compare(asked, toHex(bytes));
}

export function pushEach(state: State, first: number, last: number, result: Result): string | undefined {
  for (let n = first; n <= last; n++) {
    const problem = update(state, 0, n, 0, result);
    if (problem !== undefined) return `${n}: ${problem}`;
  }
  return undefined;
}

export function members(
  state: State,
  first: number,
  last: number,
  found: "all" | readonly number[],
): string | undefined {
  for (let n = first; n <= last; n++) {
    const problem = member(state, n, found === "all" || found.includes(n) ? 0 : "-ENOENT");
    if (problem !== undefined) return `${n}: ${problem}`;
  }
  return undefined;
}

/** Only the raw form can say it: in the object form a view is staged once for each field. */
export function sameBuffer(
  state: State,
  command: string,
  bytes: Uint8Array,
  result: Result,
  after: string,
): string | undefined {
  const buffer = state.session.host.user.alloc(bytes.length);
  buffer.bytes.set(bytes);
  const other = command === "BPF_MAP_GET_NEXT_KEY" ? "next_key" : "value";
  const fields = { map_fd: state.map.fd, key: buffer.address, [other]: buffer.address };
  const ret = state.session.call(constant(command), fields);
  const found = toHex(buffer.bytes);
  buffer.free();
  return compare(resultOf(result), ret) ?? compare(after, found);
}
