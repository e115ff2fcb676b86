/** From the tables' words to numbers and bytes. Everything that is misspelled throws. */
export { toHex } from "../../src/api/hex.ts";

import * as uapi from "../../src/uapi/index.ts";
import type { Data, Errno, Flags, Scalar } from "./step.ts";

/** What the bytes of a map's keys and values look like. */
export interface Shape {
  readonly type: number;
  readonly keySize: number;
  readonly valueSize: number;
  readonly percpu: boolean;
  readonly cpus: number;
}

const constants = uapi as unknown as Readonly<Record<string, unknown>>;

export function constant(name: string): number {
  const value = constants[name];
  if (typeof value !== "number") throw new Error(`${name} is no constant of src/uapi`);
  return value;
}

export function flagsOf(flags: Flags): number | bigint {
  if (typeof flags !== "string") return flags;
  return flags.split("|").reduce((sum, name) => sum | constant(name), 0);
}

/** `-EINVAL` → -22. */
export function errnoOf(errno: Errno): number {
  return -constant(errno.slice(1));
}

export function isErrno(value: unknown): value is Errno {
  return typeof value === "string" && /^-E[A-Z0-9]+$/.test(value);
}

/** A result as the tables write it. */
export function nameOf(result: number): string {
  return result >= 0 ? String(result) : `-${uapi.errnoNames[-result] ?? -result}`;
}

/** A text of Latin-1 characters as its bytes. */
export function latin1(text: string): Uint8Array {
  return Uint8Array.from(text, (c) => c.charCodeAt(0));
}

export function fromHex(hex: string): Uint8Array {
  if (!/^([0-9a-f]{2})*$/.test(hex)) throw new Error(`not hex: ${JSON.stringify(hex)}`);
  return Uint8Array.from({ length: hex.length / 2 }, (_, i) => Number.parseInt(hex.slice(2 * i, 2 * i + 2), 16));
}

function scalar(value: Scalar, size: number): Uint8Array {
  const bytes = new Uint8Array(size);
  if (typeof value === "string") {
    const given = fromHex(value);
    if (given.length > size) throw new Error(`${value} is longer than ${size} bytes`);
    bytes.set(given);
    return bytes;
  }
  let rest = BigInt(value);
  for (let i = 0; i < size; i++, rest >>= 8n) bytes[i] = Number(rest & 0xffn);
  if (rest !== 0n) throw new Error(`${value} does not fit ${size} bytes`);
  return bytes;
}

/** A prefix: its length, host byte order, and the address. */
function prefix(text: string, size: number): Uint8Array {
  const [address = "", length = ""] = text.split("/");
  const data = address.includes(".") ? Uint8Array.from(address.split(".").map(Number)) : fromHex(address);
  if (data.length > size - 4) throw new Error(`${text} is longer than a key of ${size} bytes`);
  const bytes = new Uint8Array(size);
  new DataView(bytes.buffer).setUint32(0, Number(length), true);
  bytes.set(data, 4);
  return bytes;
}

export function encodeKey(key: Data, shape: Shape): Uint8Array {
  if (typeof key === "object") throw new Error("a key is no list");
  if (typeof key === "string" && key.includes("/")) return prefix(key, shape.keySize);
  return scalar(key, shape.keySize);
}

/** All bytes of a value in bpf(2). */
export function encodeValue(value: Data, shape: Shape): Uint8Array {
  const { valueSize, cpus } = shape;
  if (!shape.percpu) {
    if (typeof value === "object") throw new Error("a list of values needs a per-CPU map");
    return scalar(value, valueSize);
  }
  const slot = Math.ceil(valueSize / 8) * 8;
  const bytes = new Uint8Array(slot * cpus);
  for (let cpu = 0; cpu < cpus; cpu++) {
    bytes.set(scalar(typeof value === "object" ? (value[cpu] ?? 0) : value, slot), cpu * slot);
  }
  return bytes;
}

export function valueBytes(shape: Shape): number {
  return shape.percpu ? Math.ceil(shape.valueSize / 8) * 8 * shape.cpus : shape.valueSize;
}
