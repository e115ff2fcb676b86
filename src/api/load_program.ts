/** Loading of programs, with the verifier's log when that fails. */
import { InputError } from "../errors.ts";
import type { AttrObject } from "../host/host.ts";
import { encodeInsns, INSN_SIZE, type Insn } from "../insn/index.ts";
import { BPF_OBJ_NAME_LEN, BPF_PROG_LOAD, bpf_func_info, bpf_line_info, ENOSPC } from "../uapi/index.ts";
import type { HostContext } from "./context.ts";
import { nameAt } from "./info.ts";
import { hasType, loadFailure, loadWithLog, logSummary } from "./load_failure.ts";
import { progTypeName, progTypeNumber } from "./prog_types.ts";
import { Program, programTitle } from "./program.ts";

/** BTF of a program: what shows source lines in the verifier's log and in faults. */
export interface ProgramBtf {
  /** fd of the loaded BTF object. */
  readonly fd: number;
  /** Records of struct bpf_func_info and struct bpf_line_info. */
  readonly funcInfo: Uint8Array;
  readonly lineInfo: Uint8Array;
}

/** What `loadProgram` takes. */
export interface ProgramOptions {
  /** `xdp`, `sched_cls`, `socket_filter`: the kernel's name in lower case; or BPF_PROG_TYPE_*. */
  readonly type: string | number;
  /** Instructions, or their bytes. Maps are named by `map.fd`. */
  readonly insns: readonly Insn[] | Uint8Array;
  /** Many helpers want `GPL`. Default: none. */
  readonly license?: string;
  /** Up to 15 characters. */
  readonly name?: string;
  /** BPF_* of enum bpf_attach_type. */
  readonly expectedAttachType?: number;
  /**
   * Id in the kernel's BTF (or in that of the program to attach to) of what it is attached to: a function, a tracepoint's
   * typedef, a struct of callbacks. For tracing, lsm and struct_ops.
   */
  readonly attachBtfId?: number;
  /** fd of the program to attach to. */
  readonly attachProgFd?: number;
  /** BPF_F_*: prog_flags. */
  readonly flags?: number;
  readonly btf?: ProgramBtf;
}

function typeOf({ type }: ProgramOptions): number {
  if (typeof type === "number") return type;
  const number = progTypeNumber(type);
  if (number === undefined)
    throw new InputError(`loadProgram: type is ${JSON.stringify(type)}, expected one such as xdp`);
  return number;
}

function attrOf(options: ProgramOptions, type: number, progName: string): AttrObject {
  const { insns: given, license = "", expectedAttachType = 0, flags = 0, attachBtfId = 0, attachProgFd = 0 } = options;
  const insns = given instanceof Uint8Array ? given : encodeInsns(given);
  if (insns.length === 0 || insns.length % INSN_SIZE !== 0) {
    throw new InputError(`loadProgram: ${insns.length} bytes of instructions, expected a multiple of ${INSN_SIZE}`);
  }
  return {
    prog_type: type,
    insn_cnt: insns.length / INSN_SIZE,
    insns,
    license,
    prog_flags: flags,
    prog_name: progName,
    expected_attach_type: expectedAttachType,
    attach_btf_id: attachBtfId,
    attach_prog_fd: attachProgFd,
  };
}

function btfAttr(btf: ProgramBtf | undefined): AttrObject | undefined {
  if (btf === undefined) return undefined;
  const { fd, funcInfo, lineInfo } = btf;
  const attr: AttrObject = { prog_btf_fd: fd };
  if (funcInfo.length > 0) {
    attr.func_info_rec_size = bpf_func_info.size;
    attr.func_info = funcInfo;
    attr.func_info_cnt = funcInfo.length / bpf_func_info.size;
  }
  if (lineInfo.length > 0) {
    attr.line_info_rec_size = bpf_line_info.size;
    attr.line_info = lineInfo;
    attr.line_info_cnt = lineInfo.length / bpf_line_info.size;
  }
  return attr;
}

/** What the loader of an object knows beside the program itself. */
export interface ProgramOrigin {
  /** What it is called where the kernel's 15 bytes do not do. */
  readonly name: string;
  /** Why it was refused, if the log shows it to the loader; what to say in place of the log's last lines. */
  readonly explain: (log: string) => readonly string[] | undefined;
}

export function loadProgram(context: HostContext, options: ProgramOptions, origin?: ProgramOrigin): Program {
  const type = typeOf(options);
  const { name = "" } = options;
  if (new TextEncoder().encode(name).length >= BPF_OBJ_NAME_LEN) {
    throw new InputError(
      `program name \`${name}\`: expected at most ${BPF_OBJ_NAME_LEN - 1} bytes, which the kernel keeps`,
    );
  }
  const attr = attrOf(options, type, name);
  const debug = btfAttr(options.btf);
  const fullName = origin?.name ?? name;
  const title = programTitle(type, fullName);
  let fd = context.seam.bpf(BPF_PROG_LOAD, { ...attr, ...debug });
  if (fd < 0) {
    const first = fd;
    const { result, log } = loadWithLog(context, { ...attr, ...debug });
    fd = result;
    // BTF that this kernel does not understand must not keep a good program out.
    if (fd < 0 && debug !== undefined) fd = context.seam.bpf(BPF_PROG_LOAD, attr);
    if (fd < 0) {
      // A host that shows a log knows the type.
      const missing =
        log !== "" || hasType(context, attr) ? "" : `: this host has no programs of type ${progTypeName(type)}`;
      const summary = origin?.explain(log) ?? logSummary(log);
      throw loadFailure(`${title} was refused${missing}`, result === -ENOSPC ? first : result, log, summary);
    }
  }
  return new Program(context, fd, fullName, type, options.expectedAttachType ?? 0);
}

/** The part of a long name that the kernel keeps. */
export function kernelName(name: string): string {
  return nameAt(new TextEncoder().encode(name), { offset: 0, size: BPF_OBJ_NAME_LEN - 1 });
}
