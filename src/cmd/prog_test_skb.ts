/** BPF_PROG_TEST_RUN of programs that see an skb. Kernel counterpart: net/bpf/test_run.c. */

import { addLinkHeader, packetSum, prepareSkb, type SkbFamily } from "../contexts/skb.ts";
import { contextOf } from "../contexts/table.ts";
import { checkOf } from "../helpers/checksum.ts";
import { SKB_CSUM, SKB_DATA, SKB_LINEAR_MAX, SKB_TAIL, skbLength, skbWord } from "../helpers/skb_buffer.ts";
import { ETH_HLEN, ETH_P_IP, ETH_P_IPV6, ETH_PROTO, IPV4_HEADER, IPV6_HEADER } from "../helpers/skb_headers.ts";
import { LOOPBACK } from "../kern/devices.ts";
import type { Kernel } from "../kern/kernel.ts";
import { PROG_TYPE } from "../kern/prog.ts";
import type { Memory } from "../mem/memory.ts";
import {
  __sk_buff,
  BPF_F_TEST_SKB_CHECKSUM_COMPLETE,
  bpf_attr,
  EBADMSG,
  EFAULT,
  EINVAL,
  ENODEV,
  ENOMEM,
} from "../uapi/index.ts";
import { pointerAt } from "./attr.ts";
import { giveContext, giveResult, repeatRun, type TestRun, takeContext, testField } from "./prog_test_data.ts";

const { test } = bpf_attr;
const { fields } = __sk_buff;

/** What a caller's context may say; everything else in it is zero. */
const given = [
  "mark",
  "priority",
  "ingress_ifindex",
  "ifindex",
  "cb",
  "tstamp",
  "wire_len",
  "gso_segs",
  "gso_size",
  "hwtstamp",
] as const;
/** What the context gets back: that, but for the size of segments. */
const givenBack = given.filter((name) => name !== "gso_size");
const SEGMENTS_MAX = 0xffff;
const WIRE_MAX = 65536;

export function testRunSkb(run: TestRun): number {
  const { kernel, attr, prog } = run;
  const { mem } = kernel;
  const family = contextOf(mem.u32[(prog + PROG_TYPE) >>> 2]!) as SkbFamily;
  const flags = testField(run, test.flags);
  if (flags & ~BPF_F_TEST_SKB_CHECKSUM_COMPLETE) return -EINVAL;
  if (testField(run, test.cpu) !== 0 || testField(run, test.batch_size) !== 0) return -EINVAL;
  const size = testField(run, test.data_size_in);
  if (size < ETH_HLEN || size > SKB_LINEAR_MAX) return -EINVAL;
  const from = pointerAt(kernel, attr + test.data_in.offset);
  if (!kernel.userOk(from, size, false)) return -EFAULT;
  const context = takeContext(run, __sk_buff.size);
  if (typeof context === "number") return context;
  const length = family.link ? size : size - ETH_HLEN;
  const bad = deviceBad(kernel, context) || headerBad(mem, from, size) || contextBad(context, length);
  if (bad !== 0) return bad;
  const summed = (flags & BPF_F_TEST_SKB_CHECKSUM_COMPLETE) !== 0;
  const values = fieldsOf(context, length);
  return repeatRun(
    run,
    () => (prepareSkb(kernel, family, from, size, { values, summed }) ? 0 : -ENOMEM),
    (_record, retval, duration) => finish(run, family, context, summed, retval, duration),
  );
}

export function deviceBad(kernel: Kernel, context: DataView | undefined): number {
  const device = context?.getUint32(fields.ifindex.offset, true) ?? 0;
  return device === 0 || kernel.deviceExists(device) ? 0 : -ENODEV;
}

/** A packet that says it has an IP header has room for one. */
export function headerBad(mem: Memory, from: number, size: number): number {
  const protocol = mem.view.getUint16(from + ETH_PROTO);
  const header = protocol === ETH_P_IP ? IPV4_HEADER : protocol === ETH_P_IPV6 ? IPV6_HEADER : 0;
  return size < ETH_HLEN + header ? -EINVAL : 0;
}

/** 0, or what is wrong with the context for a packet of so many bytes. */
export function contextBad(context: DataView | undefined, length: number): number {
  if (context === undefined) return 0;
  const word = (field: { readonly offset: number }): number => context.getUint32(field.offset, true);
  const free = new Uint8Array(context.buffer.slice(0));
  for (const name of given) free.fill(0, fields[name].offset, fields[name].offset + fields[name].size);
  if (free.some((byte) => byte !== 0)) return -EINVAL;
  const wire = word(fields.wire_len);
  if (wire !== 0 && (wire < length || wire > WIRE_MAX)) return -EINVAL;
  return word(fields.gso_segs) > SEGMENTS_MAX ? -EINVAL : 0;
}

/** The fields of the skb that the caller, or the device, gives. */
export function fieldsOf(context: DataView | undefined, length: number): (readonly [offset: number, value: number])[] {
  const values: (readonly [number, number])[] = [];
  if (context !== undefined) {
    for (const name of given) {
      const { offset, size } = fields[name];
      for (let at = offset; at < offset + size; at += 4) values.push([at, context.getUint32(at, true)]);
    }
    values.push([fields.gso_size.offset, context.getUint32(fields.gso_size.offset, true) & 0xffff]);
  }
  values.push([fields.ifindex.offset, context?.getUint32(fields.ifindex.offset, true) || LOOPBACK]);
  const wire = context?.getUint32(fields.wire_len.offset, true) ?? 0;
  if (context !== undefined && wire === 0) values.push([fields.wire_len.offset, length]);
  return values;
}

/** What the program left in the context's fields. */
export function giveFieldsBack(kernel: Kernel, context: DataView | undefined): void {
  if (context === undefined) return;
  for (const name of givenBack) {
    const { offset, size } = fields[name];
    for (let at = offset; at < offset + size; at += 4) context.setUint32(at, skbWord(kernel, at), true);
  }
}

function finish(
  run: TestRun,
  family: SkbFamily,
  context: DataView | undefined,
  summed: boolean,
  retval: number,
  duration: number,
): number {
  const { kernel } = run;
  if (!family.link && !addLinkHeader(kernel)) return -ENOMEM;
  if (summed && checkOf(skbWord(kernel, SKB_CSUM)) !== checkOf(packetSum(kernel))) return -EBADMSG;
  giveFieldsBack(kernel, context);
  const data = skbWord(kernel, SKB_DATA);
  const linear = skbWord(kernel, SKB_TAIL) - data;
  const ret = giveResult(run, {
    retval,
    duration,
    data,
    linear,
    frags: data + linear,
    fragsSize: skbLength(kernel) - linear,
  });
  return ret === 0 ? giveContext(run, context) : ret;
}
