/**
 * What a program says at load about where it will be attached: expected_attach_type, a function of the kernel's BTF, or
 * another program. Kernel counterparts: bpf_prog_load_check_attach, bpf_check_attach_target.
 */
import type { Btf, BtfType } from "../btf/index.ts";
import { MAX_ARGS } from "../contexts/probes.ts";
import type { ContextFamily } from "../contexts/table.ts";
import { InputError } from "../errors.ts";
import { kernelBtfOf } from "../helpers/kernel_btf.ts";
import { btfOf } from "../kern/btf.ts";
import type { Kernel } from "../kern/kernel.ts";
import {
  PROG_ARG_COUNT,
  PROG_ARG_POINTERS,
  PROG_ATTACH_BTF_ID,
  PROG_BTF,
  PROG_GPL,
  PROG_TARGET_PROG,
} from "../kern/prog.ts";
import { OBJ_BTF, OBJ_ID, OBJ_PROG } from "../mem/layout.ts";
import {
  attachPrefixes,
  BPF_F_SLEEPABLE,
  BPF_MODIFY_RETURN,
  BPF_PROG_TYPE_LSM,
  BPF_PROG_TYPE_STRUCT_OPS,
  BPF_PROG_TYPE_TRACING,
  BPF_TRACE_FENTRY,
  BPF_TRACE_FEXIT,
  BPF_TRACE_RAW_TP,
  bpf_attr,
  EINVAL,
  ENOTSUPP,
  STRUCT_OPS_PREFIX,
} from "../uapi/index.ts";

const { prog_load } = bpf_attr;
/** BTF_MAX_TYPE */
const MAX_TYPE_ID = 0xf_ffff;
const POINTER_SIZE = 8;

/** What decides which functions of the kernel's a program may call. */
export interface Caller {
  readonly type: number;
  readonly family: ContextFamily | undefined;
  readonly attachType: number;
  readonly flags: number;
}

/** What is needed to judge a program. */
export interface Attaching extends Caller {
  readonly kernel: Kernel;
  readonly btfId: number;
  /** The program that it is to be attached to, or 0. Held by whoever made this. */
  readonly target: number;
}

function field(kernel: Kernel, attr: number, f: { readonly offset: number }): number {
  return kernel.mem.u32[(attr + f.offset) >>> 2]!;
}

/**
 * The program whose fd stands in attach_prog_fd, 0 for none, or an errno. The caller is done with it (`kernel.done`).
 * BTF objects of user space are no targets.
 */
export function attachTarget(kernel: Kernel, attr: number): number {
  const fd = field(kernel, attr, prog_load.attach_prog_fd);
  if (fd === 0) return 0;
  const prog = kernel.get(fd, OBJ_PROG);
  if (prog >= 0) return prog;
  const btf = kernel.get(fd, OBJ_BTF);
  if (btf < 0) return -EINVAL;
  kernel.done(btf);
  return -ENOTSUPP;
}

/** The kinds of programs whose attributes may name a type of the kernel's. */
const named: readonly number[] = [BPF_PROG_TYPE_TRACING, BPF_PROG_TYPE_LSM, BPF_PROG_TYPE_STRUCT_OPS];

/** The first look, before anything of the program is read. 0 or an errno. */
export function checkAttach({ type, family, attachType, btfId, target }: Attaching): number {
  if (btfId !== 0 && (btfId > MAX_TYPE_ID || !named.includes(type))) return -EINVAL;
  if (target !== 0 && type !== BPF_PROG_TYPE_TRACING) return -EINVAL;
  return family?.attachTypes?.includes(attachType) === false ? -EINVAL : 0;
}

/** A function, with the number of arguments' words and a bit for each that is a pointer. */
interface Signature {
  readonly args: number;
  readonly pointers: number;
}

type Log = (line: string) => void;

/** The second look, when the instructions are known to be sound: writes down what the arguments are. 0 or an errno. */
export function checkTarget(attaching: Attaching, prog: number, log: Log): number {
  const { kernel, family, flags, attachType, btfId, target } = attaching;
  const sleeps = (flags & BPF_F_SLEEPABLE) !== 0;
  const { sleepable } = family!;
  if (sleepable === "only" && !sleeps) {
    log("programs of this type must be sleepable: they are loaded with BPF_F_SLEEPABLE");
    return -EINVAL;
  }
  if (sleeps && (Array.isArray(sleepable) ? !sleepable.includes(attachType) : sleepable === false)) {
    log("programs of this type cannot be sleepable");
    return -EINVAL;
  }
  if (family!.typedArgs !== true) return 0;
  const { u32 } = kernel.mem;
  const signature = typedArguments(attaching, u32[(prog + PROG_GPL) >>> 2] === 1, log);
  if (typeof signature === "number") return signature;
  u32[(prog + PROG_ATTACH_BTF_ID) >>> 2] = btfId;
  u32[(prog + PROG_TARGET_PROG) >>> 2] = target === 0 ? 0 : u32[(target + OBJ_ID) >>> 2]!;
  u32[(prog + PROG_ARG_COUNT) >>> 2] = signature.args;
  u32[(prog + PROG_ARG_POINTERS) >>> 2] = signature.pointers;
  return 0;
}

