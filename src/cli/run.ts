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
import { runsOnPackets } from "../api/prog_types.ts";
import type { Program } from "../api/program.ts";
import type { RunResult } from "../api/run.ts";
import { formatValue, parseBtf } from "../btf/index.ts";
import { type ObjectSpec, parseObject } from "../elf/index.ts";
import { InputError } from "../errors.ts";
import type { EmbeddedOptions } from "../host/embedded_options.ts";
import type { RunEvent } from "../kern/scene.ts";
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
/** Packets that are read before they are run. */
const CHUNK = 4096;

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
    const { runs, returns, data, ctx, ctxChanged, fault, milliseconds } = outcome;
    const report: RunReport = {
      object: options.object,
      host: options.host,
      ...engineReport(outcome.ran ?? { engine: host.engine, whyInterpreted: undefined }),
      program: { name: wanted.name, section: wanted.section, type: program.type },
      runs,
      returns,
      ...(milliseconds === undefined
        ? {}
        : { milliseconds, packetsPerSecond: Math.round((runs / milliseconds) * 1000) || 0 }),
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
  /** That the runs took, without reading the capture; undefined: there was none. */
  readonly milliseconds: number | undefined;
}

/** What is known of the runs so far. */
class Tally {
  readonly #returns = new Map<number, number>();
  readonly #events: Events;
  #told = 0;
  runs = 0;
  fault: RunFault | undefined;
  ran: RanOn | undefined;
  last: Pick<RunResult, "data" | "ctx"> = { data: undefined, ctx: undefined };

  constructor(events: Events) {
    this.#events = events;
  }

  /** `ahead`: how many runs later than the next it was. */
  event(event: RunEvent, ahead = 0): void {
    this.#events.add(this.runs + 1 + ahead, [event]);
  }

  returned(retval: number): void {
    this.runs++;
    this.#returns.set(retval, (this.#returns.get(retval) ?? 0) + 1);
    if (this.runs - this.#told < PROGRESS_EVERY || !process.stderr.isTTY) return;
    this.#told = this.runs;
    process.stderr.write(`\r${this.runs} runs`);
  }

  /** It is the last one. What stopped no run is thrown. */
  failed(error: unknown, packet: Packet): void {
    const { data, number } = packet;
    if (error instanceof BpfError && data !== undefined)
      error.message = `packet ${number} (${data.length} bytes): ${error.message}`;
    if (!(error instanceof RunFault)) throw error;
    this.ran = error;
    this.fault = error;
    for (const event of error.events) this.event(event);
  }

  outcome(ctx: Uint8Array | undefined, milliseconds: number | undefined): Outcome {
    if (this.#told > 0) process.stderr.write("\r\x1b[K");
    const { runs, ran, fault } = this;
    const { data = new Uint8Array(0), ctx: left } = this.last;
    const ctxChanged = left !== undefined && ctx !== undefined && toHex(left) !== toHex(ctx);
    const returns = Object.fromEntries(this.#returns);
    return { runs, returns, data, ctx: left, ctxChanged, ran, fault, milliseconds };
  }
}

/** Each packet `repeat` times, and every return value is seen. A run that is stopped is the last one. */
function runAll(program: Program, options: RunOptions, events: Events): Outcome {
  const { args, ctx } = options;
  const tally = new Tally(events);
  if (options.pcap !== undefined && ctx === undefined && args === undefined && runsOnPackets(program.type)) {
    return tally.outcome(undefined, runMany(program, options, tally));
  }
  const context = ctx === undefined ? undefined : readInput(ctx);
  const around = { ...(context === undefined ? {} : { ctx: context }), ...(args === undefined ? {} : { args }) };
  for (const packet of packetsOf(options)) {
    const { data } = packet;
    try {
      const result = program.run({ ...around, ...(data === undefined ? {} : { data }) });
      for (const event of result.events) tally.event(event);
      tally.ran = result;
      tally.last = result;
      tally.returned(result.retval);
    } catch (error) {
      tally.failed(error, packet);
      break;
    }
  }
  return tally.outcome(context, undefined);
}

/** The same for packets alone, many at a time. Returns the milliseconds that they took, once the program was compiled. */
function runMany(program: Program, options: RunOptions, tally: Tally): number {
  program.compile();
  let milliseconds = 0;
  for (const { packets, error } of chunksOf(packetsOf(options))) {
    const result = program.runMany(
      packets.map(({ data }) => data!),
      { packets: true, onFailure: "stop" },
    );
    milliseconds += result.milliseconds;
    const [failure] = result.failures;
    const done = result.count - result.failures.length;
    for (const { packet, event } of result.events) tally.event(event, packet);
    if (done > 0) {
      tally.ran = { engine: result.engine, whyInterpreted: result.whyInterpreted };
      tally.last = { data: result.packets!.at(done - 1), ctx: undefined };
    }
    for (const retval of result.retvals.subarray(0, done)) tally.returned(retval);
    if (failure !== undefined) {
      tally.failed(failure.error, packets[failure.packet]!);
      break;
    }
    // What comes before it in the capture was run.
    if (error !== undefined) throw error;
  }
  return milliseconds;
}

interface Chunk {
  readonly packets: readonly Packet[];
  /** Why there are no more. */
  readonly error?: unknown;
}

function* chunksOf(packets: Iterator<Packet>): Generator<Chunk, void, undefined> {
  for (;;) {
    const chunk: Packet[] = [];
    try {
      for (let next = packets.next(); !next.done; next = packets.next()) {
        if (chunk.push(next.value) === CHUNK) break;
      }
    } catch (error) {
      yield { packets: chunk, error };
      return;
    }
    if (chunk.length === 0) return;
    yield { packets: chunk };
  }
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
