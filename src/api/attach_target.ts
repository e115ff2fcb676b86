/** What programs are attached to that is named by a type: functions and tracepoints of the kernel, other programs. */
import type { Btf, BtfKind } from "../btf/index.ts";
import type { ObjectSpec, ProgramSpec } from "../elf/index.ts";
import { InputError } from "../errors.ts";
import {
  attachPrefixes,
  BPF_OBJ_GET_INFO_BY_FD,
  BPF_PROG_TYPE_EXT,
  BPF_PROG_TYPE_LSM,
  BPF_PROG_TYPE_STRUCT_OPS,
  BPF_PROG_TYPE_TRACING,
  BPF_TRACE_RAW_TP,
  bpf_prog_info,
} from "../uapi/index.ts";
import type { HostContext } from "./context.ts";
import { kernelStruct, typesHint } from "./struct_ops.ts";

/** Attributes of BPF_PROG_LOAD. */
export interface AttachTarget {
  readonly attachBtfId: number;
  readonly attachProgFd?: number;
  /** Where the section's name does not say it: of a struct_ops program, which member it is. */
  readonly expectedAttachType?: number;
}

/** Program types whose target is a type. */
const typed: ReadonlySet<number> = new Set([BPF_PROG_TYPE_TRACING, BPF_PROG_TYPE_LSM, BPF_PROG_TYPE_EXT]);

/** Undefined for programs that are attached otherwise. `InputError`: no such target. */
export function attachTarget(context: HostContext, spec: ObjectSpec, program: ProgramSpec): AttachTarget | undefined {
  const { type, name, section, attachTo, attachProgFd, expectedAttachType = 0 } = program;
  if (type === BPF_PROG_TYPE_STRUCT_OPS) return structOpsMember(context, spec, name);
  if (type === undefined || !typed.has(type)) return undefined;
  if (attachTo === undefined || attachTo === "") {
    throw new InputError(`program ${name}: section \`${section}\` names no target; set \`attachTo\` in \`edit\``);
  }
  if (attachProgFd !== undefined) {
    const attachBtfId = programBtf(context, attachProgFd, name).find(attachTo, "func");
    if (attachBtfId !== undefined) return { attachBtfId, attachProgFd };
    throw new InputError(`program ${name}: the program of fd ${attachProgFd} has no function ${attachTo}`);
  }
  if (type === BPF_PROG_TYPE_EXT) {
    const hint = "set `attachProgFd` in `edit` to the fd of the loaded program";
    throw new InputError(`program ${name}: it replaces ${attachTo} of another program; ${hint}`);
  }
  const wanted = `${attachPrefixes[expectedAttachType] ?? ""}${attachTo}`;
  const kind: BtfKind = expectedAttachType === BPF_TRACE_RAW_TP ? "typedef" : "func";
  const kernel = context.seam.kernelBtf();
  const attachBtfId = kernel?.btf.find(wanted, kind);
  if (attachBtfId !== undefined) return { attachBtfId };
  throw new InputError(`program ${name}: found no ${kind} ${wanted} in the kernel's BTF${typesHint(kernel)}`);
}

function structOpsMember(context: HostContext, spec: ObjectSpec, name: string): AttachTarget {
  for (const { name: map, structOps } of spec.maps) {
    const use = structOps?.programs.find(({ program }) => program === name);
    if (structOps === undefined || use === undefined) continue;
    const { typeId, struct } = kernelStruct(context, spec, map, structOps);
    const member = struct.members.findIndex((each) => each.name === use.member);
    if (member >= 0) return { attachBtfId: typeId, expectedAttachType: member };
    throw new InputError(`map ${map}: the kernel's struct ${struct.name} has no member ${use.member}`);
  }
  throw new InputError(`program ${name}: no struct_ops map has it as a member`);
}

function programBtf(context: HostContext, fd: number, name: string): Btf {
  const { fields, size } = bpf_prog_info;
  const info = new Uint8Array(size);
  const result = context.seam.bpf(BPF_OBJ_GET_INFO_BY_FD, { bpf_fd: fd, info_len: size, info });
  const id = result < 0 ? 0 : new DataView(info.buffer).getUint32(fields.btf_id.offset, true);
  const btf = context.btf(id);
  if (btf !== undefined) return btf;
  throw new InputError(`program ${name}: fd ${fd} is no program with BTF, which names its functions`);
}
