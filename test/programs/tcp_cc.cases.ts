import { expect } from "vitest";
import type { RunOptions } from "../../src/index.ts";
import type { ProgramCase } from "./cases.ts";
import { btfOf, type Layout, place } from "./layouts.ts";
import { vmlinuxLike } from "./vmlinux.ts";

const why = "the kernel runs them for sockets alone";

/** A connection is both: one begins with the other. */
const layout: Layout = {
  inet_connection_sock: { size: 512, fields: { icsk_ca_priv: ["u64[13]", 208] } },
  tcp_sock: {
    size: 512,
    fields: {
      snd_cwnd_cnt: ["u32", 320],
      snd_cwnd: ["u32", 352],
      packets_out: ["u32", 360],
      snd_ssthresh: ["u32", 400],
      snd_cwnd_clamp: ["u32", 404],
    },
  },
  ack_sample: { size: 16, fields: { pkts_acked: ["u32", 0], rtt_us: ["int", 8] } },
};
const kernelBtf = btfOf(layout, {
  ops: {
    tcp_congestion_ops: {
      init: ["void", "pointer"],
      undo_cwnd: ["u32", "pointer"],
      ssthresh: ["u32", "pointer"],
      cong_avoid: ["void", "pointer", "u32", "u32"],
      pkts_acked: ["void", "pointer", "pointer"],
      set_state: ["void", "pointer", "u8"],
    },
  },
});

const callbacks = ["begin", "threshold", "grow", "undo", "changed", "acked"];
const SOCKET = 0xffff_8881_0001_0000n;
const SAMPLE = 0xffff_8881_0002_0000n;
const LOSS = 4;

interface Connection {
  readonly snd_cwnd: number;
  readonly snd_cwnd_cnt: number;
  readonly snd_cwnd_clamp: number;
  readonly snd_ssthresh: number;
  readonly packets_out: number;
  /** What the program remembers: window before, least round trip, losses, begun. */
  readonly state: readonly number[];
}

const fresh: Connection = {
  snd_cwnd: 10,
  snd_cwnd_cnt: 0,
  snd_cwnd_clamp: 1000,
  snd_ssthresh: 100,
  packets_out: 10,
  state: [0, 0, 0, 1],
};

/** The connection in memory, and what it is like later. */
class Socket {
  readonly memory: { readonly address: bigint; readonly bytes: Uint8Array; readonly writable: true };
  readonly #types: Layout;
  readonly #first: Uint8Array;

  constructor(types: Layout, begin: Partial<Connection>) {
    const { state, ...fields } = { ...fresh, ...begin };
    const { bytes } = place(types, "tcp_sock", SOCKET, fields);
    new Uint32Array(bytes.buffer).set(state, this.#state(types));
    this.memory = { address: SOCKET, bytes, writable: true };
    this.#types = types;
    this.#first = bytes.slice();
  }

  /** The word where it begins. */
  #state(types: Layout): number {
    return types.inet_connection_sock!.fields.icsk_ca_priv![1] / 4;
  }

