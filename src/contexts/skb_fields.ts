/** Which fields of struct __sk_buff each kind of program may load and store, and how: the rules of Linux 6.18 as data. */
import { __sk_buff } from "../uapi/index.ts";
import { accessTable, type FieldRule, narrow, stores, tableAllows, whole } from "./fields.ts";
import type { PacketBounds } from "./table.ts";

type FieldName = keyof typeof __sk_buff.fields;

/** Fields that may be loaded in parts: bytes and halves of each of their words. */
const inParts: ReadonlySet<FieldName> = new Set([
  "len",
  "pkt_type",
  "mark",
  "queue_mapping",
  "protocol",
  "vlan_present",
  "vlan_tci",
  "vlan_proto",
  "priority",
  "ingress_ifindex",
  "ifindex",
  "tc_index",
  "hash",
  "tc_classid",
  "napi_id",
  "family",
  "remote_port",
  "local_port",
  "wire_len",
  "gso_segs",
  "gso_size",
]);
/** Loaded as a whole, which is not a word. */
const wholeSizes: Partial<Readonly<Record<FieldName, number>>> = {
  flow_keys: 8,
  tstamp: 8,
  sk: 8,
  tstamp_type: 1,
  hwtstamp: 8,
};

/** Fields that are shorter in the kernel's own struct than here. */
const shorter: Partial<Readonly<Record<FieldName, number>>> = {
  pkt_type: 1,
  queue_mapping: 2,
  protocol: 2,
  vlan_tci: 2,
  vlan_proto: 2,
  tc_index: 2,
  tc_classid: 2,
  family: 2,
  remote_port: 2,
  local_port: 2,
  gso_segs: 2,
  gso_size: 2,
};

const WORD = 4;

/** The scratch words are a place for anything, also for numbers of 64 bits. */
const SCRATCH: FieldName = "cb";
const ANY_SIZE = 1 | 2 | 4 | 8;

function loadRule(name: FieldName): FieldRule {
  const field = __sk_buff.fields[name];
  const size = wholeSizes[name];
  if (size !== undefined) return whole({ offset: field.offset, size });
  if (name === SCRATCH) return narrow(field, ANY_SIZE);
  return inParts.has(name) ? narrow(field) : whole(field, WORD);
}

function storeRule(name: FieldName): FieldRule {
  const field = __sk_buff.fields[name];
  return name === SCRATCH ? { ...stores(field, ANY_SIZE), step: 1 } : stores(field, wholeSizes[name]);
}

type AccessRule = (offset: number, size: number, write: boolean) => boolean;

function fieldRule(readable: readonly FieldName[], writable: readonly FieldName[]): AccessRule {
  const table = accessTable(__sk_buff.size, [...readable.map(loadRule), ...writable.map(storeRule)]);
  return (offset, size, write) => tableAllows(table, offset, size, write);
}

/** Of each offset in such a field: its size in the kernel. */
const sizes = new Uint8Array(__sk_buff.size);
for (const [name, size] of Object.entries(shorter)) {
  const { offset } = __sk_buff.fields[name as FieldName];
  sizes.fill(size, offset, offset + WORD);
}

/**
 * Where a load of a part goes: a part that has all of the kernel's own field is its beginning, whatever its offset, since
 * only smaller ones are shifted.
 */
export function placeOf(offset: number, size: number): number {
  const whole = sizes[offset]!;
  return whole !== 0 && size >= whole ? offset & ~(WORD - 1) : offset;
}

/** Where programs find the packet. */
export function skbBounds(writable: boolean): PacketBounds {
  const { data, data_end, data_meta } = __sk_buff.fields;
  return { size: WORD, data: data.offset, end: data_end.offset, meta: data_meta.offset, writable };
}

/** What every program that sees an skb may load. */
const packetFields: readonly FieldName[] = [
  "len",
  "pkt_type",
  "queue_mapping",
  "protocol",
  "vlan_present",
  "vlan_tci",
  "vlan_proto",
  "priority",
  "ingress_ifindex",
  "ifindex",
  "tc_index",
  "cb",
  "hash",
  "napi_id",
  "gso_segs",
  "gso_size",
  "sk",
];
const dataFields: readonly FieldName[] = ["data", "data_end"];
const socketFields: readonly FieldName[] = [
  "family",
  "remote_ip4",
  "local_ip4",
  "remote_ip6",
  "local_ip6",
  "remote_port",
  "local_port",
];

export const socketFilterFields: AccessRule = fieldRule([...packetFields, "mark"], ["cb"]);
export const schedFields: AccessRule = fieldRule(
  [...packetFields, ...dataFields, "mark", "tc_classid", "data_meta", "tstamp", "wire_len", "tstamp_type", "hwtstamp"],
  ["mark", "queue_mapping", "priority", "tc_index", "cb", "tc_classid", "tstamp"],
);
export const cgroupFields: AccessRule = fieldRule(
  [...packetFields, ...dataFields, ...socketFields, "mark", "tstamp", "hwtstamp"],
  ["mark", "priority", "cb", "tstamp"],
);
export const lwtFields: AccessRule = fieldRule([...packetFields, ...dataFields, "mark"], ["mark", "priority", "cb"]);
export const streamFields: AccessRule = fieldRule(
  [...packetFields, ...dataFields, ...socketFields],
  ["priority", "tc_index"],
);
export const flowFields: AccessRule = fieldRule([...dataFields, "flow_keys"], []);
