/** BPF_BTF_LOAD: type information of user space becomes an object with an fd. */
import { createBtf } from "../kern/btf.ts";
import { FMODE_READ, FMODE_WRITE } from "../kern/fds.ts";
import type { Kernel } from "../kern/kernel.ts";
import { BPF_F_TOKEN_FD, BTF_MAX_SIZE, bpf_attr, E2BIG, EFAULT, EINVAL } from "../uapi/index.ts";
import { pointerAt, tokenError } from "./attr.ts";
import { userLog } from "./log.ts";

const { btf_load } = bpf_attr;
const TRUE_SIZE_END = btf_load.btf_log_true_size.offset + 4;

export function btfLoad(kernel: Kernel, attr: number, uattr: number, attrSize: number): number {
  const { u32 } = kernel.mem;
  const field = (f: { readonly offset: number }): number => u32[(attr + f.offset) >>> 2]!;
  const flags = field(btf_load.btf_flags);
  if (flags & ~BPF_F_TOKEN_FD) return -EINVAL;
  if (flags & BPF_F_TOKEN_FD) return tokenError(kernel, field(btf_load.btf_token_fd));
  const size = field(btf_load.btf_size);
  if (size > BTF_MAX_SIZE) return -E2BIG;
  const log = userLog(kernel, {
    level: field(btf_load.btf_log_level),
    buffer: pointerAt(kernel, attr + btf_load.btf_log_buf.offset),
    size: field(btf_load.btf_log_size),
    trueSize: attrSize < TRUE_SIZE_END ? 0 : uattr + btf_load.btf_log_true_size.offset,
  });
  if (typeof log === "number") return log;
  const from = pointerAt(kernel, attr + btf_load.btf.offset);
  if (!kernel.userOk(from, size, false)) return log.end(-EFAULT);
  const object = createBtf(kernel, from, size, log.line);
  if (object < 0) return log.end(object);
  const ret = log.end(0);
  if (ret === 0) return kernel.publish(object, FMODE_READ | FMODE_WRITE);
  kernel.discard(object);
  return ret;
}
