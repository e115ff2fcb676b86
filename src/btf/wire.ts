/** Numbers of the BTF file format that reader and writer share, and the one way in which both complain. */
import { InputError } from "../errors.ts";
import type { BtfStrings } from "./strings.ts";
import type { BtfKind, BtfLinkage } from "./types.ts";

/** Bytes of struct btf_header; newer kernels may append fields. */
export const BTF_HEADER_SIZE = 24;
/** Bytes of struct btf_type, which every type starts with. */
export const BTF_TYPE_SIZE = 12;

/** Index = number of the kind in the file. */
export const BTF_KINDS: readonly BtfKind[] = [
  "void",
  "int",
  "ptr",
  "array",
  "struct",
  "union",
  "enum",
  "fwd",
  "typedef",
  "volatile",
  "const",
  "restrict",
  "func",
  "func_proto",
  "var",
  "datasec",
  "float",
  "decl_tag",
  "type_tag",
  "enum64",
];

export const BTF_LINKAGES: readonly BtfLinkage[] = ["static", "global", "extern"];

/** Longest chain of typedefs, qualifiers and arrays that is followed, and deepest nesting of structs. */
export const MAX_DEPTH = 64;

/** Longest name of a type or member. The kernel takes 511 bytes; the bound keeps a lookup by name cheap in any file. */
export const MAX_NAME = 1024;

/** Raw BTF with its strings: what types are decoded from. */
export interface BtfSource {
  readonly view: DataView;
  readonly littleEndian: boolean;
  readonly strings: BtfStrings;
}

export function fail(where: string, found: string, expected: string): never {
  throw new InputError(`BTF: ${where}: found ${found}, expected ${expected}`);
}
