/** What a codec looks like in memory, as plain data: for error messages, for BTF, and for the comparison with BTF. */

interface Extent {
  /** Bytes. */
  readonly size: number;
  /** Bytes, a power of two. */
  readonly align: number;
}

/** An integer of 1, 2, 4, 8 or 16 bytes. */
export interface IntLayout extends Extent {
  readonly kind: "int";
  readonly signed: boolean;
  /** Of the bytes in memory. One byte counts as little. */
  readonly order: "little" | "big";
}

/** Shapes without parts. `pointer` is 8 bytes in the order of the machine, `pad` has no value. */
export interface PlainLayout extends Extent {
  readonly kind: "bool" | "float" | "pointer" | "ipv4" | "ipv6" | "mac" | "bytes" | "cstring" | "pad";
  /** Of a `pad` that the kernel keeps for itself: the name of its struct, such as `bpf_spin_lock`. */
  readonly special?: string;
}

/** An enum; `base` is the integer that holds it. */
export interface EnumLayout extends Extent {
  readonly kind: "enum";
  readonly name: string;
  readonly base: IntLayout;
  readonly values: readonly { readonly name: string; readonly value: number | bigint }[];
}

/** `length` elements without gaps: each is `element.size` bytes behind the one before. */
export interface ArrayLayout extends Extent {
  readonly kind: "array";
  readonly element: CodecLayout;
  readonly length: number;
}

/** A member of a struct or union. An empty name: an anonymous struct or union (only from BTF). */
export interface FieldLayout {
  readonly name: string;
  /** Bytes from the start of the struct; for a bit field, of the byte that its lowest bit is in. */
  readonly offset: number;
  /** The type; for a bit field, the one it is declared with. */
  readonly layout: CodecLayout;
  /** Only bit fields: bits from the start of the struct, and how many. */
  readonly bits?: { readonly offset: number; readonly width: number };
}

/** A struct or union with its members in the order of their places; padding is what no member covers. */
export interface CompositeLayout extends Extent {
  readonly kind: "struct" | "union";
  /** The C tag, or "". */
  readonly name: string;
  readonly fields: readonly FieldLayout[];
  /** The key of a longest-prefix-match trie: a u32 prefix length in bits, then the data. */
  readonly lpm: boolean;
}

/** A discriminated union on `kind`. Offsets and sizes are bytes. */
export type CodecLayout = IntLayout | PlainLayout | EnumLayout | ArrayLayout | CompositeLayout;

/** `u16.be`, `u32[4]`, `struct flow_key`, `bytes(6)`: the type in the words of this library. */
export function describeLayout(layout: CodecLayout): string {
  switch (layout.kind) {
    case "int":
      return `${layout.signed ? "s" : "u"}${layout.size * 8}${layout.order === "big" ? ".be" : ""}`;
    case "pad":
      return layout.special ?? `pad(${layout.size})`;
    case "bytes":
    case "cstring":
      return `${layout.kind}(${layout.size})`;
    case "float":
      return `f${layout.size * 8}`;
    case "bool":
    case "pointer":
    case "ipv4":
    case "ipv6":
    case "mac":
      return layout.kind;
    case "array":
      return describeArray(layout);
    case "enum":
    case "struct":
    case "union":
      return layout.name === "" ? layout.kind : `${layout.kind} ${layout.name}`;
    default:
      return layout satisfies never;
  }
}

/** C writes the outermost length first. */
function describeArray(layout: ArrayLayout): string {
  let dimensions = "";
  let at: CodecLayout = layout;
  for (; at.kind === "array"; at = at.element) dimensions += `[${at.length}]`;
  return describeLayout(at) + dimensions;
}
