/** Program types by name. The names are the kernel's in lower case, without BPF_PROG_TYPE_. */
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
} from "../uapi/index.ts";

const PREFIX = "BPF_PROG_TYPE_";

/** Types that a test run gives a packet. */
const packetTypes: ReadonlySet<number> = new Set([
  BPF_PROG_TYPE_SOCKET_FILTER,
  BPF_PROG_TYPE_SCHED_CLS,
  BPF_PROG_TYPE_SCHED_ACT,
  BPF_PROG_TYPE_XDP,
  BPF_PROG_TYPE_CGROUP_SKB,
  BPF_PROG_TYPE_LWT_IN,
  BPF_PROG_TYPE_LWT_OUT,
  BPF_PROG_TYPE_LWT_XMIT,
  BPF_PROG_TYPE_LWT_SEG6LOCAL,
  BPF_PROG_TYPE_SK_SKB,
  BPF_PROG_TYPE_NETFILTER,
]);

/** Whether a test run of this type works on a packet. */
export function runsOnPacket(type: number): boolean {
  return packetTypes.has(type);
}

/** Types with a packet that the kernel cannot run so. */
const withoutTestRun: ReadonlySet<number> = new Set([BPF_PROG_TYPE_LWT_SEG6LOCAL, BPF_PROG_TYPE_SK_SKB]);

/** Types that the kernel runs by BPF_PROG_TEST_RUN. Of the tracing types it runs others than the program itself. */
export function hasTestRun(type: number): boolean {
  return (
    (packetTypes.has(type) && !withoutTestRun.has(type)) ||
    type === BPF_PROG_TYPE_FLOW_DISSECTOR ||
    type === BPF_PROG_TYPE_RAW_TRACEPOINT ||
    type === BPF_PROG_TYPE_SK_LOOKUP ||
    type === BPF_PROG_TYPE_SYSCALL
  );
}

/** Types whose context is an array of u64: the arguments of what they are attached to. */
const argumentTypes: ReadonlySet<number> = new Set([
  BPF_PROG_TYPE_RAW_TRACEPOINT,
  BPF_PROG_TYPE_RAW_TRACEPOINT_WRITABLE,
  BPF_PROG_TYPE_TRACING,
  BPF_PROG_TYPE_LSM,
  BPF_PROG_TYPE_STRUCT_OPS,
]);

export function takesArguments(type: number): boolean {
  return argumentTypes.has(type);
}

/** Where a test run leaves the context: copied out, in the place where it came from, or nowhere. */
export function contextResult(type: number): "out" | "in place" | "none" {
  if (type === BPF_PROG_TYPE_SYSCALL) return "in place";
  return packetTypes.has(type) || type === BPF_PROG_TYPE_SK_LOOKUP ? "out" : "none";
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
