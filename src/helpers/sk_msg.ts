/** Messages on their way through a socket: what of it a verdict is for, and bytes put in or taken out. */

import { placeBytes } from "../kern/given.ts";
import type { Kernel } from "../kern/kernel.ts";
import { RUN_CTX, RUN_DATA, RUN_DATA_END, RUN_META } from "../kern/run_record.ts";
import { noteEvent } from "../kern/scene.ts";
import {
  BPF_FUNC_msg_apply_bytes,
  BPF_FUNC_msg_cork_bytes,
  BPF_FUNC_msg_pop_data,
  BPF_FUNC_msg_pull_data,
  BPF_FUNC_msg_push_data,
  EINVAL,
  ENOMEM,
  sk_msg_md,
} from "../uapi/index.ts";
import type { Helper, HelperFn } from "./types.ts";

const { fields } = sk_msg_md;

/** The message as it stands; the program sees all of it. */
function message(kernel: Kernel): Uint8Array {
  const { u8, u32 } = kernel.mem;
  return u8.subarray(u32[(kernel.run + RUN_DATA) >>> 2]!, u32[(kernel.run + RUN_DATA_END) >>> 2]!);
}

/** Puts another message in its place. 0, or -ENOMEM. */
function replace(kernel: Kernel, bytes: Uint8Array): number {
  const { mem, run } = kernel;
  const { u32 } = mem;
  const block = placeBytes(kernel, run, bytes);
  if (block === 0) return -ENOMEM;
  const end = block + bytes.length;
  for (const field of [RUN_META, RUN_DATA]) u32[(run + field) >>> 2] = block;
  u32[(run + RUN_DATA_END) >>> 2] = end;
  const ctx = u32[(run + RUN_CTX) >>> 2]!;
  u32[(ctx + fields.data.offset) >>> 2] = block;
  u32[(ctx + fields.data_end.offset) >>> 2] = end;
  u32[(ctx + fields.size.offset) >>> 2] = bytes.length;
  return 0;
}

/** All of the message is in one piece already. */
function pull(kernel: Kernel, _ctx: number, start: number, end: number, flags: number, flagsHigh: number): number {
  const bad = (flags | flagsHigh) !== 0 || end >>> 0 <= start >>> 0 || end >>> 0 > message(kernel).length;
  return bad ? -EINVAL : 0;
}

/** The kernel takes the room in one block of pages; a larger one there is not. */
const BLOCK_MAX = 4 << 20;

/** Makes room of zeros in front of byte `start`. */
function push(kernel: Kernel, _ctx: number, start: number, size: number, flags: number, flagsHigh: number): number {
  if ((flags | flagsHigh) !== 0) return -EINVAL;
  if (size === 0) return 0;
  const old = message(kernel);
  const at = start >>> 0;
  if (at > old.length) return -EINVAL;
  if (size >>> 0 > BLOCK_MAX) return -ENOMEM;
  const longer = new Uint8Array(old.length + (size >>> 0));
  longer.set(old.subarray(0, at));
  longer.set(old.subarray(at), at + (size >>> 0));
  return replace(kernel, longer);
}

/** Takes `size` bytes out from byte `start` on. */
function pop(kernel: Kernel, _ctx: number, start: number, size: number, flags: number, flagsHigh: number): number {
  if ((flags | flagsHigh) !== 0) return -EINVAL;
  if (size === 0) return 0;
  const old = message(kernel);
  const [at, end] = [start >>> 0, (start >>> 0) + (size >>> 0)];
  if (at >= old.length || end > old.length) return -EINVAL;
  const shorter = new Uint8Array(old.length - (end - at));
  shorter.set(old.subarray(0, at));
  shorter.set(old.subarray(end), at);
  return replace(kernel, shorter);
}

function noted(kind: "msg_apply_bytes" | "msg_cork_bytes"): HelperFn {
  return (kernel, _ctx, bytes) => {
    noteEvent(kernel.scene, { kind, bytes: bytes >>> 0 });
    return 0;
  };
}

function moving(name: string, since: string, fn: HelperFn): Helper {
  return { name, since, gplOnly: false, args: ["ctx", "u32", "u32", "u64"], result: "errno", fn };
}

export const skMsgFunctions: Readonly<Record<number, Helper>> = {
  [BPF_FUNC_msg_apply_bytes]: {
    name: "bpf_msg_apply_bytes",
    since: "4.17",
    gplOnly: false,
    args: ["ctx", "u32"],
    result: "errno",
    fn: noted("msg_apply_bytes"),
  },
  [BPF_FUNC_msg_cork_bytes]: {
    name: "bpf_msg_cork_bytes",
    since: "4.17",
    gplOnly: false,
    args: ["ctx", "u32"],
    result: "errno",
    fn: noted("msg_cork_bytes"),
  },
  [BPF_FUNC_msg_pull_data]: moving("bpf_msg_pull_data", "4.17", pull),
  [BPF_FUNC_msg_push_data]: moving("bpf_msg_push_data", "4.20", push),
  [BPF_FUNC_msg_pop_data]: moving("bpf_msg_pop_data", "5.0", pop),
};
