/** BPF_PROG_STREAM_READ_BY_FD: what a program, or what went wrong in it, has said. Reading takes it away. */
import type { Kernel } from "../kern/kernel.ts";
import { progStream } from "../kern/prog.ts";
import { pendingBytes, readStream } from "../kern/stream.ts";
import { OBJ_PROG } from "../mem/layout.ts";
import { BPF_STDERR, BPF_STDOUT, bpf_attr, EFAULT, ENOENT } from "../uapi/index.ts";
import { pointerAt } from "./attr.ts";

const { prog_stream_read } = bpf_attr;

/** Returns the number of bytes read; 0 when the stream is empty. */
export function progStreamRead(kernel: Kernel, attr: number): number {
  const { u32 } = kernel.mem;
  const prog = kernel.get(u32[(attr + prog_stream_read.prog_fd.offset) >>> 2]!, OBJ_PROG);
  if (prog < 0) return prog;
  const id = u32[(attr + prog_stream_read.stream_id.offset) >>> 2]!;
  const ret = id === BPF_STDOUT || id === BPF_STDERR ? read(kernel, attr, progStream(prog, id)) : -ENOENT;
  kernel.done(prog);
  return ret;
}

/** As in the kernel the buffer is looked at only as far as there is something to put into it. */
function read(kernel: Kernel, attr: number, stream: number): number {
  const to = pointerAt(kernel, attr + prog_stream_read.stream_buf.offset);
  const size = kernel.mem.u32[(attr + prog_stream_read.stream_buf_len.offset) >>> 2]!;
  const n = Math.min(size, pendingBytes(kernel.mem, stream));
  if (!kernel.userOk(to, n, true)) return -EFAULT;
  return readStream(kernel.mem, stream, to, n);
}
