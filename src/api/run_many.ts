/** Batches of packets: `program.runMany`. */
import type { BatchResult } from "../cmd/run_batch.ts";
import { InputError } from "../errors.ts";
import type { RunEvent } from "../kern/scene.ts";
import { EOPNOTSUPP } from "../uapi/index.ts";
import type { HostContext } from "./context.ts";
import { type RanOn, ranOn } from "./engine.ts";
import { BpfError } from "./error.ts";
import { PacketList } from "./packet_list.ts";
import { CHUNK_BYTES, CHUNK_COUNT, PacketStage, WORD } from "./packet_stage.ts";
import { progTypeName, runsOnPackets } from "./prog_types.ts";
import type { Runner, RunTarget } from "./run.ts";

export interface RunManyOptions {
  /** Whether the packets are wanted as the program left them. Default false. */
  readonly packets?: boolean;
  /** How often the program is run on each packet, as `run` does with `repeat`. Default 1. */
  readonly repeat?: number;
  /** The CPU that all of them run on. Only on embedded hosts. */
  readonly cpu?: number;
  /**
   * What happens at a packet whose run is stopped, or that the host refuses. `continue`, the default: it is noted in
   * `failures`, and the next one is run. `stop`: it is the last one.
   */
  readonly onFailure?: "continue" | "stop";
}

/** A packet that the program was not run on to its end. */
export interface PacketFailure {
  /** Which, counted from 0. */
  readonly packet: number;
  /** A `RunFault` when the program was stopped, which may have changed maps; or why the host refused the packet. */
  readonly error: BpfError;
}

/** What the program did to the outside at one packet. */
export interface PacketEvent {
  /** Which, counted from 0. */
  readonly packet: number;
  readonly event: RunEvent;
}

export interface RunManyResult extends RanOn {
  /** Packets that were run, with those that failed. */
  readonly count: number;
  /** What the program returned for each of them, 0 to 2^32 - 1; 0 where it failed. */
  readonly retvals: Uint32Array;
  /** How often it returned what, without those that failed. */
  readonly counts: ReadonlyMap<number, number>;
  readonly failures: readonly PacketFailure[];
  /** The packets afterwards, of no bytes where it failed; undefined when they were not asked for. */
  readonly packets: PacketList | undefined;
  /** On embedded hosts; of each packet the first 10,000. */
  readonly events: readonly PacketEvent[];
  /** Milliseconds that all of it took. */
  readonly milliseconds: number;
}

/** Return values that are counted without a map: verdicts are small. */
const SMALL = 64;
/** So many are looked at together: whether they are the same, as most are. */
const STEP = 8;

/** One program's batches. Memory for one of them is kept from call to call. */
export class ManyRunner {
  readonly #context: HostContext;
  readonly #target: RunTarget;
  readonly #runner: Runner;
  #idle: PacketStage | undefined;
  #closed = false;

  constructor(context: HostContext, target: RunTarget, runner: Runner) {
    this.#context = context;
    this.#target = target;
    this.#runner = runner;
  }

