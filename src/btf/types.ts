/** What a parsed BTF type looks like: plain data, one shape for each kind. Kernel counterpart: include/uapi/linux/btf.h. */

/** Id 0, which is never in the file: `void`. */
export interface BtfVoid {
  readonly kind: "void";
  readonly name: "";
}

export interface BtfInt {
  readonly kind: "int";
  readonly name: string;
  /** Bytes of storage: 1, 2, 4, 8 or 16. */
  readonly size: number;
  /** Bits that carry the value, and where they start in the storage; `bits` is less than `size * 8` only in old bitfields. */
  readonly bits: number;
  readonly bitOffset: number;
  readonly signed: boolean;
  readonly char: boolean;
  readonly bool: boolean;
}

export interface BtfPtr {
  readonly kind: "ptr";
  readonly name: "";
  readonly typeId: number;
}

export interface BtfArray {
  readonly kind: "array";
  readonly name: "";
  readonly elemTypeId: number;
  readonly indexTypeId: number;
  readonly length: number;
}

export interface BtfMember {
  /** Empty for an anonymous struct or union. */
  readonly name: string;
  readonly typeId: number;
  readonly bitOffset: number;
  /** 0: not a bitfield. */
  readonly bitSize: number;
}

export interface BtfComposite<K extends "struct" | "union"> {
  readonly kind: K;
  readonly name: string;
  readonly size: number;
  readonly members: readonly BtfMember[];
}
export type BtfStruct = BtfComposite<"struct">;
export type BtfUnion = BtfComposite<"union">;

export interface BtfEnum {
  readonly kind: "enum";
  readonly name: string;
  readonly size: number;
  readonly signed: boolean;
  readonly values: readonly { readonly name: string; readonly value: number }[];
}

export interface BtfEnum64 {
  readonly kind: "enum64";
  readonly name: string;
  readonly size: number;
  readonly signed: boolean;
  readonly values: readonly { readonly name: string; readonly value: bigint }[];
}

export interface BtfFwd {
  readonly kind: "fwd";
  readonly name: string;
  readonly of: "struct" | "union";
}

export interface BtfTypedef {
  readonly kind: "typedef";
  readonly name: string;
  readonly typeId: number;
}

export interface BtfModifier<K extends "volatile" | "const" | "restrict"> {
  readonly kind: K;
  readonly name: "";
  readonly typeId: number;
}

export type BtfLinkage = "static" | "global" | "extern";

export interface BtfFunc {
  readonly kind: "func";
  readonly name: string;
  /** Its func_proto. */
  readonly typeId: number;
  readonly linkage: BtfLinkage;
}

export interface BtfFuncProto {
  readonly kind: "func_proto";
  readonly name: "";
  readonly returnTypeId: number;
  /** A last parameter without name and with type 0 stands for `...`. */
  readonly params: readonly { readonly name: string; readonly typeId: number }[];
}

export interface BtfVar {
  readonly kind: "var";
  readonly name: string;
  readonly typeId: number;
  readonly linkage: BtfLinkage;
}

export interface BtfDatasec {
  readonly kind: "datasec";
  readonly name: string;
  /** 0 in an object file that no linker has seen; the same holds for the offsets of its variables. */
  readonly size: number;
  readonly vars: readonly { readonly typeId: number; readonly offset: number; readonly size: number }[];
}

export interface BtfFloat {
  readonly kind: "float";
  readonly name: string;
  readonly size: number;
}

export interface BtfDeclTag {
  readonly kind: "decl_tag";
  /** The tag's text. */
  readonly name: string;
  readonly typeId: number;
  /** Which member or parameter it stands on; -1 for the declaration itself. */
  readonly componentIndex: number;
  /** True when the compiler wrote an `__attribute__` other than btf_decl_tag (kind_flag, since 6.15). */
  readonly attribute: boolean;
}

export interface BtfTypeTag {
  readonly kind: "type_tag";
  /** The tag's text. */
  readonly name: string;
  readonly typeId: number;
  readonly attribute: boolean;
}

export type BtfType =
  | BtfVoid
  | BtfInt
  | BtfPtr
  | BtfArray
  | BtfStruct
  | BtfUnion
  | BtfEnum
  | BtfFwd
  | BtfTypedef
  | BtfModifier<"volatile">
  | BtfModifier<"const">
  | BtfModifier<"restrict">
  | BtfFunc
  | BtfFuncProto
  | BtfVar
  | BtfDatasec
  | BtfFloat
  | BtfDeclTag
  | BtfTypeTag
  | BtfEnum64;

export type BtfKind = BtfType["kind"];

/** The type of one kind: `BtfTypeOf<"struct">` is `BtfStruct`. */
export type BtfTypeOf<K extends BtfKind> = Extract<BtfType, { readonly kind: K }>;
