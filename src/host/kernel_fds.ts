/**
 * What the kernel host knows about fds: which it opened, and the sizes of the maps behind them, asked of the kernel
 * once. Forgotten when an fd is closed through the host or handed out again by the kernel; an fd that other code of the
 * process closes and reopens as another map, unseen by the host, is judged by the old map's sizes.
 */
import { abiCursorSize, abiValueSize, BPF_OBJ_GET_INFO_BY_FD, bpf_attr, bpf_map_info, EBADF } from "../uapi/index.ts";
import type { UserBuffer } from "./host.ts";
import type { Libc } from "./kernel_libc.ts";
import type { MapShape } from "./marshal.ts";
import type { NativeMemory } from "./user_memory.ts";

/** What a map is: its sizes, and what else calls ask for. */
export interface KernelMapShape extends MapShape {
  readonly type: number;
  readonly maxEntries: number;
}

export type FdKind = "map" | "prog" | "btf" | "link";

const kindsByLink: Readonly<Record<string, FdKind>> = {
  "anon_inode:bpf-map": "map",
  "anon_inode:bpf-prog": "prog",
  "anon_inode:btf": "btf",
  "anon_inode:bpf_link": "link",
};

const INFO_AT = bpf_attr.info.info.offset + bpf_attr.info.info.size;
const { fields: infoFields, size: INFO_SIZE } = bpf_map_info;

export class Fds {
  readonly #libc: Libc;
  readonly #cpus: number;
  readonly #shapes: (KernelMapShape | undefined)[] = [];
  readonly #opened: Set<number> = new Set();
  /** Attributes of OBJ_GET_INFO_BY_FD and, behind them, bpf_map_info. */
  readonly #query: UserBuffer;

  constructor(libc: Libc, memory: NativeMemory, cpus: number) {
    this.#libc = libc;
    this.#cpus = cpus;
    this.#query = memory.alloc(INFO_AT + INFO_SIZE);
  }

  /** As `shapeOf`, if it was asked before. */
  known(fd: number): KernelMapShape | undefined {
    return this.#shapes[fd];
  }

  shapeOf(fd: number): KernelMapShape | undefined {
    const known = this.#shapes[fd];
    return known === undefined ? this.#ask(fd) : known;
  }

  #ask(fd: number): KernelMapShape | undefined {
    const kind = this.kindOf(fd);
    if (kind !== undefined && kind !== "map") return undefined;
    const { bytes, address } = this.#query;
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
    bytes.fill(0);
    view.setUint32(bpf_attr.info.bpf_fd.offset, fd, true);
    view.setUint32(bpf_attr.info.info_len.offset, INFO_SIZE, true);
    view.setBigUint64(bpf_attr.info.info.offset, address + BigInt(INFO_AT), true);
    if (this.#libc.bpf(this.#libc.nrBpf, BPF_OBJ_GET_INFO_BY_FD, Number(address), INFO_AT) < 0) return undefined;
    const field = ({ offset }: { readonly offset: number }): number => view.getUint32(INFO_AT + offset, true);
    const type = field(infoFields.type);
    const keySize = field(infoFields.key_size);
    const valueSize = field(infoFields.value_size);
    const valueBytes = abiValueSize(type, valueSize, this.#cpus);
    const shape = {
      type,
      maxEntries: field(infoFields.max_entries),
      keySize,
      valueBytes,
      cursorBytes: abiCursorSize(type, keySize),
    };
    this.#shapes[fd] = shape;
    return shape;
  }

  /** What an open fd is; undefined when it is none of bpf's, or /proc does not tell. */
  kindOf(fd: number): FdKind | undefined {
    try {
      return kindsByLink[process.getBuiltinModule("fs").readlinkSync(`/proc/self/fd/${fd}`)];
    } catch {
      return undefined;
    }
  }

  /** The fd's file below /proc, or -EBADF when it is not open. */
  fdinfo(fd: number): string | number {
    try {
      return process.getBuiltinModule("fs").readFileSync(`/proc/self/fdinfo/${fd}`, "utf8");
    } catch {
      return -EBADF;
    }
  }

  opened(fd: number): void {
    this.#shapes[fd] = undefined;
    this.#opened.add(fd);
  }

  close(fd: number): number {
    if (fd in this.#shapes) this.#shapes[fd] = undefined;
    this.#opened.delete(fd);
    return this.#libc.close(fd) < 0 ? -this.#libc.errno() : 0;
  }

  closeAll(): void {
    for (const fd of this.#opened) this.close(fd);
  }
}
