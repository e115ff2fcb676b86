/** XDP: the context is a struct xdp_md, the packet lies in a buffer with headroom and tail room. */
import { showPacket, XDP_HEADROOM } from "../helpers/xdp.ts";
import { LOOPBACK } from "../kern/devices.ts";
import type { Kernel } from "../kern/kernel.ts";
import {
  RUN_CTX,
  RUN_CTX_SIZE,
  RUN_DATA,
  RUN_DATA_END,
  RUN_FRAGS,
  RUN_FRAGS_ROOM,
  RUN_FRAGS_SIZE,
  RUN_META,
  RUN_PACKET,
} from "../kern/run_record.ts";
import { alloc } from "../mem/alloc.ts";
import { PAGE_SIZE } from "../mem/layout.ts";
import { BPF_XDP_DEVMAP, xdp_md } from "../uapi/index.ts";
import { xdpHelperNumbers } from "./packet_helpers.ts";
import type { ContextFamily } from "./table.ts";

const FIELD_SIZE = 4;

export const xdpContext: ContextFamily = {
  size: xdp_md.size,
  whole: true,
  bounds: {
    size: FIELD_SIZE,
    data: xdp_md.fields.data.offset,
    end: xdp_md.fields.data_end.offset,
    meta: xdp_md.fields.data_meta.offset,
    writable: true,
  },
  // Whole fields, read only; the device that a packet leaves by is known to programs of devmaps.
  access: (offset, size, write, attachType) =>
    !write &&
    size === FIELD_SIZE &&
    offset % FIELD_SIZE === 0 &&
    (offset !== xdp_md.fields.egress_ifindex.offset || attachType === BPF_XDP_DEVMAP),
  helpers: xdpHelperNumbers,
  packetLoads: false,
  sleepable: false,
};

export interface XdpPacket {
  /** Bytes of metadata in front of the data. */
  readonly meta: number;
  /** Bytes of metadata and data that lie in the buffer. */
  readonly linear: number;
  /** Bytes of the rest. */
  readonly fragsSize: number;
  readonly ingressIfindex: number;
  readonly rxQueueIndex: number;
}

/** Where it comes from when nobody says so; its bytes are to come. */
export const EMPTY_PACKET: XdpPacket = {
  meta: 0,
  linear: 0,
  fragsSize: 0,
  ingressIfindex: LOOPBACK,
  rxQueueIndex: 0,
};

/**
 * Sets packet and context of a run up. Returns where the packet's bytes, metadata first, go: the caller puts them there,
 * and the rest where RUN_FRAGS says. 0: out of memory.
 */
export function prepareXdp(kernel: Kernel, run: number, packet: XdpPacket): number {
  const { mem } = kernel;
  const { u32 } = mem;
  const buffer = u32[(run + RUN_PACKET) >>> 2]!;
  const data = buffer + XDP_HEADROOM;
  const room = Math.ceil(packet.fragsSize / PAGE_SIZE) * PAGE_SIZE;
  const frags = room === 0 ? 0 : alloc(mem, room);
  if (room !== 0 && frags === 0) return 0;
  const meta = data - packet.meta;
  mem.zero(buffer, XDP_HEADROOM);
  u32[(run + RUN_META) >>> 2] = meta;
  u32[(run + RUN_DATA) >>> 2] = data;
  u32[(run + RUN_DATA_END) >>> 2] = meta + packet.linear;
  u32[(run + RUN_FRAGS) >>> 2] = frags;
  u32[(run + RUN_FRAGS_ROOM) >>> 2] = room;
  u32[(run + RUN_FRAGS_SIZE) >>> 2] = packet.fragsSize;
  const ctx = u32[(run + RUN_CTX) >>> 2]!;
  const { ingress_ifindex, rx_queue_index } = xdp_md.fields;
  mem.zero(ctx, xdp_md.size);
  u32[(run + RUN_CTX_SIZE) >>> 2] = xdp_md.size;
  u32[(ctx + ingress_ifindex.offset) >>> 2] = packet.ingressIfindex;
  u32[(ctx + rx_queue_index.offset) >>> 2] = packet.rxQueueIndex;
  showPacket(kernel);
  return meta;
}
