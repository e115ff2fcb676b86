/** BTF for the maps that we create, so that bpftool and others show their keys and values by name. */
import type { BtfBuilder, MemberInput } from "../../btf/index.ts";
import type { AnyCodec } from "./codec.ts";
import type { CodecLayout, CompositeLayout, EnumLayout, IntLayout } from "./layout.ts";

/**
 * Adds the codec's type to `builder` and returns its id. `name` becomes the tag of the outermost struct, union or enum
 * that has none. Big-endian integers and `ipv4` become `__be16`, `__be32`, `__be64`; `ipv6` a `struct in6_addr`, or
 * `__u8[16]` where it is not aligned to 4.
 */
export function btfFromCodec(codec: AnyCodec, builder: BtfBuilder, name?: string): number {
  return new Writer(builder).type(codec.layout, name ?? "");
}

/** C's names for the integers, by size, unsigned then signed. */
const INT_NAMES: Readonly<Record<number, readonly [unsigned: string, signed: string]>> = {
  1: ["unsigned char", "signed char"],
  2: ["unsigned short", "short"],
  4: ["unsigned int", "int"],
  8: ["unsigned long long", "long long"],
  16: ["unsigned __int128", "__int128"],
};

class Writer {
  readonly #builder: BtfBuilder;
  /** Types without a name of the caller's, by what makes them. */
  readonly #shared: Map<string, number> = new Map();

  constructor(builder: BtfBuilder) {
    this.#builder = builder;
  }

  type(layout: CodecLayout, name: string): number {
    switch (layout.kind) {
      case "int":
        return layout.order === "big" ? this.#bigEndian(layout.size) : this.#int(layout);
      case "bool":
        return this.#once("_Bool", () => this.#builder.int("_Bool", 1, { bool: true }));
      case "float":
        return this.#once(`f${layout.size}`, () =>
          this.#builder.float(layout.size === 4 ? "float" : "double", layout.size),
        );
      case "pointer":
        return this.#once("pointer", () => this.#builder.ptr(0));
      case "ipv4":
        return layout.align === 1 ? this.#bytes(4) : this.#bigEndian(4);
      case "ipv6":
        return layout.align < 4 ? this.#bytes(16) : this.#in6Addr();
      case "mac":
      case "bytes":
        return this.#bytes(layout.size);
      case "pad":
        return layout.special === undefined ? this.#bytes(layout.size) : this.#special(layout.special, layout.size);
      case "cstring":
        return this.#array(this.#char(), layout.size);
      case "array":
        return this.#array(this.type(layout.element, ""), layout.length);
      case "enum":
        return this.#enum(layout, name);
      case "struct":
      case "union":
        return this.#composite(layout, name);
      default:
        return layout satisfies never;
    }
  }

  #int({ size, signed }: IntLayout): number {
    const name = INT_NAMES[size]![signed ? 1 : 0];
    return this.#once(name, () => this.#builder.int(name, size, { signed }));
  }

  #unsigned(size: number): number {
    return this.#int({ kind: "int", size, align: size, signed: false, order: "little" });
  }

  #bigEndian(size: number): number {
    const name = `__be${size * 8}`;
    return this.#once(name, () => this.#builder.typedef(name, this.#unsigned(size)));
  }

  #char(): number {
    return this.#once("char", () => this.#builder.int("char", 1, { signed: true }));
  }

  #bytes(length: number): number {
    return this.#array(this.#unsigned(1), length);
  }

  #array(elemTypeId: number, length: number): number {
    return this.#once(`${elemTypeId}[${length}]`, () => this.#builder.array(elemTypeId, this.#unsigned(4), length));
  }

  /** The kernel knows these by name and size. */
  #special(name: string, size: number): number {
    const unit = Math.min(size, 8);
    return this.#once(`struct ${name}`, () => {
      const words = size === unit ? this.#unsigned(unit) : this.#array(this.#unsigned(unit), size / unit);
      return this.#builder.struct(name, size, [{ name: "__opaque", typeId: words, bitOffset: 0 }]);
    });
  }

  #in6Addr(): number {
    return this.#once("in6_addr", () => {
      const members = [
        { name: "u6_addr8", typeId: this.#bytes(16), bitOffset: 0 },
        { name: "u6_addr16", typeId: this.#array(this.#bigEndian(2), 8), bitOffset: 0 },
        { name: "u6_addr32", typeId: this.#array(this.#bigEndian(4), 4), bitOffset: 0 },
      ];
      const inner = this.#builder.union("", 16, members);
      return this.#builder.struct("in6_addr", 16, [{ name: "in6_u", typeId: inner, bitOffset: 0 }]);
    });
  }

  #enum(layout: EnumLayout, name: string): number {
    const { size, base, values } = layout;
    const tag = layout.name || name;
    if (size !== 8) {
      const numbers = values.map((v) => ({ name: v.name, value: Number(v.value) }));
      return this.#builder.enum(tag, numbers, { size, signed: base.signed });
    }
    const wide = values.map((v) => ({ name: v.name, value: BigInt(v.value) }));
    return this.#builder.enum64(tag, wide, { signed: base.signed });
  }

  #composite(layout: CompositeLayout, name: string): number {
    const members = layout.fields.map((field): MemberInput => {
      const typeId = this.type(field.layout, "");
      if (field.bits === undefined) return { name: field.name, typeId, bitOffset: field.offset * 8 };
      return { name: field.name, typeId, bitOffset: field.bits.offset, bitSize: field.bits.width };
    });
    const tag = layout.name || name;
    if (layout.kind === "union") return this.#builder.union(tag, layout.size, members);
    return this.#builder.struct(tag, layout.size, layout.lpm ? lpmNames(members) : members);
  }

  #once(key: string, make: () => number): number {
    const known = this.#shared.get(key);
    if (known !== undefined) return known;
    const id = make();
    this.#shared.set(key, id);
    return id;
  }
}

/** The kernel's own names for the trie's key. */
function lpmNames([prefix, data]: readonly MemberInput[]): readonly MemberInput[] {
  return [
    { ...prefix!, name: "prefixlen" },
    { ...data!, name: "data" },
  ];
}
