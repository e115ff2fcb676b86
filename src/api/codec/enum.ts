/** Enums as the text of their names. */
import { type Codec, makeCodec } from "./codec.ts";
import { CodecError, show, wrongType } from "./error.ts";
import { s32, u32 } from "./int.ts";
import type { EnumLayout, IntLayout } from "./layout.ts";
import { checkNames } from "./struct.ts";

/** Names of the enum as text; a value without a name stays a number (bigint where the base has 64 bits). */
export interface EnumCodec<Name extends string, N extends number | bigint> extends Codec<Name | N> {
  /** The names with their numbers, as given. */
  readonly values: Readonly<Record<Name, N>>;
}

/** Any enum: `enumOf` and BTF end here. Of two names with one number the first is given when decoding. */
export function namedEnum(
  name: string,
  values: readonly (readonly [name: string, value: number | bigint])[],
  base: Codec<number> | Codec<bigint>,
): Codec<string | number | bigint> {
  const integer = base as Codec<unknown> as Codec<number | bigint>;
  const layout: EnumLayout = {
    kind: "enum",
    name,
    size: base.size,
    align: base.align,
    base: base.layout as IntLayout,
    values: values.map(([member, value]) => ({ name: member, value })),
  };
  const kind = name === "" ? "enum" : `enum ${name}`;
  const numbers = new Map<string, number | bigint>(values);
  const names = new Map<number | bigint, string>();
  for (const [member, value] of values) if (!names.has(value)) names.set(value, member);
  return makeCodec<string | number | bigint>({
    kind,
    layout,
    read: (from, offset) => {
      const value = integer.read(from, offset);
      return names.get(value) ?? value;
    },
    write: (to, offset, value) => {
      if (typeof value !== "string") {
        if (typeof value !== "number" && typeof value !== "bigint") {
          throw wrongType(value, kind, `one of its names or a ${base.layout.size === 8 ? "bigint" : "number"}`);
        }
        integer.write(to, offset, value);
        return;
      }
      const found = numbers.get(value);
      if (found === undefined)
        throw new CodecError("range", `${show(value)} is no name of ${kind}; ${some(values)}`, value);
      integer.write(to, offset, found);
    },
  });
}

const SHOWN_NAMES = 12;

function some(values: readonly (readonly [string, unknown])[]): string {
  const names = values.slice(0, SHOWN_NAMES).map(([member]) => member);
  const left = values.length - names.length;
  return `it has ${names.join(", ")}${left > 0 ? ` and ${left} more` : ""}`;
}

/**
 * An enum: `enumOf({ PASS: 2, DROP: 1 })` decodes to `"PASS"`, `"DROP"`, or to the number when it has no name, and encodes
 * all three. `base` is the integer that holds it: `u32` unless given, `s32` when a value is negative; `u64` makes the
 * values bigints. Values that `base` cannot hold: CodecError.
 */
export function enumOf<const V extends Readonly<Record<string, number>>>(
  values: V,
  base?: Codec<number>,
  options?: { readonly name?: string },
): EnumCodec<keyof V & string, number>;
export function enumOf<const V extends Readonly<Record<string, bigint>>>(
  values: V,
  base: Codec<bigint>,
  options?: { readonly name?: string },
): EnumCodec<keyof V & string, bigint>;
export function enumOf(
  values: Readonly<Record<string, number | bigint>>,
  base?: Codec<number> | Codec<bigint>,
  options: { readonly name?: string } = {},
): EnumCodec<string, number | bigint> {
  checkNames(values, "enum");
  const entries = Object.entries(values);
  const integer = base ?? (entries.some(([, value]) => value < 0) ? s32 : u32);
  if (integer.layout.kind !== "int") throw new CodecError("type", `${integer.kind} is no integer`, integer, "enum");
  for (const [name, value] of entries) {
    try {
      (integer as Codec<unknown>).encode(value);
    } catch (error) {
      throw error instanceof CodecError ? error.under(`enum.${name}`) : error;
    }
  }
  const codec = namedEnum(options.name ?? "", entries, integer);
  return Object.assign(codec as Codec<string | number | bigint>, { values }) as EnumCodec<string, number | bigint>;
}
