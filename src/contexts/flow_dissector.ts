/**
 * Flow dissectors: of struct __sk_buff they see the packet's bytes, and the flow keys that they fill in. Kernel
 * counterpart: net/core/flow_dissector.c.
 */
import { makeSkb, SKB_DATA, SKB_END, SKB_SOCK, setSkb, skbWord } from "../helpers/skb_buffer.ts";
import { ETH_HLEN, ETH_PROTO } from "../helpers/skb_headers.ts";
import type { Kernel } from "../kern/kernel.ts";
import {
  HELD_WRITABLE,
  hold,
  RUN_CTX,
  RUN_CTX_SIZE,
  RUN_DATA,
  RUN_DATA_END,
  RUN_META,
  RUN_PACKET_READ_ONLY,
} from "../kern/run_record.ts";
import { __sk_buff, bpf_flow_keys } from "../uapi/index.ts";
import { flowHelpers } from "./packet_helpers.ts";
import { flowFields, skbBounds } from "./skb_fields.ts";
import type { ContextFamily } from "./table.ts";

const { fields } = __sk_buff;
const { fields: keys } = bpf_flow_keys;

export const flowContext: ContextFamily = {
  size: __sk_buff.size,
  whole: true,
  bounds: skbBounds(false),
  access: flowFields,
  shows: { offset: fields.flow_keys.offset, bytes: bpf_flow_keys.size, write: true, optional: false },
  helpers: flowHelpers,
  packetLoads: false,
  sleepable: false,
};

/** Where the flow keys of the run under way are. */
export function flowKeysOf(kernel: Kernel): number {
  return kernel.mem.u32[(kernel.run + RUN_CTX) >>> 2]! + SKB_SOCK;
}

/** Sets a run up for the Ethernet frame of `size` bytes at `from`. False: out of memory. */
export function prepareFlow(kernel: Kernel, from: number, size: number, flags: number): boolean {
  const { mem, run } = kernel;
  const { u32 } = mem;
  if (!makeSkb(kernel, size, size)) return false;
  const data = skbWord(kernel, SKB_DATA);
  mem.copy(data, from, size);
  setSkb(kernel, fields.data.offset, data);
  setSkb(kernel, fields.data_end.offset, data + size);
  u32[(run + RUN_CTX_SIZE) >>> 2] = __sk_buff.size;
  u32[(run + RUN_META) >>> 2] = data;
  u32[(run + RUN_DATA) >>> 2] = data;
  u32[(run + RUN_DATA_END) >>> 2] = data + size;
  u32[(run + RUN_PACKET_READ_ONLY) >>> 2] = 1;
  // There is no skb behind a test run: helpers find no bytes.
  setSkb(kernel, SKB_DATA, 0);
  setSkb(kernel, SKB_END, 0);
  setSkb(kernel, fields.flow_keys.offset, flowKeysOf(kernel));
  resetFlow(kernel, flags);
  return hold(mem, run, HELD_WRITABLE, 0, flowKeysOf(kernel), bpf_flow_keys.size);
}

/** The keys as a dissector finds them. */
export function resetFlow(kernel: Kernel, flags: number): void {
  const { view, u8 } = kernel.mem;
  const { mem, run } = kernel;
  const data = mem.u32[(run + RUN_DATA) >>> 2]!;
  const at = flowKeysOf(kernel);
  mem.zero(at, bpf_flow_keys.size);
  view.setUint16(at + keys.nhoff.offset, ETH_HLEN, true);
  view.setUint16(at + keys.thoff.offset, ETH_HLEN, true);
  u8.copyWithin(at + keys.n_proto.offset, data + ETH_PROTO, data + ETH_HLEN);
  view.setUint32(at + keys.flags.offset, flags, true);
}

/** Brings the offsets that the program left into the packet. */
export function clampFlow(kernel: Kernel): void {
  const { view, u32 } = kernel.mem;
  const { run } = kernel;
  const at = flowKeysOf(kernel);
  const size = u32[(run + RUN_DATA_END) >>> 2]! - u32[(run + RUN_DATA) >>> 2]!;
  const clamp = (offset: number, low: number): number => {
    const value = Math.min(Math.max(view.getUint16(at + offset, true), low), size);
    view.setUint16(at + offset, value, true);
    return value;
  };
  clamp(keys.thoff.offset, clamp(keys.nhoff.offset, ETH_HLEN));
}
