/**
 * Which types of programs have runs without a command for each, alone and in batches, and what the command does around
 * theirs when nobody says anything.
 */
import { addLinkHeader, prepareSkb, type SkbFamily } from "../contexts/skb.ts";
import { contextOf } from "../contexts/table.ts";
import { EMPTY_PACKET, prepareXdp } from "../contexts/xdp.ts";
import { SKB_DATA, SKB_LINEAR_MAX, skbLength, skbWord } from "../helpers/skb_buffer.ts";
import { ETH_HLEN, XDP_HEADROOM } from "../helpers/xdp.ts";
import type { Packets } from "../jit/packet_code.ts";
import { skbCode } from "../jit/skb_code.ts";
import { xdpCode } from "../jit/xdp_code.ts";
import { PACKET_ROOM } from "../kern/cpus.ts";
import type { Kernel } from "../kern/kernel.ts";
import { PROG_TYPE } from "../kern/prog.ts";
import { RUN_DATA_END, RUN_META } from "../kern/run_record.ts";
import { BPF_PROG_TYPE_RAW_TRACEPOINT, BPF_PROG_TYPE_XDP, ENOMEM } from "../uapi/index.ts";
import { skbTypes } from "./prog_test_run.ts";
import { fieldsOf } from "./prog_test_skb.ts";
import { hasXdpTestRun } from "./prog_test_xdp.ts";

/** How programs of one type that run on a packet do. */
export interface PlainPacket extends Packets {
  /** Sets the run up on a packet of which nothing is known yet. False: out of memory. */
  prepare(kernel: Kernel, run: number): boolean;
  /** A copy of the packet as it is at the end of the run, or an errno. */
  after(kernel: Kernel, run: number): Uint8Array | number;
}

const xdp: PlainPacket = {
  code: xdpCode,
  longest: PACKET_ROOM - XDP_HEADROOM,
  prepare: (kernel, run) => prepareXdp(kernel, run, EMPTY_PACKET) !== 0,
  after: ({ mem: { u8, u32 }, copies }, run) =>
    copies.of(u8.subarray(u32[(run + RUN_META) >>> 2]!, u32[(run + RUN_DATA_END) >>> 2]!)),
};

function skb(family: SkbFamily): PlainPacket {
  return {
    code: skbCode(family),
    longest: SKB_LINEAR_MAX,
    prepare: (kernel) => {
      const frame = kernel.scratch(ETH_HLEN);
      if (frame === 0) return false;
      kernel.mem.zero(frame, ETH_HLEN);
      return prepareSkb(kernel, family, frame, ETH_HLEN, { values: fieldsOf(undefined, ETH_HLEN), summed: false });
    },
    after: (kernel) => {
      if (!family.link && !addLinkHeader(kernel)) return -ENOMEM;
      const data = skbWord(kernel, SKB_DATA);
      return kernel.copies.of(kernel.mem.u8.subarray(data, data + skbLength(kernel)));
    },
  };
}

const skbs: ReadonlyMap<number, PlainPacket> = new Map(
  skbTypes.map((type) => [type, skb(contextOf(type) as SkbFamily)]),
);

/** Undefined: the program has no such runs; null: it runs on nothing. */
export function plainKind(kernel: Kernel, prog: number): PlainPacket | null | undefined {
  const type = kernel.mem.u32[(prog + PROG_TYPE) >>> 2]!;
  if (type === BPF_PROG_TYPE_XDP) return hasXdpTestRun(kernel, prog) ? xdp : undefined;
  if (type === BPF_PROG_TYPE_RAW_TRACEPOINT) return null;
  return skbs.get(type);
}