  run(packets: Iterable<Uint8Array>, options: RunManyOptions, stderr: () => string): RunManyResult {
    const { type, title } = this.#target;
    const { seam } = this.#context;
    const { cpu, repeat = 1, onFailure = "continue" } = options;
    if (!runsOnPackets(type)) {
      throw new InputError(`runMany ${title}: programs of type ${progTypeName(type)} are not run on packets`);
    }
    if (!(Number.isInteger(repeat) && repeat >= 1 && repeat <= 0xffff_ffff)) {
      throw new InputError(`runMany: repeat is ${repeat}, expected a whole number from 1 to 2^32 - 1`);
    }
    if (onFailure !== "continue" && onFailure !== "stop") {
      throw new InputError(`runMany: onFailure is ${JSON.stringify(onFailure)}, expected "continue" or "stop"`);
    }
    if (cpu === undefined) return this.#run(packets, options, stderr);
    if (seam.onCpu === undefined) {
      throw new InputError(`runMany ${title}: cpu: only embedded hosts have this option (createEmbedded())`);
    }
    if (!(Number.isInteger(cpu) && cpu >= 0 && cpu < seam.possibleCpus)) {
      throw new InputError(`runMany: cpu is ${cpu}, expected one of the host's, 0 to ${seam.possibleCpus - 1}`);
    }
    return seam.onCpu(cpu, () => this.#run(packets, options, stderr));
  }

  #run(packets: Iterable<Uint8Array>, options: RunManyOptions, stderr: () => string): RunManyResult {
    // The caller's iterator may call this again.
    const stage = this.#idle ?? new PacketStage(this.#context);
    this.#idle = undefined;
    stage.clear();
    try {
      const batches = new Batches(this.#context, this.#target, this.#runner, stage, options, stderr);
      return batches.run(packets);
    } finally {
      if (this.#closed || this.#idle !== undefined) stage.free();
      else this.#idle = stage;
    }
  }

  close(): void {
    this.#closed = true;
    this.#idle?.free();
    this.#idle = undefined;
  }
}

/** One call: packets come in, are run by chunks, and their results are collected. */
class Batches {
  readonly #context: HostContext;
  readonly #target: RunTarget;
  readonly #runner: Runner;
  readonly #stage: PacketStage;
  readonly #repeat: number;
  readonly #stops: boolean;
  readonly #stderr: () => string;
  #packets: PacketList | undefined;
  readonly #failures: PacketFailure[] = [];
  readonly #events: PacketEvent[] = [];
  #retvals = new Uint32Array(0);
  /** Packets of chunks that are done. */
  #done = 0;
  #stopped = false;

  constructor(
    context: HostContext,
    target: RunTarget,
    runner: Runner,
    stage: PacketStage,
    { packets = false, repeat = 1, onFailure = "continue" }: RunManyOptions,
    stderr: () => string,
  ) {
    this.#context = context;
    this.#target = target;
    this.#runner = runner;
    this.#stage = stage;
    this.#repeat = repeat;
    this.#stops = onFailure === "stop";
    this.#stderr = stderr;
    this.#packets = packets ? new PacketList() : undefined;
  }

  run(packets: Iterable<Uint8Array>): RunManyResult {
    const start = performance.now();
    if (packets instanceof PacketList) {
      this.#retvals = new Uint32Array(packets.length);
      if (this.#packets !== undefined) {
        const { length, bytes } = packets;
        this.#packets = new PacketList({ packets: length, bytes: bytes.length });
      }
      this.#addList(packets);
    } else {
      for (const packet of packets) {
        this.#add(packet);
        if (this.#stopped) break;
      }
    }
    this.#flushGathered();
    const count = this.#done;
    const { seam } = this.#context;
    // Written out, not spread: V8 makes the shape of a spread object anew each time.
    const { engine, whyInterpreted } = count > 0 ? ranOn(seam) : { engine: seam.engine, whyInterpreted: undefined };
    return {
      count,
      retvals: this.#retvals.subarray(0, count),
      counts: this.#counts(),
      failures: this.#failures,
      packets: this.#packets,
      events: this.#events,
      engine,
      whyInterpreted,
      milliseconds: performance.now() - start,
    };
  }

  #add(packet: Uint8Array): void {
    const stage = this.#stage;
    if (stage.count === CHUNK_COUNT || stage.length + packet.length > CHUNK_BYTES) this.#flushGathered();
    if (packet.length > CHUNK_BYTES) {
      if (!this.#stopped) this.#runAlone(packet);
      return;
    }
    stage.gathered.set(packet, stage.length);
    stage.length += packet.length;
    stage.ends[stage.count++] = stage.length;
  }

  /** As `add` for each, by as many at a time as there is room for. */
  #addList(list: PacketList): void {
    const { bytes, ends, length } = list;
    const stage = this.#stage;
    for (let first = 0; first < length && !this.#stopped; ) {
      const start = list.startOf(first);
      const last = Math.min(length, first + CHUNK_COUNT);
      const next = first + countUpTo(ends.subarray(first, last), start + CHUNK_BYTES);
      if (next === first) {
        this.#runAlone(list.at(first++)!);
        continue;
      }
      stage.base = start;
      stage.count = next - first;
      stage.length = ends[next - 1]! - start;
      stage.ends.set(ends.subarray(first, next));
      stage.at = (bytes.byteOffset + start) % WORD;
      stage.bytes.set(bytes.subarray(start, start + stage.length), stage.at);
      this.#flush();
      first = next;
    }
  }

  #flushGathered(): void {
    const { bytes, gathered, length } = this.#stage;
    if (gathered !== bytes) bytes.set(gathered.subarray(0, length));
    this.#flush();
  }

  /** Runs what is in the stage. */
  #flush(): void {
    const stage = this.#stage;
    const { count } = stage;
    for (let first = 0; first < count && !this.#stopped; ) {
      const result = this.#repeat === 1 ? this.#runPackets(first) : -EOPNOTSUPP;
      if (typeof result === "number") {
        if (result !== -EOPNOTSUPP) throw this.#runner.failure(-result, {}, undefined, this.#stderr);
        while (first < count && !this.#stopped) this.#runAlone(stage.packet(first++));
        break;
      }
      const { next, errno, last } = result;
      const before = next - first;
      const events = this.#take(first, result);
      first = next;
      if (last !== undefined) {
        this.#takeOne(last.retval, last.data, events);
        first++;
      } else if (errno !== 0) {
        this.#fail(this.#runner.failure(-errno, { data: stage.packet(first++) }, undefined, this.#stderr, events));
      } else if (before === 0) {
        this.#runAlone(stage.packet(first++));
      }
    }
    stage.clear();
  }

  #runPackets(first: number): BatchResult | number {
    const { seam } = this.#context;
    const stage = this.#stage;
    if (seam.runPackets === undefined) return -EOPNOTSUPP;
    if (this.#packets !== undefined) stage.outAt = this.#packets.startOf(this.#packets.length) % WORD;
    return seam.runPackets(this.#target.fd, {
      data: stage.addressOf(stage.bytes) + stage.at,
      bytes: stage.length,
      base: stage.base,
      ends: stage.addressOf(stage.ends),
      count: stage.count,
      first,
      retvals: stage.addressOf(stage.retvals),
      out: this.#packets === undefined ? 0 : stage.addressOf(stage.out) + stage.outAt,
      outRoom: stage.out.length - stage.outAt,
      outEnds: stage.addressOf(stage.outEnds),
    });
  }

