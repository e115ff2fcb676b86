/** *_GET_NEXT_ID and *_GET_FD_BY_ID: walking all objects of a kind, and opening one. */
import { FMODE_READ, FMODE_WRITE } from "../kern/fds.ts";
import { getById, nextId } from "../kern/ids.ts";
import type { Kernel } from "../kern/kernel.ts";
import { OBJ_BTF, OBJ_LINK, OBJ_MAP, OBJ_PROG } from "../mem/layout.ts";
import { BPF_F_RDONLY, BPF_F_TOKEN_FD, BPF_F_WRONLY, bpf_attr, EINVAL } from "../uapi/index.ts";
import { putU32, tokenError } from "./attr.ts";

const { id } = bpf_attr;
const INT_MAX = 0x7fff_ffff;

function getNextId(kernel: Kernel, kind: number, attr: number, uattr: number): number {
  const start = kernel.mem.u32[(attr + id.start_id.offset) >>> 2]!;
  if (start >= INT_MAX) return -EINVAL;
  const next = nextId(kernel.mem, kind, start);
  return next < 0 ? next : putU32(kernel, uattr + id.next_id.offset, next);
}

export function mapGetNextId(kernel: Kernel, attr: number, uattr: number): number {
  return getNextId(kernel, OBJ_MAP, attr, uattr);
}

export function progGetNextId(kernel: Kernel, attr: number, uattr: number): number {
  return getNextId(kernel, OBJ_PROG, attr, uattr);
}

export function btfGetNextId(kernel: Kernel, attr: number, uattr: number): number {
  return getNextId(kernel, OBJ_BTF, attr, uattr);
}

export function linkGetNextId(kernel: Kernel, attr: number, uattr: number): number {
  return getNextId(kernel, OBJ_LINK, attr, uattr);
}

/** Access that open_flags asks for, or -EINVAL. */
export function modeOf(flags: number): number {
  if (flags & ~(BPF_F_RDONLY | BPF_F_WRONLY)) return -EINVAL;
  if (flags === (BPF_F_RDONLY | BPF_F_WRONLY)) return -EINVAL;
  if (flags === BPF_F_RDONLY) return FMODE_READ;
  return flags === BPF_F_WRONLY ? FMODE_WRITE : FMODE_READ | FMODE_WRITE;
}

/** The fd's mode is what open_flags asks for, whatever the map was created with. */
export function mapGetFdById(kernel: Kernel, attr: number): number {
  const { u32 } = kernel.mem;
  const mode = modeOf(u32[(attr + id.open_flags.offset) >>> 2]!);
  if (mode < 0) return mode;
  const map = getById(kernel.mem, OBJ_MAP, u32[(attr + id.map_id.offset) >>> 2]!);
  return map < 0 ? map : kernel.install(map, mode);
}

/** Takes no flags: CHECK_ATTR has refused them. */
export function progGetFdById(kernel: Kernel, attr: number): number {
  const prog = getById(kernel.mem, OBJ_PROG, kernel.mem.u32[(attr + id.prog_id.offset) >>> 2]!);
  return prog < 0 ? prog : kernel.install(prog, FMODE_READ | FMODE_WRITE);
}

/** A link's fd can only be read. */
export function linkGetFdById(kernel: Kernel, attr: number): number {
  const link = getById(kernel.mem, OBJ_LINK, kernel.mem.u32[(attr + id.link_id.offset) >>> 2]!);
  return link < 0 ? link : kernel.install(link, FMODE_READ);
}

export function btfGetFdById(kernel: Kernel, attr: number): number {
  const { u32 } = kernel.mem;
  const flags = u32[(attr + id.open_flags.offset) >>> 2]!;
  if (flags & ~BPF_F_TOKEN_FD) return -EINVAL;
  if (flags & BPF_F_TOKEN_FD) return tokenError(kernel, u32[(attr + id.fd_by_id_token_fd.offset) >>> 2]!);
  const btf = getById(kernel.mem, OBJ_BTF, u32[(attr + id.btf_id.offset) >>> 2]!);
  return btf < 0 ? btf : kernel.install(btf, FMODE_READ | FMODE_WRITE);
}
