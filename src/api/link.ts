/** Links: programs attached to functions, hooks and tracepoints of the kernel. */
/// <reference lib="esnext.disposable" preserve="true" />
import { InputError } from "../errors.ts";
import type { Host } from "../host/host.ts";
import {
  BPF_LINK_CREATE,
  BPF_OBJ_GET_INFO_BY_FD,
  BPF_PROG_TYPE_LSM,
  BPF_PROG_TYPE_RAW_TRACEPOINT,
  BPF_PROG_TYPE_RAW_TRACEPOINT_WRITABLE,
  BPF_PROG_TYPE_TRACING,
  BPF_RAW_TRACEPOINT_OPEN,
  BPF_TRACE_RAW_TP,
  bpf_link_info,
  EBUSY,
  EINVAL,
  EPERM,
} from "../uapi/index.ts";
import type { HostContext, Owned } from "./context.ts";
import { BpfError } from "./error.ts";
import { permissionHint } from "./permission.ts";
import { progTypeName } from "./prog_types.ts";

/** How a program is attached. */
export interface AttachOptions {
  /** For raw_tracepoint programs: the tracepoint's name, `sched_switch`. The others have said it at load. */
  readonly tracepoint?: string;
  /** What bpf_get_attach_cookie tells the program. Default: 0. Since Linux 5.19, at tracepoints 6.10. */
  readonly cookie?: bigint;
}

/** The program to attach. */
export interface Attachable {
  readonly fd: number;
  readonly type: number;
  readonly name: string;
  readonly title: string;
  /** As it was loaded with; undefined: somebody else loaded it. */
  readonly attachType: number | undefined;
}

/** An attached program: until the link is closed, and for as long as another fd of it is open. */
export class Link implements Owned, Disposable {
  readonly kind = "link" as const;
  /** @internal */
  readonly ownsFd = true;
  /** The program's. */
  readonly name: string;
  readonly id: number;
  readonly #context: HostContext;
  #fd: number;

  /** @internal */
  constructor(context: HostContext, fd: number, name: string) {
    this.#context = context;
    this.#fd = fd;
    this.name = name;
    this.id = readId(context.seam, fd);
    context.owned.add(this);
  }

  /** -1 when closed. */
  get fd(): number {
    return this.#fd;
  }

  /** Detaches the program. A second call does nothing. */
  close(): void {
    if (this.#fd < 0) return;
    this.#context.seam.close(this.#fd);
    this.#fd = -1;
    this.#context.owned.delete(this);
  }

  [Symbol.dispose](): void {
    this.close();
  }
}

/** 0 where the host does not tell. */
function readId(host: Host, fd: number): number {
  const info = new Uint8Array(bpf_link_info.size);
  const result = host.bpf(BPF_OBJ_GET_INFO_BY_FD, { bpf_fd: fd, info_len: info.length, info });
  return result < 0 ? 0 : new DataView(info.buffer).getUint32(bpf_link_info.fields.id.offset, true);
}

const byType: ReadonlySet<number> = new Set([BPF_PROG_TYPE_TRACING, BPF_PROG_TYPE_LSM]);
const byName: ReadonlySet<number> = new Set([BPF_PROG_TYPE_RAW_TRACEPOINT, BPF_PROG_TYPE_RAW_TRACEPOINT_WRITABLE]);

export function attachProgram(context: HostContext, program: Attachable, options: AttachOptions): Link {
  const { fd: prog_fd, type, name, title, attachType } = program;
  const { tracepoint, cookie = 0n } = options;
  if (!byType.has(type) && !byName.has(type)) {
    throw new InputError(`attach ${title}: expected a program of type tracing, lsm or raw_tracepoint`);
  }
  if (byName.has(type) !== (tracepoint !== undefined)) {
    const wanted = byName.has(type) ? "expected the tracepoint's name" : "it was loaded for what it is attached to";
    throw new InputError(`attach ${title}: \`tracepoint\` is ${tracepoint ?? "not given"}, ${wanted}`);
  }
  // The older command works for all of them, but for functions it takes no cookie.
  const withCookie = cookie !== 0n && byType.has(type) && attachType !== BPF_TRACE_RAW_TP;
  if (withCookie && attachType === undefined) {
    throw new InputError(`attach ${title}: \`cookie\` is ${cookie}: only for programs that this host has loaded`);
  }
  const cmd = withCookie ? BPF_LINK_CREATE : BPF_RAW_TRACEPOINT_OPEN;
  const fd = withCookie
    ? context.seam.bpf(cmd, { prog_fd, attach_type: attachType, cookie })
    : context.seam.bpf(cmd, { prog_fd, name: tracepoint ?? null, cookie });
  if (fd >= 0) return new Link(context, fd, name);
  const hint = fd === -EPERM ? permissionHint("CAP_PERFMON") : undefined;
  throw new BpfError({ errno: fd, cmd, what: `cannot attach ${title}${reason(-fd, type)}`, hint });
}

function reason(errno: number, type: number): string {
  if (errno === EBUSY) return ": it is attached already";
  return errno === EINVAL ? `: programs of type ${progTypeName(type)} with its attach type are attached otherwise` : "";
}
