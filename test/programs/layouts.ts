/**
 * Kernels of our own making: types with the members that a program uses, at places that nothing else has, and memory that
 * is laid out like them. What is relocated to such types finds in such memory what was put there, or is wrong.
 */
import { type Btf, BtfBuilder } from "../../src/btf/index.ts";
import type { RunOptions } from "../../src/index.ts";

type GivenMemory = NonNullable<RunOptions["memory"]>[number];

export type FieldType =
  | "int"
  | "u8"
  | "u16"
  | "u32"
  | "long"
  | "u64"
  | "pointer"
  | `char[${number}]`
  | `u64[${number}]`
  | `struct ${string}`;

/** Type and byte offset of a member; with a bit and a width, a bitfield of an unsigned int at that offset. */
export type Field = readonly [type: FieldType, offset: number, bit?: number, bits?: number];

export interface StructLayout {
  readonly size: number;
  readonly fields: Readonly<Record<string, Field>>;
}

export type Layout = Readonly<Record<string, StructLayout>>;

/** Result and arguments of a function of the kernel's. */
export type Prototype = readonly [result: FieldType | "void", ...args: FieldType[]];

/** What programs are attached to. */
export interface Hooks {
  /** By name; of LSM hooks with the kernel's prefix, bpf_lsm_. */
  readonly functions?: Readonly<Record<string, Prototype>>;
  /** Arguments of tracepoints. */
  readonly tracepoints?: Readonly<Record<string, readonly FieldType[]>>;
  /** Structs of callbacks, with a name of 16 characters behind them. */
  readonly ops?: Readonly<Record<string, Readonly<Record<string, Prototype>>>>;
}

/** The types as raw BTF. A struct that is the type of a member stands before it. */
export function btfOf(layout: Layout, hooks: Hooks = {}): Uint8Array {
  const b = new BtfBuilder();
  const int = b.int("int", 4, { signed: true });
  const char = b.int("char", 1, { signed: true });
  const long = b.int("long", 8, { signed: true });
  const u8 = b.int("unsigned char", 1);
  const u16 = b.int("unsigned short", 2);
  const u32 = b.int("unsigned int", 4);
  const u64 = b.int("unsigned long", 8);
  const pointer = b.ptr(0);
  const structs = new Map<string, number>();
  const plain: Readonly<Record<string, number>> = { int, u8, u16, u32, long, u64, pointer };
  const typeOf = (type: FieldType): number => {
    const array = /^(char|u64)\[(\d+)\]$/.exec(type);
    if (array !== null) return b.array(array[1] === "char" ? char : u64, int, Number(array[2]));
    return plain[type] ?? structs.get(type.replace("struct ", ""))!;
  };
  for (const [name, { size, fields }] of Object.entries(layout)) {
    const members = Object.entries(fields)
      .sort(([, a], [, c]) => a[1] - c[1] || (a[2] ?? 0) - (c[2] ?? 0))
      .map(([member, [type, offset, bit = 0, bitSize = 0]]) => {
        return { name: member, typeId: typeOf(type), bitOffset: offset * 8 + bit, bitSize };
      });
    structs.set(name, b.struct(name, size, members));
  }
  const protoOf = ([result, ...args]: Prototype): number => {
    const params = args.map((arg, i) => ({ name: `arg${i}`, typeId: typeOf(arg) }));
    return b.funcProto(result === "void" ? 0 : typeOf(result), params);
  };
  for (const [name, prototype] of Object.entries(hooks.functions ?? {})) b.func(name, protoOf(prototype));
  for (const [name, args] of Object.entries(hooks.tracepoints ?? {})) {
    // In front of them comes what was registered, which is not the program's to see.
    b.typedef(`btf_trace_${name}`, b.ptr(protoOf(["void", "pointer", ...args])));
  }
  for (const [name, callbacks] of Object.entries(hooks.ops ?? {})) {
    const members = Object.entries(callbacks).map(([member, prototype], i) => {
      return { name: member, typeId: b.ptr(protoOf(prototype)), bitOffset: i * 64 };
    });
    const end = members.length * 64;
    b.struct(name, end / 8 + 16, [...members, { name: "name", typeId: b.array(char, int, 16), bitOffset: end }]);
    b.struct(`bpf_struct_ops_${name}`, end / 8 + 16, []);
  }
  return b.build();
}

/** A layout with the offsets of a kernel's BTF, of the same members. Undefined: it lacks one. */
export function layoutFrom(btf: Btf, wanted: Layout): Layout | undefined {
  const placed: Record<string, StructLayout> = {};
  for (const [name, { fields }] of Object.entries(wanted)) {
    const id = btf.find(name, "struct");
    if (id === undefined) return undefined;
    const found: Record<string, Field> = {};
    for (const [member, [type]] of Object.entries(fields)) {
      const offset = offsetIn(btf, id, member);
      if (offset === undefined) return undefined;
      found[member] = [type, offset];
    }
    placed[name] = { size: btf.sizeOf(id), fields: found };
  }
  return placed;
}

/** In bytes; members of members without a name count. */
function offsetIn(btf: Btf, id: number, wanted: string): number | undefined {
  const struct = btf.type(btf.resolve(id));
  if (struct.kind !== "struct" && struct.kind !== "union") return undefined;
  for (const { name, typeId, bitOffset } of struct.members) {
    if (name === wanted) return bitOffset / 8;
    const inner = name === "" ? offsetIn(btf, typeId, wanted) : undefined;
    if (inner !== undefined) return bitOffset / 8 + inner;
  }
  return undefined;
}

type FieldValue = number | bigint | string;

/** Where a member lies, or a member of a member: `a.b`. */
function fieldOf(layout: Layout, struct: string, path: string): Field {
  const [first, ...rest] = path.split(".");
  const [type, offset, bit = 0, bits = 0] = layout[struct]!.fields[first!]!;
  if (rest.length === 0) return bits === 0 ? [type, offset] : [type, offset, bit, bits];
  const [innerType, inside] = fieldOf(layout, type.replace("struct ", ""), rest.join("."));
  return [innerType, offset + inside];
}

/** One object of a kernel's memory. Other bytes are 0xa5, so that who reads beside a field does not find zeros. */
export function place(
  layout: Layout,
  struct: string,
  address: bigint,
  values: Readonly<Record<string, FieldValue>>,
): GivenMemory {
  const { size } = layout[struct]!;
  const bytes = new Uint8Array(size).fill(0xa5);
  const view = new DataView(bytes.buffer);
  for (const [name, value] of Object.entries(values)) {
    const [type, offset, bit, bits] = fieldOf(layout, struct, name);
    if (bit !== undefined && bits !== undefined) {
      const mask = ((1 << bits) - 1) << bit;
      view.setUint32(offset, (view.getUint32(offset, true) & ~mask) | (Number(value) << bit), true);
    } else if (typeof value === "string") {
      bytes.fill(0, offset, offset + Number(/\d+/.exec(type)![0]));
      bytes.set(new TextEncoder().encode(value), offset);
    } else if (type === "u8") {
      view.setUint8(offset, Number(value));
    } else if (type === "u16") {
      view.setUint16(offset, Number(value), true);
    } else if (type === "int" || type === "u32" || type.startsWith("struct ")) {
      view.setUint32(offset, Number(value), true);
    } else {
      view.setBigUint64(offset, BigInt.asUintN(64, BigInt(value)), true);
    }
  }
  return { address, bytes };
}
