/**
 * The kernel host: bpf(2) of the machine's Linux through koffi. The kernel never gets an address that is not this
 * host's user memory or mapping in full length: a command's pointers are checked first, and one that leads elsewhere is
 * replaced by one that always faults, so that the kernel still decides which error comes first.
 */
import { InputError } from "../errors.ts";
import { bpfCommands, type CommandRow } from "../uapi/commands.ts";
import {
  BPF_ENABLE_STATS,
  BPF_ITER_CREATE,
  BPF_LINK_CREATE,
  BPF_LINK_GET_FD_BY_ID,
  BPF_MAP_CREATE,
  BPF_MAP_DELETE_ELEM,
  BPF_MAP_GET_NEXT_KEY,
  BPF_MAP_LOOKUP_ELEM,
  BPF_MAP_TYPE_ARENA,
  BPF_MAP_TYPE_ARRAY,
  BPF_MAP_TYPE_USER_RINGBUF,
  BPF_OBJ_GET_INFO_BY_FD,
  BPF_PROG_LOAD,
  BPF_RAW_TRACEPOINT_OPEN,
  BPF_TOKEN_CREATE,
  bpf_attr,
  EAGAIN,
  EBADF,
  ENOSYS,
  EPERM,
} from "../uapi/index.ts";
import type {
  Attr,
  Bpffs,
  Host,
  KernelBtf,
  KernelFacts,
  MmapOptions,
  UserBuffer,
  UserMemory,
  WaitOptions,
} from "./host.ts";
import { HostUnavailable } from "./host.ts";
import { kernelBpffs } from "./kernel_bpffs.ts";
import { readKernelBtf } from "./kernel_btf.ts";
import { kernelFacts } from "./kernel_facts.ts";
import { Fds } from "./kernel_fds.ts";
import { infoPointersOk } from "./kernel_info.ts";
import { type Libc, openLibc } from "./kernel_libc.ts";
import { Mappings } from "./kernel_mappings.ts";
import { POLLIN, POLLOUT, Waiter } from "./kernel_wait.ts";
import { defaultSize, type MapShape, Marshal, pointerLength, textLength } from "./marshal.ts";
import { NativeMemory } from "./user_memory.ts";

const ATTR_SIZE: number = bpf_attr.size;
/** How often a program is given to a verifier that signals interrupt. */
const LOAD_TRIES = 5;
const { elem } = bpf_attr;
// Constants of this module are folded into compiled code; imported ones are read and checked each time.
const LOOKUP: number = BPF_MAP_LOOKUP_ELEM;
const DELETE: number = BPF_MAP_DELETE_ELEM;
const NEXT_KEY: number = BPF_MAP_GET_NEXT_KEY;
const WHOLE: number = elem.flags.offset + elem.flags.size;
const KEY_ONLY: number = elem.key.offset + elem.key.size;
const WITH_NEXT: number = elem.next_key.offset + elem.next_key.size;
const W_KEY: number = elem.key.offset >>> 2;
/** Of the next key, too. */
const W_VALUE: number = elem.value.offset >>> 2;
const HIGH = 0x1_0000_0000;
/** An address of the kernel's half, as an argument and as a u64 in attributes: -EFAULT wherever it is used. */
const FAULT = -4096;
const FAULT_U64 = BigInt.asUintN(64, BigInt(FAULT));
/** Commands without a row whose result is an fd. */
const otherFdCommands: ReadonlySet<number> = new Set([
  BPF_RAW_TRACEPOINT_OPEN,
  BPF_LINK_CREATE,
  BPF_LINK_GET_FD_BY_ID,
  BPF_ENABLE_STATS,
  BPF_ITER_CREATE,
  BPF_TOKEN_CREATE,
]);

/** What a pointer of the attributes is: left as it is, to be replaced, or without a length of its own. */
const GOOD = 0;
const BAD = 1;
const BOUNDLESS = 2;

class KernelHost implements Host {
  readonly kind = "kernel" as const;
  readonly engine = "kernel" as const;
  readonly facts: KernelFacts = kernelFacts();
  readonly user: UserMemory;
  readonly bpffs: Bpffs;
  readonly possibleCpus: number;
  readonly pageSize: number;
  readonly #libc: Libc;
  readonly #memory: NativeMemory;
  readonly #mappings: Mappings;
  readonly #fds: Fds;
  readonly #waiter: Waiter;
  readonly #marshal: Marshal;
  /** The attributes of a call that must not be made on the caller's. */
  readonly #copy: UserBuffer;
  /** Once it was asked for. */
  #kernelBtf: KernelBtf | undefined;
  #open = true;

