/**
 * Perf events in a map: records for their readers, and counters. What stands for an event is told in
 * `maps/perf_event_array.ts`; the event in a slot is of the CPU with the slot's number. Kernel counterpart:
 * kernel/trace/bpf_trace.c, kernel/events/core.c.
 */
import type { Kernel } from "../kern/kernel.ts";
import { PROG_TYPE } from "../kern/prog.ts";
import { findHeld, HELD_RING, RUN_PROG, RUN_RESULT_HIGH, RUN_WORD } from "../kern/run_record.ts";
import { directValue } from "../struct/array_ops.ts";
import { countUp, MAP_FAILED_UPDATES, MAP_MAX_ENTRIES, MAP_TYPE, mapField } from "../struct/map.ts";
import { takeSlot } from "../struct/slots.ts";
import * as u from "../uapi/index.ts";
import { commitRecord, reserveRecord } from "./ring_records.ts";
import { loadBytes } from "./skb.ts";
import { skbLength } from "./skb_buffer.ts";
import type { Helper } from "./types.ts";
import { loadXdpBytes, packetLength } from "./xdp.ts";

const CURRENT_CPU: number = u.BPF_F_CURRENT_CPU;
/** BPF_F_CTXLEN_MASK, of the upper half of the flags: how many bytes of the packet go with the record. */
const PACKET_MASK = 0x000f_ffff;
/** Bytes of a struct bpf_perf_event_value: counter, time enabled, time running. */
const COUNTER_SIZE = 24;
/** What perf puts in front of a record: a header, and the size of what follows, which is padded to whole words. */
const HEADER = 8;
const SIZE_FIELD = 4;
/** Largest that a header can tell. */
const RECORD_MAX = 0xffff;

/** Kinds of programs whose packet is a struct sk_buff. */
const skbKinds: ReadonlySet<number> = new Set([
  u.BPF_PROG_TYPE_SOCKET_FILTER,
  u.BPF_PROG_TYPE_SCHED_CLS,
  u.BPF_PROG_TYPE_SCHED_ACT,
  u.BPF_PROG_TYPE_CGROUP_SKB,
  u.BPF_PROG_TYPE_LWT_IN,
  u.BPF_PROG_TYPE_LWT_OUT,
  u.BPF_PROG_TYPE_LWT_XMIT,
  u.BPF_PROG_TYPE_LWT_SEG6LOCAL,
  u.BPF_PROG_TYPE_SK_SKB,
]);

/** The event at an index, with a reference; -E2BIG, -ENOENT. */
function takeEvent(kernel: Kernel, map: number, index: number): number {
  if (index >= mapField(kernel.mem, map, MAP_MAX_ENTRIES)) return -u.E2BIG;
  const event = takeSlot(kernel, map, index);
  return event === 0 ? -u.ENOENT : event;
}

function indexOf(kernel: Kernel, flags: number): number {
  return flags >>> 0 === CURRENT_CPU ? kernel.cpu : flags >>> 0;
}

/** The packet that programs of this kind see; undefined: none. */
function packetOf(kernel: Kernel): { readonly length: number; readonly load: typeof loadBytes } | undefined {
  const { u32 } = kernel.mem;
  const type = u32[(u32[(kernel.run + RUN_PROG) >>> 2]! + PROG_TYPE) >>> 2]!;
  if (type === u.BPF_PROG_TYPE_XDP) return { length: packetLength(kernel), load: loadXdpBytes };
  return skbKinds.has(type) ? { length: skbLength(kernel), load: loadBytes } : undefined;
}

/** A record for the event's reader: the program's bytes, then as many of the packet as the flags say. */
function output(
  kernel: Kernel,
  _ctx: number,
  map: number,
  flags: number,
  flagsHigh: number,
  data: number,
  size: number,
): number {
  const packet = flagsHigh === 0 ? undefined : packetOf(kernel);
  const packetBytes = flagsHigh >>> 0;
  if (packetBytes > (packet === undefined ? 0 : PACKET_MASK)) return -u.EINVAL;
  if (packet !== undefined && packetBytes > packet.length) return -u.EFAULT;
  const index = indexOf(kernel, flags);
  const event = takeEvent(kernel, map >>> 0, index);
  if (event < 0) return event;
  const bytes = size >>> 0;
  const padded = ((bytes + packetBytes + SIZE_FIELD + 7) & ~7) - SIZE_FIELD;
  const at = claim(kernel, event, index, padded);
  if (at > 0) {
    const { mem } = kernel;
    mem.zero(at, padded);
    mem.copy(at, data >>> 0, bytes);
    packet?.load(kernel, 0, 0, at + bytes, packetBytes);
    commitRecord(kernel, findHeld(mem, kernel.run, HELD_RING, at), 0, false);
  }
  kernel.put(event);
  return Math.min(at, 0);
}

