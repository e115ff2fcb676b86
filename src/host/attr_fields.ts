/** Writes the plain fields of an attribute object (numbers and names; pointers are the marshaller's) as the kernel's bytes. */
import type { AttrField, CommandRow } from "../uapi/commands.ts";
import { BPF_OBJ_NAME_LEN } from "../uapi/index.ts";
import type { AttrObject, AttrValue } from "./host.ts";

const encoder = new TextEncoder();

/** A view's bytes, without a copy. */
export function asBytes(view: ArrayBufferView): Uint8Array {
  return view instanceof Uint8Array ? view : new Uint8Array(view.buffer, view.byteOffset, view.byteLength);
}

/** A text as the kernel takes it: UTF-8 and a NUL. */
export function encodeText(text: string): Uint8Array {
  return encoder.encode(`${text}\0`);
}

/** A path as the kernel takes it, without its NUL. */
export function pathBytes(path: string): Uint8Array {
  if (typeof path === "string" && !path.includes("\0")) return encoder.encode(path);
  throw new TypeError(`path is ${shown(path)}, expected a text without NUL`);
}

function shown(value: unknown): string {
  if (typeof value === "string") return JSON.stringify(value);
  if (typeof value === "object" && value !== null) return `a ${value.constructor?.name ?? "object"}`;
  return String(value);
}

/** The error for a field whose value is of the wrong kind or out of range. */
export function wrongField(row: CommandRow, field: AttrField, value: unknown, expected: string): TypeError {
  return new TypeError(`${row.name}: ${field.name} is ${shown(value)}, expected ${expected}`);
}

function put32(view: DataView, at: number, row: CommandRow, field: AttrField, value: AttrValue): void {
  const n = typeof value === "bigint" ? Number(value) : value;
  if (typeof n !== "number" || !Number.isInteger(n) || n < -0x8000_0000 || n > 0xffff_ffff) {
    throw wrongField(row, field, value, "an integer of 32 bits");
  }
  view.setInt32(at, n, true);
}

/** A u64 field, or an address. */
export function put64(view: DataView, at: number, row: CommandRow, field: AttrField, value: AttrValue): void {
  if (typeof value === "number" && Number.isSafeInteger(value)) {
    view.setInt32(at, value, true);
    view.setInt32(at + 4, Math.floor(value / 0x1_0000_0000), true);
  } else if (typeof value === "bigint" && value >= -(1n << 63n) && value < 1n << 64n) {
    view.setBigUint64(at, BigInt.asUintN(64, value), true);
  } else {
    throw wrongField(row, field, value, "an integer of 64 bits (a bigint beyond 2^53)");
  }
}

/** A name longer than the field loses its NUL, which the kernel refuses: never a name cut short without a word. */
function putName(bytes: Uint8Array, at: number, row: CommandRow, field: AttrField, value: AttrValue): void {
  let name: Uint8Array;
  if (typeof value === "string") name = encoder.encode(value);
  else if (ArrayBuffer.isView(value)) name = asBytes(value);
  else throw wrongField(row, field, value, "a text or bytes");
  const n = Math.min(name.length, BPF_OBJ_NAME_LEN);
  for (let i = 0; i < n; i++) bytes[at + i] = name[i]!;
}

/**
 * The attributes must be zero at `at`. What the caller gave for pointers goes to `pointers[first...]` by their index.
 * Throws `TypeError` for a field that the command does not have.
 */
export function putPlainFields(
  bytes: Uint8Array,
  view: DataView,
  at: number,
  row: CommandRow,
  attr: AttrObject,
  pointers: AttrValue[],
  first: number,
): void {
  const { fields } = row;
  let next = 0;
  for (const name in attr) {
    // Fields mostly come in the kernel's order: comparing with the next one is quicker than looking it up.
    let field = fields[next];
    if (field !== undefined && field.name === name) next++;
    else field = row.byName.get(name);
    if (field === undefined) {
      const known = row.fields.map((f) => f.name).join(", ");
      throw new TypeError(`${row.name} has no field ${name}. It has: ${known}`);
    }
    const value = attr[name];
    const to = at + field.offset;
    if (value === undefined || value === null) continue;
    if (field.index >= 0) pointers[first + field.index] = value;
    else if (field.kind === "u64") put64(view, to, row, field, value);
    else if (field.kind === "name16") putName(bytes, to, row, field, value);
    else put32(view, to, row, field, value);
  }
}
