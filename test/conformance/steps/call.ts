/** Steps that make one call as it stands in the table. */
import { constant, toHex } from "../encode.ts";
import type { Value } from "../session.ts";
import type { CallOptions, Fields, Result } from "../step.ts";
import { compare, resultOf, type State } from "./state.ts";

export function call(
  state: State,
  kind: "call" | "object" | "raw",
  command: string | number,
  given: Fields,
  result: Result,
  { size, out = {} }: CallOptions,
): string | undefined {
  const cmd = typeof command === "number" ? command : constant(command);
  const fields: Record<string, Value> = {};
  for (const [name, field] of Object.entries(given)) fields[name] = state.value(name, field);
  const before: Record<string, Value> = {};
  for (const [name, value] of Object.entries(fields))
    before[name] = value instanceof Uint8Array ? value.slice() : value;
  const form = kind === "call" ? state.session.form : kind;
  const ret = state.session.call(cmd, fields, form, size);
  // A new fd is of no use to a case that did not name it.
  if (ret > 0) state.session.close(ret);
  const problem = compare(resultOf(result), Math.min(ret, 0));
  if (problem !== undefined) return problem;
  for (const [name, value] of Object.entries(fields)) {
    const wanted = out[name];
    if (wanted === "?") continue;
    if (value instanceof Uint8Array) {
      const expected =
        typeof wanted === "object"
          ? toHex(state.words(wanted))
          : typeof wanted === "string"
            ? wanted
            : toHex(before[name] as Uint8Array);
      const wrong = compare(expected, toHex(value));
      if (wrong !== undefined) return `${name}: ${wrong}`;
    } else if (wanted !== undefined && typeof wanted !== "object") {
      const expected = typeof wanted === "string" ? state.value(name, wanted) : wanted;
      if (Number(expected) !== Number(value)) return `${name}: expected ${String(expected)}, got ${String(value)}`;
    }
  }
  return undefined;
}
