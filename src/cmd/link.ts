/**
 * BPF_RAW_TRACEPOINT_OPEN, BPF_LINK_CREATE, BPF_LINK_DETACH: links of programs to functions, hooks and tracepoints of the
 * kernel's BTF. Of these the test functions alone are ever called here, by BPF_PROG_TEST_RUN: other links exist, and
 * nothing comes of them. Kernel counterpart: kernel/bpf/syscall.c.
 */
import { kernelBtfOf } from "../helpers/kernel_btf.ts";
import { FMODE_READ } from "../kern/fds.ts";
import type { Kernel } from "../kern/kernel.ts";
import { allocLink, attachLink } from "../kern/link.ts";
import { PROG_ATTACH_BTF_ID, PROG_ATTACH_TYPE, PROG_TARGET_PROG, PROG_TYPE } from "../kern/prog.ts";
import { OBJ_LINK, OBJ_MAP, OBJ_PROG } from "../mem/layout.ts";
import {
  attachPrefixes,
  BPF_LINK_TYPE_RAW_TRACEPOINT,
  BPF_LINK_TYPE_TRACING,
  BPF_LSM_CGROUP,
  BPF_LSM_MAC,
  BPF_MODIFY_RETURN,
  BPF_PROG_TYPE_LSM,
  BPF_PROG_TYPE_RAW_TRACEPOINT,
  BPF_PROG_TYPE_RAW_TRACEPOINT_WRITABLE,
  BPF_PROG_TYPE_TRACING,
  BPF_STRUCT_OPS,
  BPF_TRACE_FENTRY,
  BPF_TRACE_FEXIT,
  BPF_TRACE_ITER,
  BPF_TRACE_RAW_TP,
  bpf_attr,
  EFAULT,
  EINVAL,
  ENOENT,
  ENOMEM,
  ENOTSUPP,
  EOPNOTSUPP,
} from "../uapi/index.ts";
import { pointerAt } from "./attr.ts";

const { raw_tracepoint, link_create, link_detach } = bpf_attr;
/** What is read of a tracepoint's name. */
const NAME_MAX = 127;

/** Attached to functions: by type of program, which attach types. */
const atFunctions: Readonly<Record<number, readonly number[]>> = {
  [BPF_PROG_TYPE_TRACING]: [BPF_TRACE_FENTRY, BPF_TRACE_FEXIT, BPF_MODIFY_RETURN],
  [BPF_PROG_TYPE_LSM]: [BPF_LSM_MAC],
};

/** By type of program, which attach types BPF_LINK_CREATE knows of it. */
const attachTypes: Readonly<Record<number, readonly number[]>> = {
  [BPF_PROG_TYPE_TRACING]: [BPF_TRACE_FENTRY, BPF_TRACE_FEXIT, BPF_MODIFY_RETURN, BPF_TRACE_RAW_TP, BPF_TRACE_ITER],
  [BPF_PROG_TYPE_LSM]: [BPF_LSM_MAC, BPF_LSM_CGROUP],
};

/** A field of a program. */
function ofProg({ mem }: Kernel, prog: number, field: number): number {
  return mem.u32[(prog + field) >>> 2]!;
}

/** The fd of a link of the program to a type of the kernel's BTF, or an errno. */
function linkTo(kernel: Kernel, prog: number, type: number, target: number, cookie: bigint): number {
  kernel.hold(prog);
  const link = allocLink(kernel, { type, prog, attachType: ofProg(kernel, prog, PROG_ATTACH_TYPE), target, cookie });
  if (link === 0) {
    kernel.put(prog);
    return -ENOMEM;
  }
  // Another thread may close the fd at once.
  kernel.hold(link);
  const fd = kernel.publish(link, FMODE_READ);
  if (fd < 0) return fd;
  const bad = attachLink(kernel, link);
  if (bad !== 0) kernel.close(fd);
  kernel.put(link);
  return bad !== 0 ? bad : fd;
}

/** To the function that the program was loaded for. */
function linkToFunction(kernel: Kernel, prog: number, targetFd: number, targetId: number, cookie: bigint): number {
  const types = atFunctions[ofProg(kernel, prog, PROG_TYPE)];
  if (types?.includes(ofProg(kernel, prog, PROG_ATTACH_TYPE)) !== true) return -EINVAL;
  // Another target than at load is for programs that replace functions.
  if (targetFd !== 0 || targetId !== 0) return -EINVAL;
  // No run of a program here calls what is attached to it.
  if (ofProg(kernel, prog, PROG_TARGET_PROG) !== 0) return -ENOTSUPP;
  return linkTo(kernel, prog, BPF_LINK_TYPE_TRACING, ofProg(kernel, prog, PROG_ATTACH_BTF_ID), cookie);
}

