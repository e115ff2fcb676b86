/** `bpfmaps run`: load an object, run a program on packets, tell what its maps hold. */
import { basename } from "node:path";
import type { BpfHost } from "../api/bpf_host.ts";
import type { TargetBtf } from "../api/core_target.ts";
import { createEmbedded } from "../api/embedded.ts";
import type { RanOn } from "../api/engine.ts";
import { BpfError, RunFault } from "../api/error.ts";
import { toHex } from "../api/hex.ts";
import { openKernel } from "../api/kernel.ts";
import type { LoadedObject } from "../api/loaded_object.ts";
import type { Program } from "../api/program.ts";
import type { RunOptions as ProgramInput, RunResult } from "../api/run.ts";
import { formatValue, parseBtf } from "../btf/index.ts";
import { type ObjectSpec, parseObject } from "../elf/index.ts";
import { InputError } from "../errors.ts";
import type { EmbeddedOptions } from "../host/embedded.ts";
import { actionNames } from "../uapi/index.ts";
import { Events } from "./events.ts";
import { fillMaps } from "./fill.ts";
import { dumpMap, type RawEntry } from "./map_dump.ts";
import { parseRunOptions, type RunOptions } from "./options.ts";
import { framesOf, inFile, readInput } from "./packets.ts";
import { type EntryReport, type MapReport, type RunReport, type StopReport, toJson, toText } from "./report.ts";
import { Watch } from "./watch.ts";

/** Runs between two lines of progress. */
const PROGRESS_EVERY = 50_000;

export async function runCommand(args: readonly string[]): Promise<void> {
  const options = parseRunOptions(args);
  const bytes = readInput(options.object);
  // As libbpf names it: its data sections' maps are called after the file.
  const [name = ""] = basename(options.object).split(".");
  const spec = inFile(options.object, () => parseObject(bytes, { name }));
  const wanted = pickProgram(spec, options);
  const host = options.host === "kernel" ? openKernel() : createEmbedded(embeddedOptions(options));
  try {
    // A trial run neither leaves pins behind nor works on maps that others have pinned.
    const unpinned = ({ maps }: ObjectSpec): void => {
      for (const map of maps) map.pinning = "none";
    };
    const watch = new Watch(host, options);
    const object = host.loadObject(bytes, {
      name,
      programs: programsFor(spec, wanted),
      edit: unpinned,
      ...targetOf(options),
      ...(options.kconfig === undefined ? {} : { kconfig: new TextDecoder().decode(readInput(options.kconfig)) }),
    });
    if (options.fill !== undefined) fillMaps(host, object, options.fill);
    const program = object.program(wanted.name);
    const events = new Events(object.maps);
    const outcome = watched(watch, () => runAll(program, options, events));
    const { runs, returns, data, ctx, ctxChanged, fault } = outcome;
    const report: RunReport = {
      object: options.object,
      host: options.host,
      ...engineReport(outcome.ran ?? { engine: host.engine, whyInterpreted: undefined }),
      program: { name: wanted.name, section: wanted.section, type: program.type },
      runs,
      returns,
      dataOut: toHex(data),
      ...(ctx === undefined ? {} : { ctxOut: toHex(ctx) }),
      events: events.list(),
      ...(fault === undefined ? {} : { stopped: stopReport(runs + 1, fault) }),
      maps: object.spec.maps.map((map) => reportMap(host, object, map)),
      ...watch.seen(),
    };
    const did = [...(ctxChanged ? [`left the context ${toHex(ctx!)}`] : []), ...events.lines()];
    const text = () => toText(report, (retval) => actionNames[wanted.type ?? 0]?.[retval], did) + watch.text();
    console.log(options.json ? toJson(report) : text());
    if (fault !== undefined) throw fault;
  } finally {
    host.close();
  }
}

function embeddedOptions({ cpus, engine }: RunOptions): EmbeddedOptions {
  return { ...(cpus === undefined ? {} : { cpus }), ...(engine === undefined ? {} : { engine }) };
}

function engineReport({ engine, whyInterpreted }: RanOn): Pick<RunReport, "engine" | "whyInterpreted"> {
  return { engine, ...(whyInterpreted === undefined ? {} : { whyInterpreted }) };
}

/** The types that `--btf` names. */
function targetOf({ btf }: RunOptions): { targetBtf?: TargetBtf } {
  if (btf === undefined) return {};
  if (btf === "self") return { targetBtf: btf };
  const bytes = readInput(btf);
  return { targetBtf: inFile(btf, () => parseBtf(bytes)) };
}

function pickProgram(spec: ObjectSpec, options: RunOptions): ObjectSpec["programs"][number] {
  const { programs } = spec;
  const names = programs.map((p) => p.name).join(", ");
  if (programs.length === 0) throw new InputError(`${options.object}: there is no program in it`);
  if (options.prog === undefined) {
    const [only, second] = programs;
    if (second !== undefined) throw new InputError(`${options.object}: which program? --prog NAME, one of ${names}`);
    return only!;
  }
  const found = programs.find((p) => p.name === options.prog);
  if (found === undefined)
    throw new InputError(`${options.object}: there is no program ${options.prog}: it has ${names}`);
  return found;
}

