/** BPF_OBJ_GET_INFO_BY_FD of links. */
import { kernelBtfOf } from "../helpers/kernel_btf.ts";
import type { Kernel } from "../kern/kernel.ts";
import { LINK_ATTACH_TYPE, LINK_COOKIE, LINK_PROG, LINK_TARGET, LINK_TYPE } from "../kern/link.ts";
import { OBJ_ID } from "../mem/layout.ts";
import {
  attachPrefixes,
  BPF_LINK_TYPE_RAW_TRACEPOINT,
  BPF_TRACE_RAW_TP,
  bpf_link_info,
  EFAULT,
  EINVAL,
  ENOSPC,
} from "../uapi/index.ts";
import { pointerIn } from "./attr.ts";
import { checkInfoTail, putInfo } from "./info_record.ts";

const { fields, size: INFO_SIZE } = bpf_link_info;
const { fields: tracing } = fields.tracing;
const { fields: tracepoint } = fields.raw_tracepoint;

export function linkInfo(kernel: Kernel, link: number, to: number, length: number, ulength: number): number {
  const bad = checkInfoTail(kernel, to, length, INFO_SIZE);
  if (bad !== 0) return bad;
  const given = Math.min(length, INFO_SIZE);
  if (!kernel.userOk(to, given, false)) return -EFAULT;
  const { u8, u32, u64 } = kernel.mem;
  const record = new Uint8Array(INFO_SIZE);
  record.set(u8.subarray(to, to + given));
  const view = new DataView(record.buffer);
  const word = (field: number): number => u32[(link + field) >>> 2]!;
  view.setUint32(fields.type.offset, word(LINK_TYPE), true);
  view.setUint32(fields.id.offset, word(OBJ_ID), true);
  view.setUint32(fields.prog_id.offset, u32[(word(LINK_PROG) + OBJ_ID) >>> 2]!, true);
  view.setBigUint64(tracing.cookie.offset, u64[(link + LINK_COOKIE) >>> 3]!, true);
  if (word(LINK_TYPE) === BPF_LINK_TYPE_RAW_TRACEPOINT) {
    const named = putName(kernel, view, word(LINK_TARGET));
    if (named !== 0) return named;
  } else {
    view.setUint32(tracing.attach_type.offset, word(LINK_ATTACH_TYPE), true);
    // As of programs: this host's kernel BTF is no object with an id.
    view.setUint32(tracing.target_obj_id.offset, 0, true);
    view.setUint32(tracing.target_btf_id.offset, word(LINK_TARGET), true);
  }
  return putInfo(kernel, record, to, length, ulength);
}

/** The tracepoint's name to where the caller wants it. 0, -EINVAL for half a buffer, -ENOSPC when it was cut. */
function putName(kernel: Kernel, view: DataView, target: number): number {
  const to = pointerIn(view, tracepoint.tp_name.offset);
  const room = view.getUint32(tracepoint.tp_name_len.offset, true);
  if ((to === 0) !== (room === 0)) return -EINVAL;
  const type = kernelBtfOf(kernel).type(target);
  const name = type.kind === "typedef" ? type.name.slice(attachPrefixes[BPF_TRACE_RAW_TP]!.length) : "";
  const text = new TextEncoder().encode(`${name}\0`);
  view.setUint32(tracepoint.tp_name_len.offset, text.length, true);
  if (to === 0) return 0;
  const n = Math.min(room, text.length);
  if (!kernel.userOk(to, n, true)) return -EFAULT;
  kernel.mem.u8.set(text.subarray(0, n), to);
  kernel.mem.u8[to + n - 1] = 0;
  return n < text.length ? -ENOSPC : 0;
}
