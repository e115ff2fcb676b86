/** Loaded programs: running and attaching them. */
/// <reference lib="esnext.disposable" preserve="true" />
import type { IterResult } from "../cmd/run_iter.ts";
import { InputError } from "../errors.ts";
import type { Host } from "../host/host.ts";
import {
  BPF_OBJ_GET_INFO_BY_FD,
  BPF_PROG_GET_FD_BY_ID,
  BPF_PROG_STREAM_READ_BY_FD,
  BPF_STDERR,
  BPF_STDOUT,
  bpf_prog_info,
  EBADF,
  EINVAL,
  EPERM,
} from "../uapi/index.ts";
import type { HostContext, Owned } from "./context.ts";
import type { Compiled } from "./engine.ts";
import { BpfError } from "./error.ts";
import { toHex } from "./hex.ts";
import { nameAt } from "./info.ts";
import { type AttachOptions, attachProgram, type Link } from "./link.ts";
import type { Observer } from "./observe/observer.ts";
import { permissionHint } from "./permission.ts";
import { fdKind, openPinned, pin } from "./pin.ts";
import { progTypeName } from "./prog_types.ts";
import { NOTHING, Runner, type RunOptions, type RunResult } from "./run.ts";
import { ManyRunner, type RunManyOptions, type RunManyResult } from "./run_many.ts";

const STREAM_CHUNK = 4096;
const STREAM_MAX = 1024 * 1024;
const { fields: infoFields, size: INFO_SIZE } = bpf_prog_info;

/** A loaded program. */
export class Program implements Owned, Disposable {
  readonly kind = "program" as const;
  /** @internal */
  readonly ownsFd = true;
  /** The function's name; the kernel keeps 15 characters of it. */
  readonly name: string;
  readonly id: number;
  /** `xdp`: the kernel's name of the type in lower case. */
  readonly type: string;
  /** The kernel's hash of the instructions, 16 hexadecimal digits. */
  readonly tag: string;
  readonly #context: HostContext;
  readonly #runner: Runner;
  readonly #many: ManyRunner;
  readonly #title: string;
  readonly #readStderr = (): string => this.stderr();
  readonly #typeNumber: number;
  /** Undefined: somebody else loaded it, and the kernel does not tell. */
  readonly #attachType: number | undefined;
  #fd: number;

