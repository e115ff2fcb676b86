/** A BTF type as a C declaration, for display. */
import type { Btf } from "./btf.ts";
import type { BtfEnum, BtfEnum64, BtfLinkage, BtfStruct, BtfType, BtfUnion } from "./types.ts";
import { fail, MAX_DEPTH } from "./wire.ts";

/** Most characters of one declaration; a few shared anonymous structs could otherwise describe 2^64. */
const MAX_LENGTH = 4_000_000;

/**
 * Structs, unions and enums with their body, functions and variables as declared, a data section as its variables, any
 * other type as it would stand in a cast. A type inside is named where it has a name and spelt out where it has none.
 */
export function formatType(btf: Btf, typeId: number): string {
  return new TypeWriter(btf).definition(typeId);
}

class TypeWriter {
  readonly #btf: Btf;
  #length = 0;

  constructor(btf: Btf) {
    this.#btf = btf;
  }

  definition(id: number): string {
    const type = this.#btf.type(id);
    switch (type.kind) {
      case "struct":
      case "union":
        return `${this.#composite(type, 0)};`;
      case "enum":
      case "enum64":
        return `${this.#enumeration(type, 0)};`;
      case "fwd":
        return `${type.of} ${type.name};`;
      case "typedef":
        return `typedef ${this.#declare(type.typeId, type.name, 0)};`;
      case "func":
      case "var":
        return `${linkageText(type.linkage)}${this.#declare(type.typeId, type.name, 0)};`;
      case "datasec": {
        const vars = type.vars.map((v) => {
          const variable = this.#btf.type(v.typeId);
          return `${variable.kind === "datasec" ? variable.name : this.definition(v.typeId)} /* offset ${v.offset} */`;
        });
        return [`/* section ${type.name}, ${type.size} bytes */`, ...vars].join("\n");
      }
      case "decl_tag":
        return type.attribute
          ? `__attribute__((${type.name}))`
          : `__attribute__((btf_decl_tag(${JSON.stringify(type.name)})))`;
      default:
        return this.#declare(id, "", 0);
    }
  }

  /** C declares from the inside out: `inner` is what has been built around the name so far. */
  #declare(id: number, name: string, depth: number): string {
    let inner = name;
    let qualifiers = "";
    let at = id;
    for (let steps = 0; steps <= MAX_DEPTH; steps++) {
      const type = this.#btf.type(at);
      switch (type.kind) {
        case "const":
        case "volatile":
        case "restrict":
          qualifiers += `${type.kind} `;
          at = type.typeId;
          break;
        case "type_tag":
          at = type.typeId;
          break;
        case "ptr":
          inner = `*${qualifiers}${inner}`.trimEnd();
          qualifiers = "";
          at = type.typeId;
          break;
        case "array":
          inner = `${inParentheses(inner)}[${type.length}]`;
          at = type.elemTypeId;
          break;
        case "func_proto":
          inner = `${inParentheses(inner)}(${this.#params(type.params, depth)})`;
          qualifiers = "";
          at = type.returnTypeId;
          break;
        default:
          return this.#spend(`${qualifiers}${this.#base(type, depth)} ${inner}`.trimEnd());
      }
    }
    return fail(`type id ${id}`, `a declaration of more than ${MAX_DEPTH} steps`, "a shorter one");
  }

  #params(params: readonly { readonly name: string; readonly typeId: number }[], depth: number): string {
    if (depth >= MAX_DEPTH) fail("function", `parameters nested more than ${MAX_DEPTH} deep`, "fewer");
    if (params.length === 0) return "void";
    const last = params.length - 1;
    return params
      .map(({ name, typeId }, i) =>
        i === last && typeId === 0 && name === "" ? "..." : this.#declare(typeId, name, depth + 1),
      )
      .join(", ");
  }

  /** What stands before the name. */
  #base(type: BtfType, depth: number): string {
    switch (type.kind) {
      case "struct":
      case "union":
        return type.name === "" ? this.#composite(type, depth) : `${type.kind} ${type.name}`;
      case "enum":
      case "enum64":
        return type.name === "" ? this.#enumeration(type, depth) : `enum ${type.name}`;
      case "fwd":
        return `${type.of} ${type.name}`;
      case "int":
      case "float":
      case "typedef":
        return type.name;
      case "void":
        return "void";
      default:
        return fail("declaration", `${type.kind} ${type.name}`.trimEnd(), "a type");
    }
  }

  #composite(type: BtfStruct | BtfUnion, depth: number): string {
    if (depth >= MAX_DEPTH) fail(`${type.kind} ${type.name}`, `types nested more than ${MAX_DEPTH} deep`, "fewer");
    const indent = "  ".repeat(depth + 1);
    const lines = type.members.map(({ name, typeId, bitSize }) => {
      const width = bitSize === 0 ? "" : ` : ${bitSize}`;
      return this.#spend(`${indent}${this.#declare(typeId, name, depth + 1)}${width};\n`);
    });
    return `${heading(type.kind, type.name)} {\n${lines.join("")}${"  ".repeat(depth)}}`;
  }

  #enumeration(type: BtfEnum | BtfEnum64, depth: number): string {
    const indent = "  ".repeat(depth + 1);
    const lines = type.values.map(({ name, value }) => this.#spend(`${indent}${name} = ${value},\n`));
    return `${heading("enum", type.name)} {\n${lines.join("")}${"  ".repeat(depth)}}`;
  }

  /** Counts a text towards the most that is written. */
  #spend(text: string): string {
    this.#length += text.length + 1; // an empty text has its price too
    if (this.#length > MAX_LENGTH) fail("declaration", `more than ${MAX_LENGTH} characters`, "fewer");
    return text;
  }
}

function linkageText(linkage: BtfLinkage): string {
  return linkage === "global" ? "" : `${linkage} `;
}

function heading(keyword: string, name: string): string {
  return name === "" ? keyword : `${keyword} ${name}`;
}

/** `*x` binds weaker than `x[]` and `x()`. */
function inParentheses(inner: string): string {
  return inner.startsWith("*") ? `(${inner})` : inner;
}
