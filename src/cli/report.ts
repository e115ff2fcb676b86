/** What a run has to tell: as one JSON object for programs, as tables for people. */
import { toHex } from "../api/hex.ts";
import type { FileCoverage, ProfileLine } from "../api/observe/index.ts";
import type { BtfValue } from "../btf/index.ts";
import type { HostEngine } from "../host/host.ts";
import type { EventReport } from "./events.ts";

export interface EntryReport {
  /** Hex; absent for types without keys. */
  readonly key?: string;
  /** Hex, or one hex text a CPU. */
  readonly value: string | readonly string[];
  /** By BTF, as hex without it; a list, one a CPU, where `value` is one. */
  readonly formatted: { readonly key?: BtfValue; readonly value: BtfValue };
}

export interface MapReport {
  readonly name: string;
  readonly type: string;
  readonly keySize: number;
  readonly valueSize: number;
  readonly maxEntries: number;
  readonly flags: number;
  readonly entries: readonly EntryReport[];
}

/** Why the last run did not come to its end. */
export interface StopReport {
  /** Counted from 1, as events are. */
  readonly run: number;
  /** `EFAULT`: it did what it must not do; `ETIMEDOUT`: its budget is spent. */
  readonly errno: string;
  /** Index of the instruction in its program. */
  readonly insn: number;
  readonly instruction: string;
  /** `file:line:column: text`, where the object has line information. */
  readonly source?: string;
  /** Hex, where an address is what is wrong. */
  readonly address?: string;
  readonly text: string;
}

export interface RunReport {
  readonly object: string;
  readonly host: "embedded" | "kernel";
  /** What ran the program. */
  readonly engine: HostEngine;
  /** Why the interpreter had to. */
  readonly whyInterpreted?: string;
  readonly program: { readonly name: string; readonly section: string; readonly type: string };
  /** Those that came to their end. */
  readonly runs: number;
  /** How often each return value came. */
  readonly returns: Readonly<Record<string, number>>;
  /** That the runs took, without reading the capture, and how many a second that is. Not for runs on other things. */
  readonly milliseconds?: number;
  readonly packetsPerSecond?: number;
  /** Hex of the packet as the last run left it. */
  readonly dataOut: string;
  /** Hex of the context, likewise, where there was one and it came back. */
  readonly ctxOut?: string;
  /** What the program did to the outside: on the embedded host. */
  readonly events: readonly EventReport[];
  /** Only when a run was stopped: it was the last, and its events are the last of `events`. */
  readonly stopped?: StopReport;
  readonly maps: readonly MapReport[];
  /** Where they were asked for. */
  readonly coverage?: readonly FileCoverage[];
  readonly profile?: readonly ProfileLine[];
}

/** Entries of one map that people are shown. */
const SHOWN = 8;
const WIDTH_MAX = 60;

/** 64-bit numbers are JSON numbers where they are exact, texts beyond 2^53. */
export function toJson(report: RunReport): string {
  return JSON.stringify(
    report,
    (_, value: unknown) => {
      if (typeof value !== "bigint") return value;
      const number = Number(value);
      return Number.isSafeInteger(number) ? number : value.toString();
    },
    2,
  );
}

/** `nameOf` gives the name of a return value, such as XDP_PASS, where it has one; `did` tells what the program did. */
export function toText(
  report: RunReport,
  nameOf: (retval: number) => string | undefined,
  did: readonly string[],
): string {
  const { program, runs, returns, host, engine, whyInterpreted } = report;
  const counts = Object.entries(returns).map(([value, n]) => `${n} x ${nameOf(Number(value)) ?? value}`);
  const lines = [
    `${program.name} (${program.section}) on the ${host} host, ${engine}: ${runs} ${runs === 1 ? "run" : "runs"}`,
    ...(whyInterpreted === undefined ? [] : [`interpreted: ${whyInterpreted}`]),
    `returned ${counts.join(", ") || "nothing"}`,
    ...rateText(report),
  ];
  lines.push(...did);
  for (const map of report.maps) lines.push("", ...mapText(map));
  return lines.join("\n");
}

