/** What the parts of one host's typed API share. */
import { type Btf, parseBtf } from "../btf/index.ts";
import type { Host, UserBuffer } from "../host/host.ts";
import { Copies } from "../mem/copies.ts";
import { BPF_BTF_GET_FD_BY_ID, BPF_OBJ_GET_INFO_BY_FD, bpf_btf_info, ENOMEM } from "../uapi/index.ts";
import { BpfError } from "./error.ts";
import { Observers } from "./observe/observer.ts";

/** Something open that the host has to close when it is closed itself. */
export interface Owned {
  /** What it is, for `leaks()`. */
  readonly kind: "map" | "program" | "link";
  readonly name: string;
  readonly id: number;
  readonly fd: number;
  /** Whether closing it closes the fd: otherwise the fd is somebody else's to forget. */
  readonly ownsFd: boolean;
  close(): void;
}

const { fields: btfInfo, size: BTF_INFO_SIZE } = bpf_btf_info;
/** Parsed BTF objects that are kept. */
const BTF_KEPT = 16;

export class HostContext {
  /** The seam: embedded kernel or bpf(2). */
  readonly seam: Host;
  readonly owned: Set<Owned> = new Set();
  /** Who is told of runs. */
  readonly observers: Observers;
  /** Whether a map type has a batch command, by `batchKey`, once it was asked. */
  readonly batches: Map<number, boolean> = new Map();
  /** Packets of results. */
  readonly copies: Copies = new Copies();
  readonly #btf: Map<number, Btf | undefined> = new Map();

  constructor(seam: Host) {
    this.seam = seam;
    this.observers = new Observers(seam);
  }

  /** User memory, zeroed. `BpfError` ENOMEM when there is no more. */
  alloc(bytes: number): UserBuffer {
    try {
      return this.seam.user.alloc(bytes);
    } catch (cause) {
      if (!(cause instanceof RangeError)) throw cause;
      throw new BpfError({ errno: ENOMEM, cmd: "user.alloc", what: cause.message, cause });
    }
  }

  /** The BTF object with this id; undefined when the host does not give it out, or there is none. */
  btf(id: number): Btf | undefined {
    if (id === 0) return undefined;
    if (this.#btf.has(id)) return this.#btf.get(id);
    const fd = this.seam.bpf(BPF_BTF_GET_FD_BY_ID, { btf_id: id });
    if (fd < 0) return undefined;
    const btf = this.#read(fd);
    this.seam.close(fd);
    const [oldest] = this.#btf.keys();
    if (this.#btf.size >= BTF_KEPT && oldest !== undefined) this.#btf.delete(oldest);
    this.#btf.set(id, btf);
    return btf;
  }

  #read(fd: number): Btf | undefined {
    const info = new Uint8Array(BTF_INFO_SIZE);
    const view = new DataView(info.buffer);
    const ask = (): number => this.seam.bpf(BPF_OBJ_GET_INFO_BY_FD, { bpf_fd: fd, info_len: BTF_INFO_SIZE, info });
    if (ask() < 0) return undefined;
    const size = view.getUint32(btfInfo.btf_size.offset, true);
    const raw = this.alloc(size);
    try {
      info.fill(0);
      view.setBigUint64(btfInfo.btf.offset, raw.address, true);
      view.setUint32(btfInfo.btf_size.offset, size, true);
      return ask() < 0 ? undefined : parseBtf(raw.bytes.slice());
    } finally {
      raw.free();
    }
  }
}
