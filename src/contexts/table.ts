/** What kinds of programs run here, and how each sees its context. A kind without a line is refused at load. */
import {
  BPF_PROG_TYPE_CGROUP_SKB,
  BPF_PROG_TYPE_LWT_IN,
  BPF_PROG_TYPE_LWT_OUT,
  BPF_PROG_TYPE_LWT_SEG6LOCAL,
  BPF_PROG_TYPE_LWT_XMIT,
  BPF_PROG_TYPE_SCHED_ACT,
  BPF_PROG_TYPE_SCHED_CLS,
  BPF_PROG_TYPE_SK_SKB,
  BPF_PROG_TYPE_SOCKET_FILTER,
  BPF_PROG_TYPE_XDP,
} from "../uapi/index.ts";
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
import { xdpContext } from "./xdp.ts";

export interface ContextFamily {
  /** Bytes of the context that the program sees. */
  readonly size: number;
  /** Whether a load or store of `size` bytes at `offset` of the context is one that the kernel knows. */
  readonly access: (offset: number, size: number, write: boolean, attachType: number) => boolean;
  /** The offset that an access which is allowed goes to, where it is another one. Fields are brought into shape first. */
  readonly place?: (u32: Uint32Array, ctx: number, offset: number, size: number) => number;
  /** Helpers of this kind of program, beside those that every kind may call. */
  readonly helpers: readonly number[];
  /** LD_ABS and LD_IND are for programs that see an skb. */
  readonly packetLoads: boolean;
  /** expected_attach_type that such a program may be loaded with; undefined: the kernel does not look at it. */
  readonly attachTypes?: readonly number[];
  /** Whether programs may be loaded with BPF_F_SLEEPABLE. */
  readonly sleepable: boolean;
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
};

/** The family of a program type's number, or undefined. */
export function contextOf(type: number): ContextFamily | undefined {
  return families[type];
}
