/** The one error of bpf(2) calls made through the typed API. Below it there are numbers only. */
import type { HostEngine } from "../host/host.ts";
import type { RunEvent, StoppedAt } from "../kern/scene.ts";
import { bpfCmdNames, errnoName } from "../uapi/index.ts";
import type { RanOn } from "./engine.ts";

/** The map that a call was about. */
export interface ErrorMap {
  /** Empty for a map without a name. */
  readonly name: string;
  /** The kernel's name in lower case: `hash`, `lpm_trie`. */
  readonly type: string;
  /** 0: it was never created. */
  readonly id: number;
  readonly maxEntries: number;
}

/** What a `BpfError` is made of. */
export interface BpfErrorParts {
  /** The errno, positive or negative. */
  readonly errno: number;
  /** Number of the bpf(2) command, or the name of another call (`mmap`). */
  readonly cmd: number | string;
  /** One short line: what could not be done, with the numbers. */
  readonly what: string;
  readonly map?: ErrorMap | undefined;
  /** What to do about it. Only when it is sure. */
  readonly hint?: string | undefined;
  /** The verifier's log, or what the program's run left behind. */
  readonly log?: string | undefined;
  /** Lines of `log` that are worth showing at once. */
  readonly summary?: readonly string[] | undefined;
  /** More facts, a line each. */
  readonly facts?: readonly string[] | undefined;
  readonly cause?: unknown;
}

/**
 * A call of bpf(2), or one beside it, failed. The first line of `message` says what could not be done, then come the
 * call and its errno, then a hint where the cause is sure.
 *
 *     hash map `flows` is full: 4096 of 4096
 *       BPF_MAP_UPDATE_ELEM: E2BIG
 *       hint: use lru_hash, or raise maxEntries
 */
export class BpfError extends Error {
  override readonly name: string = "BpfError";
  /** Name of the errno: `E2BIG`. The kernel's own 524 is `ENOTSUPP`. */
  readonly code: string;
  /** The errno as a positive number, as in `errno.h`. */
  readonly errno: number;
  /** `BPF_MAP_UPDATE_ELEM`, or the name of another call (`mmap`). */
  readonly cmd: string;
  readonly map: ErrorMap | undefined;
  readonly hint: string | undefined;
  /** The verifier's log as a whole, or what a run left in the program's error stream. */
  readonly log: string | undefined;

  constructor(parts: BpfErrorParts) {
    const { map, hint, log, cause, summary = [], facts = [] } = parts;
    const errno = Math.abs(parts.errno);
    const code = errnoName(errno);
    const cmd = typeof parts.cmd === "string" ? parts.cmd : (bpfCmdNames[parts.cmd] ?? `bpf command ${parts.cmd}`);
    const lines = [parts.what, `  ${cmd}: ${code}`, ...facts.map((fact) => `  ${fact}`)];
    lines.push(...summary.map((line) => `  | ${line}`));
    if (hint !== undefined) lines.push(`  hint: ${hint}`);
    super(lines.join("\n"), cause === undefined ? {} : { cause });
    this.code = code;
    this.errno = errno;
    this.cmd = cmd;
    this.map = map;
    this.hint = hint;
    this.log = log;
  }
}

interface RunFaultParts extends BpfErrorParts, RanOn {
  readonly events: readonly RunEvent[];
  readonly stopped: StoppedAt;
}

/** A program was stopped on the embedded host: it did what it must not do, or spent its budget. */
export class RunFault extends BpfError implements RanOn {
  override readonly name: string = "RunFault";
  /** What it had done to the outside by then. */
  readonly events: readonly RunEvent[];
  /** At which instruction, and why; `message` and `log` have it in words. */
  readonly stopped: StoppedAt;
  readonly engine: HostEngine;
  readonly whyInterpreted: string | undefined;

  constructor(parts: RunFaultParts) {
    super(parts);
    this.engine = parts.engine;
    this.whyInterpreted = parts.whyInterpreted;
    this.events = parts.events;
    this.stopped = parts.stopped;
  }
}

/** How far a call with many elements came. */
export interface BulkProgress {
  readonly done: number;
  readonly index: number;
  readonly rest: readonly unknown[];
}

/**
 * `setMany` or `deleteMany` came to an element that failed. What was done before stays done, and nothing was lost:
 *
 *     try {
 *       flows.setMany(entries);
 *     } catch (error) {
 *       if (!(error instanceof BulkError) || error.code !== "E2BIG") throw error;
 *       console.warn(`${error.done} fit, no room from entry ${error.index} on`);
 *       later.push(...error.rest);
 *     }
 */
export class BulkError extends BpfError {
  override readonly name: string = "BulkError";
  /** Elements that were written or deleted. */
  readonly done: number;
  /** Which of the given ones failed, from 0: all before it were dealt with, it and those behind it were not. */
  readonly index: number;
  /** The key that failed. */
  readonly key: unknown;
  /** What was taken out of the caller's iterable and not dealt with, beginning with the one that failed: keys, or entries. */
  readonly rest: readonly unknown[];

  constructor(parts: BpfErrorParts & BulkProgress & { readonly key: unknown }) {
    super(parts);
    this.done = parts.done;
    this.index = parts.index;
    this.key = parts.key;
    this.rest = parts.rest;
  }
}
