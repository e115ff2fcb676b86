/** The kernel's configuration as text (`CONFIG_HZ=250`), and its values as the bytes of a program's variables. */
import type { Btf } from "../btf/index.ts";
import { InputError } from "../errors.ts";
import type { ExternSpec } from "./spec.ts";

/** `true` is `y`, `false` is `n`; as a string also `m`, and what a string option holds. */
export type KconfigValue = boolean | number | bigint | string;

/** What the variable of a tristate option holds: the enum that libbpf's users declare. */
const TRISTATE = "libbpf_tristate";
const states: Readonly<Record<string, bigint>> = { n: 0n, y: 1n, m: 2n };
/** Of a bool: as the option says it, or as a number. */
const bits: Readonly<Record<string, bigint>> = { n: 0n, y: 1n, "0": 0n, "1": 1n };
const NUMBER = /^(-?)(0[xX][0-9a-fA-F]+|[0-9]+)$/;

/** The options that a configuration sets, without quotes around strings. Lines that set nothing are passed over. */
export function parseKconfig(text: string): Map<string, string> {
  const values = new Map<string, string>();
  for (const line of text.split("\n")) {
    const equals = line.indexOf("=");
    if (equals < 0 || !line.startsWith("CONFIG_")) continue;
    const value = line.slice(equals + 1).trim();
    const quoted = value.length >= 2 && value.startsWith('"') && value.endsWith('"');
    values.set(line.slice(0, equals), quoted ? value.slice(1, -1) : value);
  }
  return values;
}

/** Writes a value as the variable's type wants it into `to`, which has the variable's size. InputError: it does not fit. */
export function encodeKconfig(btf: Btf, extern: ExternSpec, value: KconfigValue, to: Uint8Array): void {
  const type = btf.type(btf.resolve(extern.typeId));
  const refuse = (expected: string): never => {
    const found = typeof value === "string" ? JSON.stringify(value) : String(value);
    throw new InputError(`extern ${extern.name}: found ${found}, expected ${expected}`);
  };
  to.fill(0);
  if (type.kind === "array") {
    const element = btf.type(btf.resolve(type.elemTypeId));
    if (element.kind !== "int" || element.size !== 1 || to.length === 0) refuse("a variable that is an array of char");
    const text = typeof value === "string" ? value : refuse("a string");
    // Cut so that a NUL is left at the end, as libbpf does.
    to.set(new TextEncoder().encode(text).subarray(0, to.length - 1));
    return;
  }
  const state = typeof value === "boolean" ? (value ? "y" : "n") : value;
  if ((type.kind === "enum" || type.kind === "enum64") && type.name === TRISTATE) {
    put(to, states[String(state)] ?? refuse("y, n or m"));
  } else if (type.kind !== "int") {
    refuse(`a variable that is bool, char, a number, a string or enum ${TRISTATE}; it is ${type.kind} ${type.name}`);
  } else if (type.bool) {
    put(to, bits[String(state)] ?? refuse("y or n"));
  } else if (type.size === 1 && typeof state === "string" && state in states) {
    to[0] = state.charCodeAt(0);
  } else {
    const number = typeof state === "string" ? numberOf(state) : integerOf(state);
    const width = to.length * 8;
    const fits = number !== undefined && number === (type.signed ? BigInt.asIntN : BigInt.asUintN)(width, number);
    put(to, fits ? number : refuse(`a number of ${width} bits${type.signed ? " and a sign" : ""}`));
  }
}

function numberOf(text: string): bigint | undefined {
  const parts = NUMBER.exec(text);
  if (parts === null) return undefined;
  const size = BigInt(parts[2]!);
  return parts[1] === "-" ? -size : size;
}

const integerOf = (value: number | bigint): bigint | undefined =>
  typeof value === "bigint" || Number.isSafeInteger(value) ? BigInt(value) : undefined;

function put(to: Uint8Array, value: bigint): void {
  for (let i = 0; i < to.length; i++) to[i] = Number((value >> BigInt(8 * i)) & 0xffn);
}