  /** @internal */
  constructor(context: HostContext, fd: number, name: string, type: number, attachType?: number) {
    this.#context = context;
    this.#fd = fd;
    this.name = name;
    this.type = progTypeName(type);
    this.#typeNumber = type;
    this.#attachType = attachType;
    const info = readInfo(context.seam, fd);
    this.id = info?.id ?? 0;
    this.tag = info?.tag ?? "";
    this.#title = programTitle(type, name);
    const target = { fd, type, title: this.#title };
    this.#runner = new Runner(context, target);
    this.#many = new ManyRunner(context, target, this.#runner);
    context.owned.add(this);
    context.observers.loaded(this);
  }

  /** -1 when closed. */
  get fd(): number {
    return this.#fd;
  }

  /**
   * Runs the program in place, BPF_PROG_TEST_RUN: on a packet, a context, or both, as its type wants. A fault of a
   * program on the embedded host is a `BpfError` with the instruction and what it did in `message` and `log`.
   * Since Linux 4.12.
   *
   *     const { retval, data } = program.run({ data: packet });
   */
  run(options: RunOptions = NOTHING): RunResult {
    if (this.#fd < 0) this.#failClosed("run");
    if (options.observe === undefined) return this.#runner.run(options, this.#readStderr);
    return this.#observed(options.observe, () => this.#runner.run(options, this.#readStderr));
  }

  /**
   * As `run`, but always BPF_PROG_TEST_RUN as the kernel has it, which is something else for two types. Of tracing programs
   * it calls the kernel's test functions (bpf_fentry_test1 and so on, bpf_modify_return_test), so that the programs which
   * are attached to them run; of struct_ops programs it runs those of struct bpf_dummy_ops, with the address of their
   * state in user memory as the first of `args`. Since Linux 5.5, for struct_ops 5.16.
   *
   *     using link = program.attach();
   *     program.testRun();
   */
  testRun(options: RunOptions = {}): RunResult {
    if (this.#fd < 0) this.#failClosed("run");
    if (options.observe === undefined) return this.#runner.testRun(options, this.#readStderr);
    return this.#observed(options.observe, () => this.#runner.testRun(options, this.#readStderr));
  }

  #observed(observe: Observer, run: () => RunResult): RunResult {
    const watched = this.#context.observers.add(observe, [this]);
    try {
      return run();
    } finally {
      watched.stop();
    }
  }

  /**
   * Attaches a tracing, lsm or raw_tracepoint program to what it was loaded for, until the link is closed. On embedded
   * hosts `testRun` alone calls functions of the kernel: links to anything but its test functions are there, and nothing
   * comes of them. Since Linux 4.17, for functions 5.5.
   */
  attach(options: AttachOptions = {}): Link {
    if (this.#fd < 0) this.#failClosed("attach");
    const program = { fd: this.#fd, type: this.#typeNumber, name: this.name, title: this.#title };
    return attachProgram(this.#context, { ...program, attachType: this.#attachType }, options);
  }

  /**
   * Runs the program on many packets, each as `run({ data })` would: with a budget of its own, and without losing the rest
   * when one is stopped. What is asked for comes in columns. Compiled XDP programs go through the packets in a loop of
   * WebAssembly, some 10 million in a second; a `PacketList` spares the copy of each packet. Other types, what is
   * interpreted or observed, `repeat`, packets of more than 3,520 bytes, and the kernel host take one run a packet.
   *
   *     const { retvals, counts, failures } = program.runMany(packets);
   */
  runMany(packets: Iterable<Uint8Array>, options: RunManyOptions = {}): RunManyResult {
    if (this.#fd < 0) this.#failClosed("runMany");
    return this.#many.run(packets, options, this.#readStderr);
  }

  /**
   * Compiles the program now, which its first run would do otherwise, and says what will run it. What cannot be compiled
   * is interpreted, with the same results, and `whyInterpreted` says why. On a shared host each worker compiles for
   * itself. The kernel compiled it when it was loaded.
   *
   *     const { engine, whyInterpreted = "" } = program.compile();
   */
  compile(): Compiled {
    if (this.#fd < 0) this.#failClosed("compile");
    const { seam } = this.#context;
    const { engine } = seam;
    if (engine === "kernel") {
      const bytes = readInfo(seam, this.#fd)?.jitedLength ?? 0;
      return { engine: "kernel", whyInterpreted: undefined, milliseconds: 0, bytes };
    }
    if (engine === "interp") return { engine, whyInterpreted: undefined, milliseconds: 0, bytes: 0 };
    const compiled = seam.compile!(this.#fd);
    if (typeof compiled === "number") {
      throw new BpfError({ errno: compiled, cmd: "compile", what: `cannot compile ${this.#title}` });
    }
    const { why, milliseconds, bytes } = compiled;
    return { engine: why === undefined ? engine : "interp", whyInterpreted: why, milliseconds, bytes };
  }

  /**
   * Calls an iterator program (`iter/bpf_map_elem`) for each element of a map, then once more without one, as reading the
   * kernel's iterator does. Gives what it wrote with bpf_seq_printf and bpf_seq_write. Only on embedded hosts. A program
   * that returns 1 ends it with EAGAIN.
   */
  iterate(map: { readonly fd: number }): IterResult {
    if (this.#fd < 0) this.#failClosed("iterate");
    const { seam } = this.#context;
    if (seam.runIter === undefined) {
      throw new InputError(`program ${this.name}: only embedded hosts iterate (createEmbedded())`);
    }
    const result = seam.runIter(this.#fd, map.fd);
    if (typeof result !== "number") return result;
    const log = this.stderr().trimEnd();
    const what = `${this.#title} did not come to the end of the map`;
    throw new BpfError({
      errno: result,
      cmd: "iterate",
      what,
      ...(log === "" ? {} : { log, summary: log.split("\n") }),
    });
  }

  /** What the program wrote with bpf_stream_printk, and was not read yet. Since Linux 6.17. */
  stdout(): string {
    return this.#stream(BPF_STDOUT);
  }

  /** What went wrong in its runs, as the host reports it, and was not read yet. Since Linux 6.17. */
  stderr(): string {
    return this.#stream(BPF_STDERR);
  }

  /** Empty on hosts without streams. */
  #stream(stream_id: number): string {
    if (this.#fd < 0) this.#failClosed("read");
    const stream_buf = new Uint8Array(STREAM_CHUNK);
    const decoder = new TextDecoder();
    let text = "";
    while (text.length < STREAM_MAX) {
      const attr = { stream_buf, stream_buf_len: STREAM_CHUNK, stream_id, prog_fd: this.#fd };
      const count = this.#context.seam.bpf(BPF_PROG_STREAM_READ_BY_FD, attr);
      if (count <= 0) break;
      text += decoder.decode(stream_buf.subarray(0, count), { stream: true });
    }
    return text;
  }

  #failClosed(what: string): never {
    throw new BpfError({ errno: EBADF, cmd: what, what: `program \`${this.name}\` is closed` });
  }

  /** Gives the program a name in bpffs, as `BpfMap.pin`. Since Linux 4.4. */
  pin(path: string): void {
    if (this.#fd < 0) this.#failClosed("pin");
    pin(this.#context, this.#fd, path, this.#title);
  }

  /** Gives fd and buffers back. A second call does nothing. */
  close(): void {
    if (this.#fd < 0) return;
    this.#context.seam.close(this.#fd);
    this.#fd = -1;
    this.#runner.close();
    this.#many.close();
    this.#context.owned.delete(this);
  }

  [Symbol.dispose](): void {
    this.close();
  }
}

export function programTitle(type: number, name: string): string {
  return `${progTypeName(type)} program${name === "" ? "" : ` \`${name}\``}`;
}

interface ProgramInfo {
  readonly id: number;
  readonly tag: string;
  readonly type: number;
  readonly name: string;
  readonly jitedLength: number;
}

function readInfo(host: Host, fd: number): ProgramInfo | undefined {
  const info = new Uint8Array(INFO_SIZE);
  if (host.bpf(BPF_OBJ_GET_INFO_BY_FD, { bpf_fd: fd, info_len: INFO_SIZE, info }) < 0) return undefined;
  const view = new DataView(info.buffer);
  const { tag, id, type, name, jited_prog_len } = infoFields;
  return {
    id: view.getUint32(id.offset, true),
    tag: toHex(info.subarray(tag.offset, tag.offset + tag.size)),
    type: view.getUint32(type.offset, true),
    name: nameAt(info, name),
    jitedLength: view.getUint32(jited_prog_len.offset, true),
  };
}

/** Which program to open. */
export type ProgramRef =
  /** By its id. Needs CAP_SYS_ADMIN on the kernel host. Since Linux 4.13. */
  | { readonly id: number }
  /** By the path that it is pinned at. Since Linux 4.4. */
  | { readonly pin: string };

export function openProgram(context: HostContext, ref: ProgramRef): Program {
  const { seam } = context;
  const fd = "id" in ref ? seam.bpf(BPF_PROG_GET_FD_BY_ID, { prog_id: ref.id }) : openPinned(context, ref.pin);
  if (fd < 0) {
    const what = `cannot open program ${"id" in ref ? ref.id : ref.pin}`;
    const hint = fd === -EPERM ? permissionHint("CAP_SYS_ADMIN") : undefined;
    throw new BpfError({ errno: fd, cmd: BPF_PROG_GET_FD_BY_ID, what, hint });
  }
  const info = fdKind(context, fd) === "map" ? undefined : readInfo(seam, fd);
  if (info !== undefined) return new Program(context, fd, info.name, info.type);
  seam.close(fd);
  throw new BpfError({ errno: EINVAL, cmd: "openProgram", what: `${"id" in ref ? ref.id : ref.pin} is no program` });
}
