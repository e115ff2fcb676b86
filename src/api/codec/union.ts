/** Unions: one member goes in, every member can be read. */
import { CodecBuffer } from "./buffer.ts";
import { type AnyCodec, type Codec, checkAlign, type Infer, type InferInput, makeCodec } from "./codec.ts";
import { CodecError, nested, wrongType } from "./error.ts";
import { type CompositeLayout, describeLayout } from "./layout.ts";
import { fieldLayout, type Placement, placeUnion } from "./place.ts";
import { type CompositeOptions, checkNames } from "./struct.ts";

/** Members by name, all at offset 0. */
export type UnionMembers = Readonly<Record<string, AnyCodec>>;

declare const unionBrand: unique symbol;

/**
 * A decoded union: a private copy of the bytes; each member is decoded when it is read. It can be encoded again as it is.
 * JSON and `console.log` show all members; a spread shows none.
 */
export type UnionValue<M extends UnionMembers> = { readonly [K in keyof M]: Infer<M[K]> } & {
  readonly [unionBrand]: true;
};

/** What encoding takes: an object with exactly one of the members, or a decoded union. */
export type UnionInput<M extends UnionMembers> =
  | UnionValue<M>
  | {
      [K in keyof M]: { readonly [P in K]: InferInput<M[K]> } & { readonly [P in Exclude<keyof M, K>]?: undefined };
    }[keyof M];

/** A union's codec; `members` are the codecs it was made of. */
export interface UnionCodec<M extends UnionMembers> extends Codec<UnionValue<M>, UnionInput<M>> {
  readonly members: M;
}

/** What all decoded unions have in common; each union's own class adds a getter for each member. */
class DecodedUnion {
  readonly #bytes: Uint8Array;
  #buffer: CodecBuffer | undefined;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
  }

  static bytesOf(value: DecodedUnion): Uint8Array {
    return value.#bytes;
  }

  static readMember(value: DecodedUnion, codec: Codec<unknown>, name: string): unknown {
    value.#buffer ??= new CodecBuffer(value.#bytes);
    try {
      return codec.read(value.#buffer, 0);
    } catch (error) {
      throw nested(error, name);
    }
  }
}

/** Is it what decoding a union gave? */
export function isDecodedUnion(value: object): boolean {
  return value instanceof DecodedUnion;
}

/** A union whose members already have their places. */
function placedUnion(name: string, placement: Placement): Codec<object> {
  const { size, align } = placement;
  const fields = placement.fields.map(fieldLayout);
  const layout: CompositeLayout = { kind: "union", name, size, align, fields, lpm: false };
  const kind = describeLayout(layout);
  const names = fields.map((field) => field.name);
  const codecs = new Map<string, Codec<unknown>>(
    placement.fields.map(({ name: member, type }) => [member, type as AnyCodec as Codec<unknown>]),
  );

  class Decoded extends DecodedUnion {}
  const plain = (value: DecodedUnion): Record<string, unknown> => {
    const all: Record<string, unknown> = {};
    for (const [member, codec] of codecs) all[member] = DecodedUnion.readMember(value, codec, member);
    return all;
  };
  for (const hook of ["toJSON", Symbol.for("nodejs.util.inspect.custom")]) {
    Object.defineProperty(Decoded.prototype, hook, {
      configurable: true,
      value(this: DecodedUnion): unknown {
        return plain(this);
      },
    });
  }
  for (const [member, codec] of codecs) {
    Object.defineProperty(Decoded.prototype, member, {
      configurable: true,
      enumerable: true,
      get(this: DecodedUnion): unknown {
        return DecodedUnion.readMember(this, codec, member);
      },
    });
  }

  return makeCodec<object>({
    kind,
    layout,
    read: (from, offset) => new Decoded(from.bytes.slice(offset, offset + size)),
    write: (to, offset, value) => {
      if (typeof value !== "object" || value === null) throw wrongType(value, kind, "an object");
      if (value instanceof Decoded) {
        to.bytes.set(DecodedUnion.bytesOf(value), offset);
        return;
      }
      const given = Object.entries(value).filter(([, field]) => field !== undefined);
      const [first] = given;
      if (first === undefined || given.length > 1) {
        const found = first === undefined ? "none" : given.map(([member]) => member).join(", ");
        throw new CodecError("missing", `${kind} takes exactly one of ${names.join(", ")}; given: ${found}`, value);
      }
      const [member, field] = first;
      const codec = codecs.get(member);
      if (codec === undefined) {
        throw new CodecError("unknown", `not a member of ${kind}, which has ${names.join(", ")}`, field, member);
      }
      if (codec.size < size) to.bytes.fill(0, offset + codec.size, offset + size);
      try {
        codec.write(to, offset, field);
      } catch (error) {
        throw nested(error, member);
      }
    },
  });
}

/**
 * A union: as large as its largest member. Encoding takes an object with exactly one member and zeroes the rest; decoding
 * gives an object that has them all, each decoded when it is read.
 *
 *     const Address = union({ v4: ipv4, v6: ipv6 });
 *     Address.encode({ v4: "10.0.0.1" });
 */
export function union<const M extends UnionMembers>(members: M, options: CompositeOptions = {}): UnionCodec<M> {
  const { name = "", align = 1, packed = false } = options;
  checkNames(members, "union");
  checkAlign(align);
  const codec = placedUnion(name, placeUnion(members, packed, align));
  return Object.assign(codec as Codec<unknown> as Codec<UnionValue<M>, UnionInput<M>>, { members });
}