/** A link to the tracepoint that the program was loaded for. */
function linkToTracepoint(kernel: Kernel, prog: number, cookie: bigint): number {
  return linkTo(kernel, prog, BPF_LINK_TYPE_RAW_TRACEPOINT, ofProg(kernel, prog, PROG_ATTACH_BTF_ID), cookie);
}

/** The text at an address, at most NAME_MAX bytes of it; undefined: it cannot be read. */
function readName(kernel: Kernel, address: number): string | undefined {
  let name = "";
  for (let at = address; at < address + NAME_MAX; at++) {
    if (!kernel.userOk(at, 1, false)) return undefined;
    const byte = kernel.mem.u8[at]!;
    if (byte === 0) break;
    name += String.fromCharCode(byte);
  }
  return name;
}

function openByName(kernel: Kernel, prog: number, address: number, cookie: bigint): number {
  const name = readName(kernel, address);
  if (name === undefined) return -EFAULT;
  const target = kernelBtfOf(kernel).find(`${attachPrefixes[BPF_TRACE_RAW_TP]}${name}`, "typedef");
  return target === undefined ? -ENOENT : linkTo(kernel, prog, BPF_LINK_TYPE_RAW_TRACEPOINT, target, cookie);
}

function open(kernel: Kernel, prog: number, name: number, cookie: bigint): number {
  switch (ofProg(kernel, prog, PROG_TYPE)) {
    case BPF_PROG_TYPE_TRACING:
    case BPF_PROG_TYPE_LSM:
      if (name !== 0) return -EINVAL;
      if (ofProg(kernel, prog, PROG_ATTACH_TYPE) === BPF_TRACE_RAW_TP) return linkToTracepoint(kernel, prog, cookie);
      // As in the kernel: this way there is no cookie.
      return linkToFunction(kernel, prog, 0, 0, 0n);
    case BPF_PROG_TYPE_RAW_TRACEPOINT:
    case BPF_PROG_TYPE_RAW_TRACEPOINT_WRITABLE:
      return openByName(kernel, prog, name, cookie);
    default:
      return -EINVAL;
  }
}

export function rawTracepointOpen(kernel: Kernel, attr: number): number {
  const { u32, u64 } = kernel.mem;
  const prog = kernel.get(u32[(attr + raw_tracepoint.prog_fd.offset) >>> 2]!, OBJ_PROG);
  if (prog < 0) return prog;
  const name = pointerAt(kernel, attr + raw_tracepoint.name.offset);
  const fd = open(kernel, prog, name, u64[(attr + raw_tracepoint.cookie.offset) >>> 3]!);
  kernel.done(prog);
  return fd;
}

/** Attach types of other kinds of programs have links that this host does not make: -ENOTSUPP. */
function create(kernel: Kernel, prog: number, attr: number): number {
  const { u32, u64 } = kernel.mem;
  const wanted = u32[(attr + link_create.attach_type.offset) >>> 2]!;
  const type = ofProg(kernel, prog, PROG_TYPE);
  const known = attachTypes[type];
  if (known === undefined) {
    return Object.values(attachTypes).some((types) => types.includes(wanted)) ? -EINVAL : -ENOTSUPP;
  }
  if (!known.includes(wanted) || wanted !== ofProg(kernel, prog, PROG_ATTACH_TYPE)) return -EINVAL;
  if (wanted === BPF_TRACE_ITER || wanted === BPF_LSM_CGROUP) return -ENOTSUPP;
  const cookie = u64[(attr + link_create.tracing.fields.cookie.offset) >>> 3]!;
  if (wanted === BPF_TRACE_RAW_TP) return linkToTracepoint(kernel, prog, cookie);
  const targetFd = u32[(attr + link_create.target_fd.offset) >>> 2]!;
  const targetId = u32[(attr + link_create.target_btf_id.offset) >>> 2]!;
  return linkToFunction(kernel, prog, targetFd, targetId, cookie);
}

export function linkCreate(kernel: Kernel, attr: number): number {
  const { u32 } = kernel.mem;
  const structOps = u32[(attr + link_create.attach_type.offset) >>> 2] === BPF_STRUCT_OPS;
  // Struct_ops links are of maps, of a type that this host does not have.
  const object = kernel.get(u32[(attr + link_create.prog_fd.offset) >>> 2]!, structOps ? OBJ_MAP : OBJ_PROG);
  if (object < 0) return object;
  const fd = structOps ? -EINVAL : create(kernel, object, attr);
  kernel.done(object);
  return fd;
}

/** Links of these kinds end with their last fd, and not before. */
export function linkDetach(kernel: Kernel, attr: number): number {
  const link = kernel.get(kernel.mem.u32[(attr + link_detach.link_fd.offset) >>> 2]!, OBJ_LINK);
  if (link < 0) return link;
  kernel.done(link);
  return -EOPNOTSUPP;
}