/**
 * Room for a record of the event: its address, or an errno. What finds no room is counted as lost; so is what is too long
 * for perf's header, of which the kernel says 0 as well and writes what nobody can read: 0.
 */
function claim(kernel: Kernel, event: number, cpu: number, size: number): number {
  const { mem } = kernel;
  if (mapField(mem, event, MAP_TYPE) !== u.BPF_MAP_TYPE_RINGBUF) return -u.EINVAL;
  if (cpu !== kernel.cpu) return -u.EOPNOTSUPP;
  const tooLong = HEADER + SIZE_FIELD + size > RECORD_MAX;
  const at = tooLong ? 0 : reserveRecord(kernel, event, size, HELD_RING);
  if (at > 0) return at;
  countUp(mem, event, MAP_FAILED_UPDATES, 1);
  return tooLong ? 0 : -u.ENOSPC;
}

/**
 * Gives `use` the address of the counter at the flags' index, a struct bpf_perf_event_value; 0: the event is one of
 * records, which counts nothing. 0 or an errno.
 */
function withCounter(
  kernel: Kernel,
  map: number,
  flags: number,
  flagsHigh: number,
  use: (counter: number) => void,
): number {
  if (flagsHigh !== 0) return -u.EINVAL;
  const { mem, run } = kernel;
  const index = indexOf(kernel, flags);
  const event = takeEvent(kernel, map, index);
  if (event < 0) return event;
  const ret = index === kernel.cpu ? 0 : -u.EINVAL;
  if (ret === 0) {
    mem.u32[(run + RUN_WORD) >>> 2] = 0;
    if (mapField(mem, event, MAP_TYPE) === u.BPF_MAP_TYPE_ARRAY) directValue(kernel, event, 0, run + RUN_WORD);
    use(mem.u32[(run + RUN_WORD) >>> 2]!);
  }
  kernel.put(event);
  return ret;
}

function readValue(kernel: Kernel, map: number, flags: number, flagsHigh: number, to: number, size: number): number {
  const { mem } = kernel;
  mem.zero(to >>> 0, size >>> 0);
  if (size >>> 0 !== COUNTER_SIZE) return -u.EINVAL;
  return withCounter(kernel, map >>> 0, flags, flagsHigh, (counter) => {
    if (counter !== 0) mem.copy(to >>> 0, counter, COUNTER_SIZE);
  });
}

/** The counter alone; an errno is a counter near 2^64. */
function read(kernel: Kernel, map: number, flags: number, flagsHigh: number): number {
  const { i32 } = kernel.mem;
  let low = 0;
  let high = 0;
  const ret = withCounter(kernel, map >>> 0, flags, flagsHigh, (counter) => {
    if (counter === 0) return;
    low = i32[counter >>> 2]!;
    high = i32[(counter >>> 2) + 1]!;
  });
  i32[(kernel.run + RUN_RESULT_HIGH) >>> 2] = ret === 0 ? high : -1;
  return ret === 0 ? low : ret;
}

export const perfHelpers: Readonly<Record<number, Helper>> = {
  [u.BPF_FUNC_perf_event_output]: {
    name: "bpf_perf_event_output",
    since: "4.4",
    gplOnly: true,
    args: ["ctx", "map", "u64", "mem", "sizeOrZero"],
    result: "errno",
    fn: output,
  },
};

/** Programs of every kind may call these. */
export const perfReadHelpers: Readonly<Record<number, Helper>> = {
  [u.BPF_FUNC_perf_event_read]: {
    name: "bpf_perf_event_read",
    since: "4.3",
    gplOnly: true,
    args: ["map", "u64"],
    result: "u64",
    fn: read,
  },
  [u.BPF_FUNC_perf_event_read_value]: {
    name: "bpf_perf_event_read_value",
    since: "4.15",
    gplOnly: true,
    args: ["map", "u64", "memOut", "size"],
    result: "errno",
    fn: readValue,
  },
};
