/** Program types: how they are run, and their names. The names are the kernel's in lower case, without BPF_PROG_TYPE_. */
import {
  BPF_PROG_TYPE_CGROUP_SKB,
  BPF_PROG_TYPE_FLOW_DISSECTOR,
  BPF_PROG_TYPE_LSM,
  BPF_PROG_TYPE_LWT_IN,
  BPF_PROG_TYPE_LWT_OUT,
  BPF_PROG_TYPE_LWT_SEG6LOCAL,
  BPF_PROG_TYPE_LWT_XMIT,
  BPF_PROG_TYPE_NETFILTER,
  BPF_PROG_TYPE_RAW_TRACEPOINT,
  BPF_PROG_TYPE_RAW_TRACEPOINT_WRITABLE,
  BPF_PROG_TYPE_SCHED_ACT,
  BPF_PROG_TYPE_SCHED_CLS,
  BPF_PROG_TYPE_SK_LOOKUP,
  BPF_PROG_TYPE_SK_SKB,
  BPF_PROG_TYPE_SOCKET_FILTER,
  BPF_PROG_TYPE_STRUCT_OPS,
  BPF_PROG_TYPE_SYSCALL,
  BPF_PROG_TYPE_TRACING,
  BPF_PROG_TYPE_XDP,
  bpfProgTypeNames,
  EFAULT,
  EOPNOTSUPP,
} from "../uapi/index.ts";

const PREFIX = "BPF_PROG_TYPE_";

/** What the API knows of runs of one type of program. */
export interface RunTraits {
  /** Whether the kernel runs the program itself by BPF_PROG_TEST_RUN. */
  readonly testRun: boolean;
  /** What it runs on: a packet from its Ethernet header on, or any bytes of a stream. */
  readonly packet?: "ethernet" | "stream";
  /** Where a test run leaves the context: copied out, in the place where it came from, or nowhere. */
  readonly contextResult: "out" | "in place" | "none";
  /** The context is an array of u64: the arguments of what the program is attached to. */
  readonly takesArguments?: boolean;
  /** What an errno of a test run means for sure. */
  readonly reasons?: Readonly<Record<number, string>>;
}

const onPacket: RunTraits = { testRun: true, packet: "ethernet", contextResult: "out" };
const onArguments: RunTraits = { testRun: false, contextResult: "none", takesArguments: true };
const others: RunTraits = { testRun: false, contextResult: "none" };

const traits: Readonly<Record<number, RunTraits>> = {
  [BPF_PROG_TYPE_SOCKET_FILTER]: onPacket,
  [BPF_PROG_TYPE_SCHED_CLS]: onPacket,
  [BPF_PROG_TYPE_SCHED_ACT]: onPacket,
  [BPF_PROG_TYPE_XDP]: onPacket,
  [BPF_PROG_TYPE_CGROUP_SKB]: onPacket,
  [BPF_PROG_TYPE_LWT_IN]: onPacket,
  [BPF_PROG_TYPE_LWT_OUT]: onPacket,
  [BPF_PROG_TYPE_LWT_XMIT]: onPacket,
  [BPF_PROG_TYPE_NETFILTER]: onPacket,
  [BPF_PROG_TYPE_LWT_SEG6LOCAL]: { ...onPacket, testRun: false },
  [BPF_PROG_TYPE_SK_SKB]: { ...onPacket, testRun: false, packet: "stream" },
  [BPF_PROG_TYPE_FLOW_DISSECTOR]: { ...others, testRun: true },
  [BPF_PROG_TYPE_SK_LOOKUP]: { testRun: true, contextResult: "out" },
  [BPF_PROG_TYPE_SYSCALL]: { testRun: true, contextResult: "in place" },
  [BPF_PROG_TYPE_RAW_TRACEPOINT]: { ...onArguments, testRun: true },
  [BPF_PROG_TYPE_RAW_TRACEPOINT_WRITABLE]: onArguments,
  [BPF_PROG_TYPE_LSM]: onArguments,
  // Of these BPF_PROG_TEST_RUN runs others than the program itself.
  [BPF_PROG_TYPE_TRACING]: {
    ...onArguments,
    reasons: {
      [EFAULT]:
        "a test function did not return what it should, a program on one of them did what it must not do, or its attach type has no test run",
    },
  },
  [BPF_PROG_TYPE_STRUCT_OPS]: {
    ...onArguments,
    reasons: { [EOPNOTSUPP]: "of these programs the kernel can run those of struct bpf_dummy_ops" },
  },
};

export function runTraits(type: number): RunTraits {
  return traits[type] ?? others;
}

/** Whether programs of this type, by its number or name, are run on packets and nothing else is needed. */
export function runsOnPackets(type: number | string): boolean {
  const number = typeof type === "number" ? type : progTypeNumber(type);
  return number !== undefined && (runTraits(number).packet !== undefined || number === BPF_PROG_TYPE_FLOW_DISSECTOR);
}

/** `xdp` for BPF_PROG_TYPE_XDP; `type 99` for a number that has no name. */
export function progTypeName(type: number): string {
  const name = bpfProgTypeNames[type];
  return name === undefined ? `type ${type}` : name.slice(PREFIX.length).toLowerCase();
}

/** The number for such a name; undefined when there is none. */
export function progTypeNumber(name: string): number | undefined {
  const upper = PREFIX + name.toUpperCase();
  const found = Object.entries(bpfProgTypeNames).find(([, each]) => each === upper);
  return found === undefined ? undefined : Number(found[0]);
}
