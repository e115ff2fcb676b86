/** Programs that choose a socket: for what arrives (sk_lookup), and among those of one port (sk_reuseport). */

import {
  BPF_SK_LOOKUP,
  BPF_SK_REUSEPORT_SELECT,
  BPF_SK_REUSEPORT_SELECT_OR_MIGRATE,
  bpf_sk_lookup,
  sk_reuseport_md,
} from "../uapi/index.ts";
import { accessTable, narrow, tableAllows, whole } from "./fields.ts";
import { skLookupHelpers, skReuseportHelpers } from "./helper_groups.ts";
import type { ContextFamily } from "./table.ts";

const { fields: lookup } = bpf_sk_lookup;
const lookupTable: Uint8Array = accessTable(bpf_sk_lookup.size, [
  whole(lookup.sk),
  narrow({ offset: lookup.family.offset, size: bpf_sk_lookup.size - 4 - lookup.family.offset }),
]);

export const skLookupContext: ContextFamily = {
  size: bpf_sk_lookup.size,
  whole: true,
  access: (offset, size, write) => tableAllows(lookupTable, offset, size, write),
  helpers: skLookupHelpers,
  packetLoads: false,
  attachTypes: [BPF_SK_LOOKUP],
  sleepable: false,
  kernelPointers: true,
  pointers: { sock: lookup.sk.offset, sockOptional: true },
};

const { fields: reuseport } = sk_reuseport_md;
const reuseportTable: Uint8Array = accessTable(sk_reuseport_md.size, [
  whole(reuseport.data),
  whole(reuseport.data_end),
  narrow(reuseport.len),
  narrow(reuseport.eth_protocol, 2 | 4),
  narrow(reuseport.ip_protocol),
  narrow(reuseport.bind_inany),
  whole(reuseport.hash),
  whole(reuseport.sk),
  whole(reuseport.migrating_sk),
]);

export const skReuseportContext: ContextFamily = {
  size: sk_reuseport_md.size,
  whole: true,
  access: (offset, size, write) => tableAllows(reuseportTable, offset, size, write),
  helpers: skReuseportHelpers,
  packetLoads: false,
  // The kernel takes 0 for BPF_SK_REUSEPORT_SELECT.
  attachTypes: [0, BPF_SK_REUSEPORT_SELECT, BPF_SK_REUSEPORT_SELECT_OR_MIGRATE],
  sleepable: false,
  kernelPointers: true,
  pointers: { sock: reuseport.sk.offset, data: [reuseport.data.offset, reuseport.data_end.offset], skb: true },
};