/** The program, and those that the object's prog arrays hold from the beginning: it may go on in them. */
function programsFor({ maps }: ObjectSpec, wanted: ObjectSpec["programs"][number]): string[] {
  const slots = maps.flatMap((map) => map.slots ?? []).filter(({ kind }) => kind === "program");
  return [...new Set([wanted.name, ...slots.map(({ name }) => name)])];
}

/** What was seen counts when a run fails, too. */
function watched<T>(watch: Watch, runs: () => T): T {
  try {
    return runs();
  } finally {
    watch.end();
  }
}

interface Outcome {
  /** Those that came to their end. */
  readonly runs: number;
  readonly returns: Readonly<Record<string, number>>;
  /** Packet and context as the last run left them. */
  readonly data: Uint8Array;
  readonly ctx: Uint8Array | undefined;
  readonly ctxChanged: boolean;
  /** What ran it; undefined: there was no run. */
  readonly ran: RanOn | undefined;
  /** What ended the runs early. */
  readonly fault: RunFault | undefined;
}

/**
 * Each packet `repeat` times, one run after the other, so that every return value is seen. A run that is stopped is the
 * last one.
 */
function runAll(program: Program, options: RunOptions, events: Events): Outcome {
  const { args } = options;
  const ctx = options.ctx === undefined ? undefined : readInput(options.ctx);
  const context = { ...(ctx === undefined ? {} : { ctx }), ...(args === undefined ? {} : { args }) };
  const returns = new Map<number, number>();
  let runs = 0;
  let fault: RunFault | undefined;
  let ran: RanOn | undefined;
  let last: Pick<RunResult, "data" | "ctx"> = { data: undefined, ctx: undefined };
  for (const { data, number } of packetsOf(options)) {
    const result = runOne(program, { ...context, ...(data === undefined ? {} : { data }) }, number);
    events.add(runs + 1, result.events);
    ran = result;
    if (result instanceof RunFault) {
      fault = result;
      break;
    }
    runs++;
    returns.set(result.retval, (returns.get(result.retval) ?? 0) + 1);
    last = result;
    if (runs % PROGRESS_EVERY === 0 && process.stderr.isTTY) process.stderr.write(`\r${runs} runs`);
  }
  if (runs >= PROGRESS_EVERY && process.stderr.isTTY) process.stderr.write("\r\x1b[K");
  const { data = new Uint8Array(0), ctx: left } = last;
  const ctxChanged = left !== undefined && ctx !== undefined && toHex(left) !== toHex(ctx);
  return { runs, returns: Object.fromEntries(returns), data, ctx: left, ctxChanged, ran, fault };
}

interface Packet {
  /** Undefined for a run without a packet. */
  readonly data: Uint8Array | undefined;
  /** In the capture, from 1. */
  readonly number: number;
}

function* packetsOf({ pcap, data, repeat }: RunOptions): Generator<Packet, void, undefined> {
  const packets = pcap === undefined ? [data === undefined ? undefined : readInput(data)] : framesOf(pcap);
  let number = 0;
  for (const packet of packets) {
    number++;
    for (let i = 0; i < repeat; i++) yield { data: packet, number };
  }
}

function runOne(program: Program, input: ProgramInput, number: number): RunResult | RunFault {
  const { data } = input;
  try {
    return program.run(input);
  } catch (error) {
    if (error instanceof BpfError && data !== undefined)
      error.message = `packet ${number} (${data.length} bytes): ${error.message}`;
    if (error instanceof RunFault) return error;
    throw error;
  }
}

function stopReport(run: number, { code, stopped }: RunFault): StopReport {
  const { address, insn, code: instruction, source, what } = stopped;
  return {
    run,
    errno: code,
    insn,
    instruction,
    ...(source === "" ? {} : { source }),
    ...(address === undefined ? {} : { address: `0x${address.toString(16)}` }),
    text: what,
  };
}

function reportMap(host: BpfHost, object: LoadedObject, spec: ObjectSpec["maps"][number]): MapReport {
  const map = object.map(spec.name);
  const { info } = map;
  const { btf } = object.spec;
  const format = (typeId: number | undefined, bytes: Uint8Array) =>
    btf === undefined || typeId === undefined || typeId === 0 ? toHex(bytes) : formatValue(btf, typeId, bytes);
  const entry = ({ key, value }: RawEntry): EntryReport => ({
    ...(key === undefined ? {} : { key: toHex(key) }),
    value: value instanceof Uint8Array ? toHex(value) : value.map(toHex),
    formatted: {
      ...(key === undefined ? {} : { key: format(spec.keyTypeId, key) }),
      value:
        value instanceof Uint8Array
          ? format(spec.valueTypeId, value)
          : value.map((slot) => format(spec.valueTypeId, slot)),
    },
  });
  return {
    name: spec.name,
    type: info.type,
    keySize: info.keySize,
    valueSize: info.valueSize,
    maxEntries: info.maxEntries,
    flags: info.flags,
    entries: dumpMap(host, map).map(entry),
  };
}
