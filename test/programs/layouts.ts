/**
 * Kernels of our own making: types with the members that a program uses, at places that nothing else has, and memory that
 * is laid out like them. What is relocated to such types finds in such memory what was put there, or is wrong.
 */
import { BtfBuilder } from "../../src/btf/index.ts";
import type { RunOptions } from "../../src/index.ts";

type GivenMemory = NonNullable<RunOptions["memory"]>[number];

export type FieldType =
  | "int"
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

/** The types as raw BTF. A struct that is the type of a member stands before it. */
export function btfOf(layout: Layout): Uint8Array {
  const b = new BtfBuilder();
  const int = b.int("int", 4, { signed: true });
  const char = b.int("char", 1, { signed: true });
  const long = b.int("long", 8, { signed: true });
  const u32 = b.int("unsigned int", 4);
  const u64 = b.int("unsigned long", 8);
  const pointer = b.ptr(0);
  const structs = new Map<string, number>();
  const plain: Readonly<Record<string, number>> = { int, u32, long, u64, pointer };
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
  return b.build();
}

type FieldValue = number | bigint | string;

/** One object of a kernel's memory. Other bytes are 0xa5, so that who reads beside a field does not find zeros. */
export function place(
  layout: Layout,
  struct: string,
  address: bigint,
  values: Readonly<Record<string, FieldValue>>,
): GivenMemory {
  const { size, fields } = layout[struct]!;
  const bytes = new Uint8Array(size).fill(0xa5);
  const view = new DataView(bytes.buffer);
  for (const [name, value] of Object.entries(values)) {
    const [type, offset, bit, bits] = fields[name]!;
    if (bit !== undefined && bits !== undefined) {
      const mask = ((1 << bits) - 1) << bit;
      view.setUint32(offset, (view.getUint32(offset, true) & ~mask) | (Number(value) << bit), true);
    } else if (typeof value === "string") {
      bytes.fill(0, offset, offset + Number(/\d+/.exec(type)![0]));
      bytes.set(new TextEncoder().encode(value), offset);
    } else if (type === "int" || type === "u32" || type.startsWith("struct ")) {
      view.setUint32(offset, Number(value), true);
    } else {
      view.setBigUint64(offset, BigInt.asUintN(64, BigInt(value)), true);
    }
  }
  return { address, bytes };
}