/** BTF of a kernel that was given may be broken; nobody has looked at all of it. */
function typedArguments(attaching: Attaching, gpl: boolean, log: Log): Signature | number {
  try {
    const { type } = attaching;
    return type === BPF_PROG_TYPE_STRUCT_OPS ? memberOf(attaching, gpl, log) : functionOf(attaching, gpl, log);
  } catch (error) {
    if (!(error instanceof InputError)) throw error;
    log(error.message);
    return -EINVAL;
  }
}

/** The type behind typedefs and qualifiers. */
function plain(btf: Btf, id: number): BtfType {
  return btf.type(btf.resolve(id));
}

/** From a prototype, its first `skip` arguments left out. */
function signatureOf(btf: Btf, id: number, skip: number, log: Log): Signature | number {
  const proto = btf.type(id);
  if (proto.kind !== "func_proto") return -EINVAL;
  let args = 0;
  let pointers = 0;
  for (const { typeId } of proto.params.slice(skip)) {
    const type = plain(btf, typeId);
    if (type.kind === "ptr") pointers |= 1 << args;
    // Small structs by value take as many words as they fill.
    args += type.kind === "struct" || type.kind === "union" ? Math.ceil(type.size / POINTER_SIZE) : 1;
  }
  if (args <= MAX_ARGS) return { args, pointers };
  log(`the function has ${args} arguments, more than ${MAX_ARGS}`);
  return -EINVAL;
}

/** BTF of what the program is to be attached to: the kernel's, or another program's. */
function targetBtf({ kernel, target }: Attaching, log: Log): Btf | undefined {
  if (target === 0) return kernelBtfOf(kernel);
  const btf = kernel.mem.u32[(target + PROG_BTF) >>> 2]!;
  if (btf !== 0) return btfOf(kernel, btf);
  log("the program to attach to has no BTF");
  return undefined;
}

/** Attached to functions of any name. */
const functions: readonly number[] = [BPF_TRACE_FENTRY, BPF_TRACE_FEXIT, BPF_MODIFY_RETURN];

function functionOf(attaching: Attaching, gpl: boolean, log: Log): Signature | number {
  const { type, attachType, btfId, target } = attaching;
  if (btfId === 0) {
    log("programs of this type name what they are attached to by attach_btf_id");
    return -EINVAL;
  }
  const btf = targetBtf(attaching, log);
  if (btf === undefined) return -EINVAL;
  if (type === BPF_PROG_TYPE_LSM && !gpl) {
    log("LSM programs need a licence that is compatible with the GPL");
    return -EINVAL;
  }
  if (btfId >= btf.count) {
    log(`attach_btf_id ${btfId} is no type of ${target === 0 ? "the kernel's BTF" : "the program's BTF"}`);
    return -EINVAL;
  }
  const found = btf.type(btfId);
  const prefix = attachPrefixes[attachType];
  if (prefix === undefined && !functions.includes(attachType)) return -EINVAL;
  if (prefix !== undefined && target !== 0) {
    log("only fentry, fexit and fmod_ret are attached to programs");
    return -EINVAL;
  }
  const wanted = attachType === BPF_TRACE_RAW_TP ? "typedef" : "func";
  if (found.kind !== wanted) {
    log(`attach_btf_id ${btfId} is a ${found.kind}, expected a ${wanted}`);
    return -EINVAL;
  }
  if (prefix !== undefined && !found.name.startsWith(prefix)) {
    log(`attach_btf_id ${btfId} is ${found.name}, expected a name with ${prefix}`);
    return -EINVAL;
  }
  // A tracepoint's typedef is of a pointer to a function whose first argument is not the program's to see.
  if (found.kind === "func") return signatureOf(btf, found.typeId, 0, log);
  const pointer = plain(btf, btfId);
  return pointer.kind === "ptr" ? signatureOf(btf, pointer.typeId, 1, log) : -EINVAL;
}

/** The member of a struct of callbacks that expected_attach_type counts to. */
function memberOf({ kernel, btfId, attachType }: Attaching, gpl: boolean, log: Log): Signature | number {
  if (!gpl) {
    log("struct_ops programs need a licence that is compatible with the GPL");
    return -EINVAL;
  }
  const btf = kernelBtfOf(kernel);
  const type = btfId < btf.count ? btf.type(btfId) : undefined;
  // The kernel keeps a struct of its own around each that programs may implement.
  const known = type?.kind === "struct" && btf.find(`${STRUCT_OPS_PREFIX}${type.name}`, "struct") !== undefined;
  if (type?.kind !== "struct" || !known) {
    log(`attach_btf_id ${btfId} is no struct of callbacks that programs may implement`);
    return -ENOTSUPP;
  }
  const member = type.members[attachType];
  const pointer = member === undefined ? undefined : plain(btf, member.typeId);
  if (pointer?.kind === "ptr" && btf.type(pointer.typeId).kind === "func_proto") {
    return signatureOf(btf, pointer.typeId, 0, log);
  }
  log(`member ${attachType} of struct ${type.name} is no callback`);
  return -EINVAL;
}