function rateText({ runs, milliseconds, packetsPerSecond }: RunReport): string[] {
  if (milliseconds === undefined || packetsPerSecond === undefined || runs === 0) return [];
  const rate = packetsPerSecond.toLocaleString("en");
  return [`${rate} packets a second: ${milliseconds.toFixed(1)} ms of running, without reading the capture`];
}

function mapText(map: MapReport): string[] {
  const { entries } = map;
  const many = entries.length === 1 ? "entry" : "entries";
  const title = `${map.name}  ${map.type}, ${entries.length} ${many} of ${map.maxEntries}`;
  if (map.type === "ringbuf")
    return withRows(`${map.name}  ringbuf, ${entries.length} records, ${map.maxEntries} bytes`, map);
  if (map.type === "bloom_filter")
    return [`${map.name}  bloom_filter for ${map.maxEntries} values, which it cannot list`];
  return withRows(title, map);
}

function withRows(title: string, map: MapReport): string[] {
  const { entries } = map;
  // An array's elements are always there; those that nobody wrote say nothing.
  const told = map.type.endsWith("array") ? entries.filter((e) => !isZero(e)) : entries;
  const rows = told
    .slice(0, SHOWN)
    .map(({ value, formatted }) => [
      ...(formatted.key === undefined ? [] : [inline(formatted.key)]),
      inline(Array.isArray(value) ? summed(formatted.value as readonly BtfValue[]) : formatted.value),
    ]);
  const widths = (rows[0] ?? []).map((_, i) => Math.min(WIDTH_MAX, Math.max(...rows.map((row) => row[i]!.length))));
  const lines = rows.map((row) => `  ${row.map((cell, i) => cell.padEnd(widths[i]!)).join("  ")}`.trimEnd());
  if (told.length > SHOWN) lines.push(`  ... and ${told.length - SHOWN} more (--json has all)`);
  if (told.length < entries.length) lines.push(`  (${entries.length - told.length} elements are zero)`);
  return [title, ...lines];
}

function isZero(entry: EntryReport): boolean {
  return [entry.value].flat().every((hex) => /^0*$/.test(hex));
}

/** One value a CPU is shown as their sum where it has one. */
function summed(values: readonly BtfValue[]): BtfValue {
  return sum(values) ?? values;
}

function isList(value: BtfValue): value is readonly BtfValue[] {
  return Array.isArray(value);
}

/** Addresses, hashes and names without text: easier to read as hex. */
function looksLikeBytes(list: readonly BtfValue[]): list is readonly number[] {
  return list.length >= 4 && list.every((v) => typeof v === "number" && Number.isInteger(v) && v >= 0 && v <= 255);
}

function sum(values: readonly BtfValue[]): BtfValue | undefined {
  const [first] = values;
  if (typeof first === "number") return (values as number[]).reduce((a, b) => a + b, 0);
  if (typeof first === "bigint") return (values as bigint[]).reduce((a, b) => a + b, 0n);
  if (typeof first !== "object" || isList(first)) return undefined;
  const out: Record<string, BtfValue> = {};
  for (const name of Object.keys(first)) {
    const each = sum(values.map((v) => (v as Record<string, BtfValue>)[name]!));
    if (each === undefined) return undefined;
    out[name] = each;
  }
  return out;
}

/** A value in one line: `{ packets: 3, bytes: 180 }`. */
function inline(value: BtfValue): string {
  if (isList(value)) return looksLikeBytes(value) ? toHex(Uint8Array.from(value)) : `[${value.map(inline).join(", ")}]`;
  if (typeof value === "object") {
    const parts = Object.entries(value).map(([name, v]) => `${name}: ${inline(v)}`);
    return parts.length === 0 ? "{}" : `{ ${parts.join(", ")} }`;
  }
  return typeof value === "string" ? value : String(value);
}