  /** Collects the results of the packets from `first` on. The events of the one behind them, that was stopped. */
  #take(first: number, { next, events, eventPackets }: BatchResult): RunEvent[] {
    const { retvals, out, outAt, outEnds } = this.#stage;
    const before = this.#done;
    if (next > first) {
      this.#grow(next - first);
      this.#retvals.set(retvals.subarray(first, next), before);
      this.#packets?.append(out.subarray(outAt, outAt + outEnds[next - 1]!), outEnds.subarray(first, next));
      this.#done += next - first;
    }
    const rest: RunEvent[] = [];
    for (const [i, event] of events.entries()) {
      const packet = eventPackets[i]!;
      if (packet < next) this.#events.push({ packet: before + packet - first, event });
      else rest.push(event);
    }
    return rest;
  }

  /** By the command for one. */
  #runAlone(data: Uint8Array): void {
    try {
      const { retval, data: after, events } = this.#runner.run({ data, repeat: this.#repeat }, this.#stderr);
      this.#takeOne(retval, after!, events);
    } catch (error) {
      if (!(error instanceof BpfError)) throw error;
      this.#fail(error);
    }
  }

  #takeOne(retval: number, packet: Uint8Array, events: readonly RunEvent[]): void {
    for (const event of events) this.#events.push({ packet: this.#done, event });
    this.#packets?.push(packet);
    this.#grow(1);
    this.#retvals[this.#done++] = retval;
  }

  #fail(error: BpfError): void {
    this.#failures.push({ packet: this.#done, error });
    this.#packets?.push(new Uint8Array(0));
    this.#grow(1);
    this.#retvals[this.#done++] = 0;
    this.#stopped = this.#stops;
  }

  #grow(more: number): void {
    const wanted = this.#done + more;
    if (wanted <= this.#retvals.length) return;
    const wider = new Uint32Array(Math.max(wanted, this.#retvals.length * 2));
    wider.set(this.#retvals);
    this.#retvals = wider;
  }

  #counts(): Map<number, number> {
    const small = new Int32Array(SMALL);
    const large = new Map<number, number>();
    const done = this.#done;
    // Numbers with a sign are integers to V8.
    const retvals = new Int32Array(this.#retvals.buffer, 0, done);
    const add = (from: number, to: number): void => {
      for (let i = from; i < to; i++) {
        const retval = retvals[i]! >>> 0;
        if (retval < SMALL) small[retval]!++;
        else large.set(retval, (large.get(retval) ?? 0) + 1);
      }
    };
    const whole = done - (done % STEP);
    for (let i = 0; i < whole; i += STEP) {
      const first = retvals[i]!;
      const others =
        (retvals[i + 1]! ^ first) |
        (retvals[i + 2]! ^ first) |
        (retvals[i + 3]! ^ first) |
        (retvals[i + 4]! ^ first) |
        (retvals[i + 5]! ^ first) |
        (retvals[i + 6]! ^ first) |
        (retvals[i + 7]! ^ first);
      if (others === 0 && first >>> 0 < SMALL) small[first]! += STEP;
      else add(i, i + STEP);
    }
    add(whole, done);
    small[0]! -= this.#failures.length;
    const counts = new Map<number, number>();
    for (let retval = 0; retval < SMALL; retval++) if (small[retval]! > 0) counts.set(retval, small[retval]!);
    if (large.size > 0) for (const [retval, count] of [...large].sort(([a], [b]) => a - b)) counts.set(retval, count);
    return counts;
  }
}

/** How many of the ends, which grow, are not beyond `limit`. */
function countUpTo(ends: Uint32Array, limit: number): number {
  let [low, high] = [0, ends.length];
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (ends[middle]! <= limit) low = middle + 1;
    else high = middle;
  }
  return low;
}
