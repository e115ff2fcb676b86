/** Steps with the batch commands, in fewer words. */
import type { Errno, Field, Result, Step } from "../step.ts";

export type BatchCommand = "LOOKUP" | "LOOKUP_AND_DELETE" | "UPDATE" | "DELETE";

/** Numbers of this many bytes, little-endian. */
export function hexOf(numbers: readonly number[], size: number): string {
  const one = (n: number): string =>
    n
      .toString(16)
      .padStart(size * 2, "0")
      .replace(/../g, "$& ")
      .trim()
      .split(" ")
      .reverse()
      .join("");
  return numbers.map(one).join("");
}

/** What was never written. */
export function untouched(bytes: number): string {
  return "ee".repeat(bytes);
}

export interface BatchShape {
  /** Bytes of a value in bpf(2), and those of one that was made from a number. */
  readonly valueBytes: number;
  readonly value: (n: number) => string;
  /** Bytes of a key, as `keys` and `cursor` below are written. */
  readonly keyBytes: number;
  readonly key: (n: number) => string;
}

/** Keys and values are 4 and 8 bytes. */
export const plain: BatchShape = { valueBytes: 8, value: (n) => hexOf([n], 8), keyBytes: 4, key: (n) => hexOf([n], 4) };

/** The same with a slot for each of two CPUs. */
export const percpu: BatchShape = { ...plain, valueBytes: 16, value: (n) => hexOf([n, n], 8) };

interface Lookup {
  /** Elements that there is room for. */
  readonly room: number;
  /** in_batch in hex. Without it: NULL. */
  readonly from?: string;
  /** Afterwards: out_batch in hex. Without it: not written. */
  readonly cursor?: string;
  /** What comes, key and value made of the same number. */
  readonly found?: readonly number[];
  /** `count` afterwards, if it is not the number of `found`. */
  readonly count?: number;
  /** Attributes that are not as usual. */
  readonly fields?: { readonly [field: string]: Field };
  /** What was written of buffers, in hex, where it is not what `cursor` and `found` say. */
  readonly out?: { readonly [field: string]: string };
}

/** LOOKUP_BATCH or LOOKUP_AND_DELETE_BATCH: every byte of every buffer is compared. */
export function read(shape: BatchShape, cmd: BatchCommand, result: Result, lookup: Lookup): Step {
  const { room, from, cursor, found = [], fields = {} } = lookup;
  const { keyBytes, valueBytes } = shape;
  const lengths = {
    out_batch: Math.max(8, keyBytes),
    keys: (room + 1) * keyBytes,
    values: (room + 1) * valueBytes,
  };
  const written: Record<string, string> = {
    out_batch: cursor ?? "",
    keys: found.map(shape.key).join(""),
    values: found.map(shape.value).join(""),
    ...lookup.out,
  };
  const buffers: Record<string, Field> = {};
  const out: Record<string, number | string> = { count: lookup.count ?? found.length };
  for (const [name, length] of Object.entries(lengths)) {
    buffers[name] = fields[name] ?? { length };
    const hex = written[name]!;
    if (fields[name] === undefined) out[name] = hex + untouched(length - hex.length / 2);
  }
  return [
    "call",
    `BPF_MAP_${cmd}_BATCH`,
    { map_fd: "$map", in_batch: from === undefined ? 0 : { hex: from }, count: room, ...fields, ...buffers },
    result,
    { out },
  ];
}

/** UPDATE_BATCH or DELETE_BATCH; `done`: count afterwards. A value is made of its key's number. */
export function write(
  shape: BatchShape,
  cmd: BatchCommand,
  keys: readonly number[],
  result: Result,
  done: number,
  fields: { readonly [field: string]: Field } = {},
): Step {
  return [
    "call",
    `BPF_MAP_${cmd}_BATCH`,
    {
      map_fd: "$map",
      keys: { hex: keys.map(shape.key).join("") },
      ...(cmd === "UPDATE" ? { values: { hex: keys.map(shape.value).join("") } } : {}),
      count: keys.length,
      ...fields,
    },
    result,
    { out: { count: done } },
  ];
}

/** All four commands with nothing but these attributes. */
export function each(
  results: readonly [Result, Result, Result, Result],
  fields: { readonly [field: string]: Field } = {},
): Step[] {
  const commands: readonly BatchCommand[] = ["LOOKUP", "LOOKUP_AND_DELETE", "UPDATE", "DELETE"];
  return commands.map((cmd, i) => [
    "call",
    `BPF_MAP_${cmd}_BATCH`,
    { map_fd: "$map", count: 0, ...fields },
    results[i]!,
  ]);
}

export const notSupported: readonly [Errno, Errno, Errno, Errno] = ["-ENOTSUPP", "-ENOTSUPP", "-ENOTSUPP", "-ENOTSUPP"];