  constructor(libc: Libc, possibleCpus: number) {
    this.#libc = libc;
    this.possibleCpus = possibleCpus;
    this.pageSize = libc.pageSize;
    this.#mappings = new Mappings(libc);
    this.#memory = new NativeMemory(libc, this.#mappings);
    this.user = this.#memory;
    this.#fds = new Fds(libc, this.#memory, possibleCpus);
    this.bpffs = kernelBpffs(
      libc,
      this.#memory,
      () => {
        if (!this.#open) this.#refuse();
      },
      (fd) => this.#fds.opened(fd),
    );
    this.#waiter = new Waiter(libc, this.#memory, (fd) =>
      this.#fds.shapeOf(fd)?.type === BPF_MAP_TYPE_USER_RINGBUF ? POLLOUT : POLLIN,
    );
    this.#copy = this.#memory.alloc(libc.pageSize + ATTR_SIZE);
    this.#marshal = new Marshal({
      user: this.#memory,
      shapeOf: (fd) => this.#fds.shapeOf(fd),
      raw: (cmd, address, size) => this.#raw(cmd, address, size),
    });
  }

  bpf(cmd: number, attr: Attr, size?: number): number {
    if (!this.#open) this.#refuse();
    if (typeof attr === "number") return this.#raw(cmd, attr, size ?? defaultSize(cmd));
    return this.#marshal.bpf(cmd, attr, size);
  }

  /**
   * Too long for V8 to put it where it is called, which is as it should be: in a process with both kinds of hosts the
   * short way of the embedded one would have no place there then.
   */
  #raw(cmd: number, address: number, size: number): number {
    const { base, size: end, view, words } = this.#memory;
    const at = address - base;
    // The usual case: all of the attributes in the first arena, every pointer good. They can be used where they are.
    const inArena = at >= 0 && at <= end - ATTR_SIZE && (at & ~7) === at;
    // Commands on one element first, by a few comparisons: to go by their rows takes a tenth of the call.
    if (
      inArena &&
      (cmd >= LOOKUP && cmd <= DELETE
        ? size === (cmd === DELETE ? KEY_ONLY : WHOLE)
        : cmd === NEXT_KEY && size === WITH_NEXT)
    ) {
      const w = at >>> 2;
      const shape = this.#fds.known(words[w]!);
      if (shape !== undefined) {
        const { keySize, valueBytes } = shape;
        const key = words[w + W_KEY + 1]! * HIGH + words[w + W_KEY]! - base;
        const value = words[w + W_VALUE + 1]! * HIGH + words[w + W_VALUE]! - base;
        const room = cmd === NEXT_KEY ? keySize : valueBytes;
        if (key >= 0 && key <= end - keySize && (cmd === DELETE || (value >= 0 && value <= end - room))) {
          const libc = this.#libc;
          return libc.bpf(libc.nrBpf, cmd, address, size) < 0 ? -libc.errno() : 0;
        }
      }
    }
    const row = bpfCommands[cmd | 0];
    const known = row !== undefined && size >= row.end && size <= ATTR_SIZE && row.number !== BPF_OBJ_GET_INFO_BY_FD;
    if (inArena && known && this.#allGood(row, view, at)) return this.#call(row, address, size);
    return this.#rawCopied(row, cmd | 0, address, size >>> 0);
  }

  #call(row: CommandRow, address: number, size: number): number {
    const libc = this.#libc;
    let result = libc.bpf(libc.nrBpf, row.number, address, size);
    // A signal stops the verifier, however little is left to do. As often as libbpf tries.
    for (let left = LOAD_TRIES - 1; left > 0 && result < 0 && row.number === BPF_PROG_LOAD; left--) {
      if (libc.errno() !== EAGAIN) break;
      result = libc.bpf(libc.nrBpf, row.number, address, size);
    }
    if (result < 0) return -libc.errno();
    if (row.returnsFd) this.#fds.opened(result);
    return result;
  }

  #allGood(row: CommandRow, attr: DataView, at: number): boolean {
    const shape = row.mapFd < 0 ? undefined : this.#fds.shapeOf(attr.getUint32(at + row.mapFd, true));
    for (let i = 0; i < row.pointers.length; i++) if (this.#judge(row, i, attr, at, shape) !== GOOD) return false;
    return true;
  }

  #judge(row: CommandRow, index: number, attr: DataView, at: number, shape: MapShape | undefined): number {
    const { offset, pointer } = row.pointers[index]!;
    const rule = pointer!;
    const address = attr.getUint32(at + offset, true) + attr.getUint32(at + offset + 4, true) * 0x1_0000_0000;
    if (address === 0) return GOOD;
    // Not a map: the kernel says which error. It must not be given an address whose length is not known.
    if (row.mapFd >= 0 && shape === undefined) return BAD;
    if (rule.unit === "text") return this.#textOk(address, rule.scale) ? GOOD : BAD;
    const length = pointerLength(rule, attr, at, shape);
    if (!this.#memory.holds(address, length)) return BAD;
    return length === 0 && rule.zero === "all" && rule.direction !== "in" ? BOUNDLESS : GOOD;
  }

  #textOk(address: number, most: number): boolean {
    const room = this.#memory.roomAt(address);
    return room > 0 && textLength(this.#memory.bytesAt(address, Math.min(room, most)), 0, most) > 0;
  }

  /** Attributes anywhere, of any size, with bad pointers perhaps: the call is made on a copy, and outputs copied back. */
  #rawCopied(row: CommandRow | undefined, cmd: number, address: number, size: number): number {
    const libc = this.#libc;
    const touched = Math.max(size, row === undefined ? ATTR_SIZE : row.writesTo);
    // More than a page is -E2BIG before the kernel looks at the address.
    const good = size <= libc.pageSize && this.#memory.holds(address, touched);
    if (row === undefined || !good) {
      const result = libc.bpf(libc.nrBpf, cmd, good ? address : FAULT, size);
      if (result < 0) return -libc.errno();
      if (otherFdCommands.has(cmd) || row?.returnsFd === true) this.#fds.opened(result);
      return result;
    }
    const uattr = this.#memory.bytesAt(address, touched);
    const { bytes } = this.#copy;
    const attr = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
    bytes.fill(0, touched, Math.max(touched, ATTR_SIZE));
    bytes.set(uattr);
    // A field that `size` leaves out reads as zero; what the kernel writes back keeps the caller's bytes.
    const unseen = bytes.slice(size, touched);
    bytes.fill(0, size, touched);
    const bounded = this.#makeSafe(row, attr);
    bytes.set(unseen, size);
    const result = this.#call(row, Number(this.#copy.address), size);
    if (bounded.field >= 0 && result < 0 && attr.getUint32(bounded.field, true) === bounded.room) {
      attr.setUint32(bounded.field, 0, true);
    }
    for (const { offset } of row.outputs) uattr.set(bytes.subarray(offset, offset + 4), offset);
    for (const { offset } of row.corrections) uattr.set(bytes.subarray(offset, offset + 4), offset);
    return result;
  }
  /** Replaces what the kernel must not be given. Tells the size field that had to be filled in, and with what. */
  #makeSafe(row: CommandRow, attr: DataView): { readonly field: number; readonly room: number } {
    let bounded = { field: -1, room: 0 };
    const shape = row.mapFd < 0 ? undefined : this.#fds.shapeOf(attr.getUint32(row.mapFd, true));
    for (let i = 0; i < row.pointers.length; i++) {
      const { offset, pointer } = row.pointers[i]!;
      const verdict = this.#judge(row, i, attr, 0, shape);
      if (verdict === BOUNDLESS) {
        const room = this.#memory.roomAt(Number(attr.getBigUint64(offset, true)));
        bounded = { field: pointer!.times[0]!, room: Math.min(room, 0xffff_ffff) };
        attr.setUint32(bounded.field, bounded.room, true);
      }
      const replace = verdict === BAD || (row.number === BPF_OBJ_GET_INFO_BY_FD && !this.#infoOk(attr));
      if (replace) attr.setBigUint64(offset, FAULT_U64, true);
    }
    return bounded;
  }

  /** `attr` is OBJ_GET_INFO_BY_FD's. Info structs in mappings are refused: others could change the pointers in them. */
  #infoOk(attr: DataView): boolean {
    const { bpf_fd, info_len, info } = bpf_attr.info;
    const address = Number(attr.getBigUint64(info.offset, true));
    const length = attr.getUint32(info_len.offset, true);
    if (address === 0) return true;
    const arena = this.#memory.arenaOf(address, length);
    if (arena === undefined) return false;
    const at = address - arena.address;
    if (arena.bytes.subarray(at, at + length).every((byte) => byte === 0)) return true;
    const kind = this.#fds.kindOf(attr.getUint32(bpf_fd.offset, true));
    return infoPointersOk(kind, arena.view, at, length, (from, bytes) => this.#memory.holds(from, bytes));
  }

  close(fd: number): number {
    if (!this.#open) this.#refuse();
    if (!Number.isInteger(fd) || fd < 0) return -EBADF;
    this.#waiter.forget(fd);
    return this.#fds.close(fd);
  }

  fdinfo(fd: number): string | number {
    if (!this.#open) this.#refuse();
    return this.#fds.fdinfo(fd);
  }

  kernelBtf(): KernelBtf | undefined {
    if (!this.#open) this.#refuse();
    this.#kernelBtf ??= readKernelBtf();
    return this.#kernelBtf;
  }

  mmap(fd: number, options: MmapOptions): Uint8Array | number {
    if (!this.#open) this.#refuse();
    const shape = this.#fds.shapeOf(fd);
    return shape?.type === BPF_MAP_TYPE_ARENA
      ? this.#mappings.mapArena(fd, options, shape.maxEntries)
      : this.#mappings.map(fd, options);
  }

  mappedAt(bytes: Uint8Array): bigint {
    return BigInt(this.#mappings.addressOf(bytes));
  }

  munmap(bytes: Uint8Array): number {
    return this.#mappings.unmap(bytes);
  }

  poll(fds: readonly number[], timeoutMs: number): number[] | number {
    if (!this.#open) this.#refuse();
    return this.#waiter.poll(fds, timeoutMs);
  }

  async wait(fds: readonly number[], options: WaitOptions = {}): Promise<number[] | number> {
    if (!this.#open) this.#refuse();
    return this.#waiter.wait(fds, options);
  }

  dispose(): void {
    if (!this.#open) return;
    this.#open = false;
    this.#waiter.dispose();
    this.#mappings.endAll();
    this.#fds.closeAll();
  }

  #refuse(): never {
    throw new InputError("this kernel host was disposed of: open another with openKernelHost()");
  }
}

/** Numbers of a list such as `0-3,8`, counted. */
export function countCpus(list: string): number {
  let count = 0;
  for (const range of list.trim().split(",")) {
    const [first, last = first] = range.split("-").map(Number);
    count += last! - first! + 1;
  }
  return count;
}

/** Makes the smallest map and closes it: the cheapest call that needs the permissions that most calls need. */
function checkPermission(host: Host): void {
  const fd = host.bpf(BPF_MAP_CREATE, { map_type: BPF_MAP_TYPE_ARRAY, key_size: 4, value_size: 4, max_entries: 1 });
  if (fd >= 0) {
    host.close(fd);
  } else if (fd === -ENOSYS) {
    throw new HostUnavailable("no-bpf", "This kernel has no bpf(2) (ENOSYS): it was built without CONFIG_BPF_SYSCALL.");
  } else if (fd === -EPERM) {
    const what = "Run as root, or give the process CAP_BPF (CAP_NET_ADMIN, CAP_PERFMON for programs that need them).";
    const more = "In a container, its seccomp profile must allow bpf as well. Before Linux 5.11, raise RLIMIT_MEMLOCK.";
    throw new HostUnavailable("no-permission", `bpf(2) is not permitted (EPERM). ${what} ${more}`);
  }
}

/** Opens bpf(2) of this machine. Throws `HostUnavailable`, which says why not and what to do. */
export function openKernelHost(): Host {
  const libc = openLibc();
  const possible = process.getBuiltinModule("fs").readFileSync("/sys/devices/system/cpu/possible", "utf8");
  const host = new KernelHost(libc, countCpus(possible));
  try {
    checkPermission(host);
  } catch (error) {
    host.dispose();
    throw error;
  }
  return host;
}