  reset(): void {
    this.memory.bytes.set(this.#first);
  }

  now(): Connection {
    const words = new Uint32Array(this.memory.bytes.buffer);
    const at = this.#state(this.#types);
    const { fields } = this.#types.tcp_sock!;
    const numbers = Object.entries(fields).map(([name, [, offset]]) => [name, words[offset / 4]]);
    return { ...(Object.fromEntries(numbers) as Omit<Connection, "state">), state: [...words.subarray(at, at + 4)] };
  }
}

interface Step {
  readonly name: string;
  readonly program: string;
  readonly begin?: Partial<Connection>;
  /** Arguments behind the socket, of each run. */
  readonly runs?: readonly (readonly (number | bigint)[])[];
  readonly more?: RunOptions["memory"];
  /** What has changed. */
  readonly end?: Partial<Connection>;
  readonly retval?: number;
  readonly expect?: Partial<ProgramCase["expect"]>;
  readonly load?: ProgramCase["load"];
}

/** Runs of a callback on one connection. */
function on(
  { begin = {}, end = {}, runs = [[]], more = [], ...step }: Step,
  types = layout,
  btf = kernelBtf,
): ProgramCase {
  const socket = new Socket(types, begin);
  return {
    name: step.name,
    program: step.program,
    kernel: "load",
    why,
    kernelBtf: btf,
    // Of a struct that is not made by itself, programs load where they are named.
    load: { programs: callbacks, ...step.load },
    before: () => socket.reset(),
    runs: runs.map((args) => ({ args: [SOCKET, ...args], memory: [socket.memory, ...more] })),
    expect: {
      ...(step.retval === undefined ? {} : { retval: step.retval }),
      ...step.expect,
      after: () => expect(socket.now()).toEqual({ ...fresh, ...begin, ...end }),
    },
  };
}

const sample = (acked: number, rtt: number): NonNullable<RunOptions["memory"]> => [
  place(layout, "ack_sample", SAMPLE, { pkts_acked: acked, rtt_us: rtt }),
];
const trips = (slot: number, acked: bigint): bigint[] =>
  Array.from({ length: 16 }, (_, i) => (i === slot ? acked : 0n));

const slowStart: Step = {
  name: "slow start: as many more as were acknowledged, up to the threshold; then the rest counts",
  program: "grow",
  begin: { snd_cwnd: 96, packets_out: 96 },
  // Acknowledged up to, how many.
  runs: [[1000, 10]],
  end: { snd_cwnd: 100, snd_cwnd_cnt: 6 },
};
const real = vmlinuxLike(layout);

export const cases: readonly ProgramCase[] = [
  on({
    name: "a connection begins",
    program: "begin",
    begin: { state: [9, 9, 9, 9] },
    end: { state: [0, 0, 0, 1] },
    expect: { globals: { connections: 1n } },
  }),
  on(slowStart),
  ...(real === undefined
    ? []
    : [on({ ...slowStart, name: "the same in the types of the kernel that runs here" }, real.layout, real.kernelBtf)]),
  on({
    name: "one more each round trip",
    program: "grow",
    begin: { snd_cwnd: 10, snd_ssthresh: 5, snd_cwnd_cnt: 7 },
    runs: [
      [1000, 2],
      [1002, 2],
    ],
    end: { snd_cwnd: 11, snd_cwnd_cnt: 1 },
  }),
  on({
    name: "no more than there may be",
    program: "grow",
    begin: { snd_cwnd: 20, snd_cwnd_clamp: 22 },
    runs: [[1000, 10]],
    end: { snd_cwnd: 22 },
  }),
  on({
    name: "a window that is not used does not grow",
    program: "grow",
    begin: { packets_out: 4 },
    runs: [[1000, 10]],
  }),
  on({
    name: "a loss leaves seven tenths, and what was before is remembered",
    program: "threshold",
    begin: { snd_cwnd: 50 },
    retval: 35,
    end: { state: [50, 0, 1, 1] },
    expect: { globals: { losses: 1n } },
  }),
  on({
    name: "or another part, but two at least",
    program: "threshold",
    load: { globals: { beta: 512 } },
    begin: { snd_cwnd: 3 },
    retval: 2,
    end: { state: [3, 0, 1, 1] },
  }),
  on({
    name: "a loss that was none: the window from before",
    program: "undo",
    begin: { snd_cwnd: 35, state: [50, 0, 1, 1] },
    retval: 50,
    expect: { globals: { undone: 1n } },
  }),
  on({
    name: "a timeout begins the count anew, other states do not",
    program: "changed",
    begin: { snd_cwnd_cnt: 7 },
    runs: [[1], [0x100 + LOSS]],
    end: { snd_cwnd_cnt: 0 },
  }),
  on({
    name: "round trips by powers of two of milliseconds; the least one is remembered",
    program: "acked",
    begin: { state: [0, 50_001, 0, 1] },
    runs: [[SAMPLE]],
    more: sample(3, 50_000),
    end: { state: [0, 50_000, 0, 1] },
    expect: { maps: { round_trips: trips(6, 3n) } },
  }),
  on({
    name: "no round trip was measured",
    program: "acked",
    runs: [[SAMPLE]],
    more: sample(3, -1),
    expect: { maps: { round_trips: trips(-1, 0n) } },
  }),
];
