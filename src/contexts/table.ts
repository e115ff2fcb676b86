/** What kinds of programs run here, and how each sees its context. A kind without a line is refused at load. */
import {
  BPF_PROG_TYPE_CGROUP_DEVICE,
  BPF_PROG_TYPE_CGROUP_SKB,
  BPF_PROG_TYPE_CGROUP_SOCK,
  BPF_PROG_TYPE_CGROUP_SOCK_ADDR,
  BPF_PROG_TYPE_CGROUP_SOCKOPT,
  BPF_PROG_TYPE_CGROUP_SYSCTL,
  BPF_PROG_TYPE_FLOW_DISSECTOR,
  BPF_PROG_TYPE_KPROBE,
  BPF_PROG_TYPE_LSM,
  BPF_PROG_TYPE_LWT_IN,
  BPF_PROG_TYPE_LWT_OUT,
  BPF_PROG_TYPE_LWT_SEG6LOCAL,
  BPF_PROG_TYPE_LWT_XMIT,
  BPF_PROG_TYPE_PERF_EVENT,
  BPF_PROG_TYPE_RAW_TRACEPOINT,
  BPF_PROG_TYPE_RAW_TRACEPOINT_WRITABLE,
  BPF_PROG_TYPE_SCHED_ACT,
  BPF_PROG_TYPE_SCHED_CLS,
  BPF_PROG_TYPE_SK_LOOKUP,
  BPF_PROG_TYPE_SK_MSG,
  BPF_PROG_TYPE_SK_REUSEPORT,
  BPF_PROG_TYPE_SK_SKB,
  BPF_PROG_TYPE_SOCK_OPS,
  BPF_PROG_TYPE_SOCKET_FILTER,
  BPF_PROG_TYPE_STRUCT_OPS,
  BPF_PROG_TYPE_SYSCALL,
  BPF_PROG_TYPE_TRACEPOINT,
  BPF_PROG_TYPE_TRACING,
  BPF_PROG_TYPE_XDP,
} from "../uapi/index.ts";
import { cgroupDeviceContext, cgroupSockContext, cgroupSockoptContext, cgroupSysctlContext } from "./cgroup.ts";
import { flowContext } from "./flow_dissector.ts";
import {
  kprobeContext,
  perfEventContext,
  rawTracepointContext,
  rawTracepointWritableContext,
  tracepointContext,
} from "./probes.ts";
import { skLookupContext, skReuseportContext } from "./sk_lookup.ts";
import { skMsgContext } from "./sk_msg.ts";
import {
  cgroupSkbContext,
  lwtInContext,
  lwtOutContext,
  lwtSeg6Context,
  lwtXmitContext,
  schedContext,
  socketFilterContext,
  streamContext,
} from "./skb.ts";
import { sockAddrContext } from "./sock_addr.ts";
import { sockOpsContext } from "./sock_ops.ts";
import { syscallContext } from "./syscall.ts";
import { lsmContext, structOpsContext, tracingContext } from "./tracing.ts";
import { xdpContext } from "./xdp.ts";

/** Fields of a context that point to something a run is given beside it. */
export interface ContextPointers {
  /** Where the address of a struct bpf_sock goes. */
  readonly sock?: number;
  /** There may be no socket: NULL. */
  readonly sockOptional?: boolean;
  /** Where the bounds of data go: first byte, and first byte behind. */
  readonly data?: readonly [start: number, end: number];
  /** Whether programs may write the data. */
  readonly dataWritable?: boolean;
  /** Helpers read the data as they do the packet of an skb. */
  readonly skb?: boolean;
}

/** Offsets in the context. */
export interface PacketBounds {
  /** Bytes of each field. */
  readonly size: number;
  readonly data: number;
  readonly end: number;
  /** -1: there is no metadata. */
  readonly meta: number;
  /** Programs may write the packet in every run. */
  readonly writable: boolean;
}

/**
 * A field of 8 bytes that holds the address of memory, or NULL if that is `optional`, in every run however it was set up.
 * No program writes the field. The run holds all of the memory until it ends.
 */
export interface ShownMemory {
  /** Of the field, in the context. */
  readonly offset: number;
  readonly bytes: number;
  readonly write: boolean;
  readonly optional: boolean;
}

