/**
 * The C library through koffi, which is loaded when a kernel host is opened and not before: nothing here is imported
 * from Node, so that browsers can load the file. Addresses are numbers (user space ends below 2^48).
 */
import { HostUnavailable } from "./host.ts";

/** What is used of koffi. */
interface Koffi {
  load(path: null): { func(name: string, result: string, args: readonly string[]): unknown };
  errno(): number;
  address(buffer: ArrayBufferView | ArrayBufferLike): bigint;
  view(address: bigint, length: number): ArrayBuffer;
  readonly node: { poll(fd: number, options: { readable: boolean }, callback: () => void): PollHandle };
}

/** A watched fd of the thread's event loop (uv_poll_t). Nothing may be called on it after `close`. */
export interface PollHandle {
  ref(): void;
  unref(): void;
  close(): void;
}

/** Results are the C functions': -1 with an errno, which the next call of any kind may change. */
export interface Libc {
  /** The number of bpf(2) on this machine, the first argument of `bpf`. */
  readonly nrBpf: number;
  readonly nrGetdents64: number;
  readonly pageSize: number;
  bpf(nr: number, cmd: number, attr: number, size: number): number;
  mmap(address: number, length: number, prot: number, flags: number, fd: number, offset: number): number;
  munmap(address: number, length: number): number;
  close(fd: number): number;
  open(path: string, flags: number): number;
  mkdir(path: string, mode: number): number;
  rmdir(path: string): number;
  unlink(path: string): number;
  rename(from: string, to: string): number;
  /** The first argument is `nrGetdents64`. */
  getdents64(nr: number, fd: number, entries: number, size: number): number;
  poll(fds: number, count: number, timeout: number): number;
  epoll_create1(flags: number): number;
  epoll_ctl(epoll: number, op: number, fd: number, event: number): number;
  epoll_wait(epoll: number, events: number, max: number, timeout: number): number;
  errno(): number;
  address(buffer: ArrayBufferLike): number;
  view(address: number, length: number): ArrayBuffer;
  watch(fd: number, callback: () => void): PollHandle;
}

/** Little-endian machines that koffi and BPF both run on. */
const bpfNumbers: Readonly<Record<string, number>> = { x64: 321, arm64: 280, riscv64: 280, loong64: 280 };

function requireKoffi(): Koffi {
  try {
    const load = process.getBuiltinModule("module").createRequire(import.meta.url);
    return load("koffi") as Koffi;
  } catch (cause) {
    const hint = "Install it beside bpfmaps: npm install koffi. createEmbedded() needs neither it nor Linux.";
    throw new HostUnavailable("no-koffi", `The kernel host calls bpf(2) through koffi, which did not load. ${hint}`, {
      cause,
    });
  }
}

/** RTLD_LAZY | RTLD_NOLOAD | RTLD_NODELETE */
const KEEP_LOADED = 0x1 | 0x4 | 0x1000;

/**
 * Keeps koffi's code in memory until the process ends. A worker thread that ends unloads it if no other thread uses it,
 * but a watched fd (`watch`) is closed after that, by a function of koffi's: a segmentation fault (koffi 3.3.4).
 */
function keepLoaded(dlopen: (path: string, flags: number) => unknown): void {
  const maps = process.getBuiltinModule("fs").readFileSync("/proc/self/maps", "utf8");
  const path = /\s(\/.*koffi\.node)$/m.exec(maps)?.[1];
  if (path !== undefined) dlopen(path, KEEP_LOADED);
}

/** All hosts of a thread have the same functions: V8 calls those directly that it meets alone. */
let opened: Libc | undefined;

/** Throws `HostUnavailable` when this is not Linux, or koffi is not there. */
export function openLibc(): Libc {
  const nrBpf = numberOfBpf();
  opened ??= makeLibc(nrBpf);
  return opened;
}

function numberOfBpf(): number {
  const machine = typeof process === "object" ? `${process.platform} ${process.arch}` : "a browser";
  const nrBpf = machine.startsWith("linux ") ? bpfNumbers[process.arch] : undefined;
  if (nrBpf === undefined) {
    const where = `This is ${machine}; the kernel host runs on Linux (${Object.keys(bpfNumbers).join(", ")}).`;
    throw new HostUnavailable("not-linux", `${where} createEmbedded() runs anywhere.`);
  }
  return nrBpf;
}

function makeLibc(nrBpf: number): Libc {
  const koffi = requireKoffi();
  const lib = koffi.load(null);
  const func = <F>(name: string, result: string, ...args: readonly string[]): F => lib.func(name, result, args) as F;
  keepLoaded(func("dlopen", "void *", "str", "int"));
  const getpagesize = func<() => number>("getpagesize", "int");
  return {
    nrBpf,
    nrGetdents64: process.arch === "x64" ? 217 : 61,
    pageSize: getpagesize(),
    // syscall(2) is declared with `...`, but integers travel as in an ordinary call on all these machines.
    bpf: func("syscall", "int", "long", "int", "uintptr_t", "uint"),
    mmap: func("mmap", "intptr_t", "uintptr_t", "size_t", "int", "int", "int", "int64"),
    munmap: func("munmap", "int", "uintptr_t", "size_t"),
    close: func("close", "int", "int"),
    open: func("open", "int", "str", "int"),
    mkdir: func("mkdir", "int", "str", "uint"),
    rmdir: func("rmdir", "int", "str"),
    unlink: func("unlink", "int", "str"),
    rename: func("rename", "int", "str", "str"),
    getdents64: func("syscall", "int", "long", "int", "uintptr_t", "uint"),
    poll: func("poll", "int", "uintptr_t", "ulong", "int"),
    epoll_create1: func("epoll_create1", "int", "int"),
    epoll_ctl: func("epoll_ctl", "int", "int", "int", "int", "uintptr_t"),
    epoll_wait: func("epoll_wait", "int", "int", "uintptr_t", "int", "int"),
    errno: koffi.errno,
    address: (buffer) => Number(koffi.address(buffer)),
    view: (address, length) => koffi.view(BigInt(address), length),
    watch: (fd, callback) => koffi.node.poll(fd, { readable: true }, callback),
  };
}