export interface ContextFamily {
  /** Bytes of the context that the program sees; for contexts of any size, the most. */
  readonly size: number;
  /**
   * Whether a load or store of `size` bytes at `offset` of the context is one that the kernel knows. `pointers`: a bit for
   * each argument of a program with typed arguments that is a pointer.
   */
  readonly access: (offset: number, size: number, write: boolean, attachType: number, pointers: number) => boolean;
  /** The offset that an access which is allowed goes to, where it is another one. Fields are brought into shape first. */
  readonly place?: (u32: Uint32Array, ctx: number, offset: number, size: number) => number;
  /** Whether an access goes where it says, with nothing to be brought into shape: of families with `place`. */
  readonly inPlace?: (offset: number, size: number) => boolean;
  /** It is one struct, which is there as a whole in every run: what `access` allows needs no other look. */
  readonly whole?: boolean;
  /** Its fields with the bounds of the packet, which no program writes, beside `pointers`. */
  readonly bounds?: PacketBounds;
  /** What its `sk`, or its flow keys, show. */
  readonly shows?: ShownMemory;
  /** Helpers of this kind of program, beside those that every kind may call. */
  readonly helpers: readonly number[];
  /** Those of `helpers` that only programs with certain values of expected_attach_type may call. */
  readonly onlyFor?: Readonly<Record<number, readonly number[]>>;
  /** LD_ABS and LD_IND are for programs that see an skb. */
  readonly packetLoads: boolean;
  /** expected_attach_type that such a program may be loaded with; undefined: the kernel does not look at it. */
  readonly attachTypes?: readonly number[];
  /** Whether programs may be loaded with BPF_F_SLEEPABLE, or which values of expected_attach_type allow it; `only`: they must. */
  readonly sleepable: boolean | "only" | readonly number[];
  /** The context is an array of u64, one an argument of what the program is attached to. */
  readonly typedArgs?: boolean;
  /** Loads through pointers of the kernel's own: where nothing is, they read zero (PROBE_MEM). */
  readonly kernelPointers?: boolean;
  readonly pointers?: ContextPointers;
}

const families: Readonly<Record<number, ContextFamily>> = {
  [BPF_PROG_TYPE_XDP]: xdpContext,
  [BPF_PROG_TYPE_SCHED_CLS]: schedContext,
  [BPF_PROG_TYPE_SCHED_ACT]: schedContext,
  [BPF_PROG_TYPE_SOCKET_FILTER]: socketFilterContext,
  [BPF_PROG_TYPE_CGROUP_SKB]: cgroupSkbContext,
  [BPF_PROG_TYPE_LWT_IN]: lwtInContext,
  [BPF_PROG_TYPE_LWT_OUT]: lwtOutContext,
  [BPF_PROG_TYPE_LWT_XMIT]: lwtXmitContext,
  [BPF_PROG_TYPE_LWT_SEG6LOCAL]: lwtSeg6Context,
  [BPF_PROG_TYPE_SK_SKB]: streamContext,
  [BPF_PROG_TYPE_KPROBE]: kprobeContext,
  [BPF_PROG_TYPE_TRACEPOINT]: tracepointContext,
  [BPF_PROG_TYPE_PERF_EVENT]: perfEventContext,
  [BPF_PROG_TYPE_RAW_TRACEPOINT]: rawTracepointContext,
  [BPF_PROG_TYPE_RAW_TRACEPOINT_WRITABLE]: rawTracepointWritableContext,
  [BPF_PROG_TYPE_TRACING]: tracingContext,
  [BPF_PROG_TYPE_LSM]: lsmContext,
  [BPF_PROG_TYPE_STRUCT_OPS]: structOpsContext,
  [BPF_PROG_TYPE_SYSCALL]: syscallContext,
  [BPF_PROG_TYPE_CGROUP_SOCK]: cgroupSockContext,
  [BPF_PROG_TYPE_CGROUP_SOCK_ADDR]: sockAddrContext,
  [BPF_PROG_TYPE_CGROUP_DEVICE]: cgroupDeviceContext,
  [BPF_PROG_TYPE_CGROUP_SYSCTL]: cgroupSysctlContext,
  [BPF_PROG_TYPE_CGROUP_SOCKOPT]: cgroupSockoptContext,
  [BPF_PROG_TYPE_SOCK_OPS]: sockOpsContext,
  [BPF_PROG_TYPE_SK_MSG]: skMsgContext,
  [BPF_PROG_TYPE_SK_LOOKUP]: skLookupContext,
  [BPF_PROG_TYPE_SK_REUSEPORT]: skReuseportContext,
  [BPF_PROG_TYPE_FLOW_DISSECTOR]: flowContext,
};

/** The family of a program type's number, or undefined. */
export function contextOf(type: number): ContextFamily | undefined {
  return families[type];
}
