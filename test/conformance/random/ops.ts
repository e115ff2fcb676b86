/** One call of a random sequence, as data, and its making in a session. */
import * as u from "../../../src/uapi/index.ts";
import { fromHex, nameOf, toHex } from "../encode.ts";
import { BAD_ADDRESS, FILL, type Opened, type Session, type Value } from "../session.ts";

export type RandomOp =
  /** A map with these attributes takes the slot; what was there is closed. */
  | { readonly op: "create"; readonly slot: number; readonly attr: RandomAttr }
  /** Attributes that may be wrong: the map, if there is one, goes at once. */
  | { readonly op: "try"; readonly attr: RandomAttr }
  | {
      readonly op: "update" | "lookup" | "take" | "delete" | "next";
      readonly slot: number;
      /** Which of the slot's fds. */
      readonly fd: number;
      /** Hex; null: NULL. */
      readonly key: string | null;
      /** What is given: hex, or how many bytes there is room for. */
      readonly value: string | number;
      readonly flags: number;
      readonly bad?: "key" | "value";
    }
  | { readonly op: "freeze" | "close"; readonly slot: number; readonly fd: number }
  | { readonly op: "open"; readonly slot: number; readonly flags: number }
  | {
      readonly op: "batch";
      readonly command: "lookup" | "take" | "update" | "delete";
      readonly slot: number;
      readonly fd: number;
      /** Where to go on: the beginning, where the last batch command of the slot ended, or hex. */
      readonly from: "start" | "last" | string;
      readonly count: number;
      /** Hex, or how many bytes there is room for. */
      readonly keys: string | number;
      readonly values: string | number;
      readonly elemFlags: number;
      readonly flags: number;
      readonly bad?: "in_batch" | "out_batch" | "keys" | "values";
    }
  /** Unmapped at once. */
  | {
      readonly op: "mmap";
      readonly slot: number;
      readonly fd: number;
      readonly offset: number;
      readonly length: number;
      readonly prot: number;
    }
  | { readonly op: "poll"; readonly slot: number; readonly fd: number }
  | { readonly op: "info"; readonly slot: number; readonly fd: number; readonly length: number };

export type RandomAttr = Readonly<Record<string, number | string>>;

/** Where ids are in bpf_map_info: they differ from machine to machine. */
const ID_AT = u.bpf_map_info.fields.id.offset;

/** No process here opens so many. */
const NOT_OPEN = 4000;

const commands = {
  update: u.BPF_MAP_UPDATE_ELEM,
  lookup: u.BPF_MAP_LOOKUP_ELEM,
  take: u.BPF_MAP_LOOKUP_AND_DELETE_ELEM,
  delete: u.BPF_MAP_DELETE_ELEM,
  next: u.BPF_MAP_GET_NEXT_KEY,
} as const;

const batchCommands = {
  lookup: u.BPF_MAP_LOOKUP_BATCH,
  take: u.BPF_MAP_LOOKUP_AND_DELETE_BATCH,
  update: u.BPF_MAP_UPDATE_BATCH,
  delete: u.BPF_MAP_DELETE_BATCH,
} as const;
const MAPPED_SHOWN = 256;
/** Room for a cursor of any type. */
const CURSOR = 64;

/** The maps of a sequence in one session. */
export class World {
  readonly #session: Session;
  readonly #slots: Opened[][] = [];
  readonly #cursors: (string | undefined)[] = [];

  constructor(session: Session) {
    this.#session = session;
  }

  /** The call's answer as text: result and bytes written. */
  run(op: RandomOp): string {
    try {
      return this.#run(op);
    } catch (error) {
      return `threw ${String(error)}`;
    }
  }

  #run(op: RandomOp): string {
    const session = this.#session;
    switch (op.op) {
      case "create": {
        this.#empty(op.slot);
        this.#cursors[op.slot] = undefined;
        const made = session.create({ ...op.attr });
        if (typeof made === "number") return nameOf(made);
        this.#slots[op.slot] = [made];
        return "0";
      }
      case "try": {
        const fd = session.call(u.BPF_MAP_CREATE, { ...op.attr });
        if (fd >= 0) session.close(fd);
        return nameOf(Math.min(fd, 0));
      }
      case "open": {
        const first = this.#slots[op.slot]?.[0];
        if (first === undefined) return "none";
        const fd = session.call(u.BPF_MAP_GET_FD_BY_ID, { map_id: first.id, open_flags: op.flags });
        if (fd >= 0) this.#slots[op.slot]!.push({ ...first, fd });
        return nameOf(Math.min(fd, 0));
      }
      case "close": {
        const fds = this.#slots[op.slot] ?? [];
        const [gone] = fds.splice(op.fd % Math.max(1, fds.length), 1);
        return nameOf(session.close(gone?.fd ?? NOT_OPEN));
      }
      case "freeze":
        return nameOf(session.call(u.BPF_MAP_FREEZE, { map_fd: this.#fd(op.slot, op.fd) }));
      case "info":
        return this.#info(this.#fd(op.slot, op.fd), op.length);
      case "batch":
        return this.#batch(op);
      case "mmap": {
        session.calls++;
        const mapped = session.host.mmap(this.#fd(op.slot, op.fd), op);
        if (typeof mapped === "number") return nameOf(mapped);
        // The process dies of reading what it may not read.
        const bytes = (op.prot & 1) === 0 ? "" : toHex(mapped.subarray(0, MAPPED_SHOWN));
        return `${bytes} ${nameOf(session.host.munmap(mapped))}`;
      }
      case "poll": {
        session.calls++;
        const ready = session.host.poll([this.#fd(op.slot, op.fd)], 0);
        return typeof ready === "number" ? nameOf(ready) : String(ready.length);
      }
      default:
        return this.#element(op);
    }
  }

  #fd(slot: number, fd: number): number {
    const fds = this.#slots[slot] ?? [];
    return fds[fd % Math.max(1, fds.length)]?.fd ?? NOT_OPEN;
  }

  #info(fd: number, length: number): string {
    const info = new Uint8Array(length);
    const fields: Record<string, Value> = { bpf_fd: fd, info_len: length, info };
    const ret = this.#session.call(u.BPF_OBJ_GET_INFO_BY_FD, fields);
    info.fill(0, ID_AT, ID_AT + 4);
    return `${nameOf(ret)} ${fields.info_len} ${toHex(info)}`;
  }

  #element(op: Extract<RandomOp, { readonly key: string | null }>): string {
    const key = op.bad === "key" ? BAD_ADDRESS : op.key === null ? 0 : fromHex(op.key);
    const bytes = typeof op.value === "string" ? fromHex(op.value) : new Uint8Array(op.value).fill(FILL);
    const value = op.bad === "value" ? BAD_ADDRESS : bytes;
    const map_fd = this.#fd(op.slot, op.fd);
    const fields: Record<string, Value> =
      op.op === "delete"
        ? { map_fd, key }
        : op.op === "next"
          ? { map_fd, key, next_key: value }
          : { map_fd, key, value, flags: op.flags };
    const ret = this.#session.call(commands[op.op], fields);
    return op.op === "delete" || op.op === "update" ? nameOf(ret) : `${nameOf(ret)} ${toHex(bytes)}`;
  }

  #batch(op: Extract<RandomOp, { readonly op: "batch" }>): string {
    const buffer = (given: string | number): Uint8Array =>
      typeof given === "string" ? fromHex(given) : new Uint8Array(given).fill(FILL);
    const keys = buffer(op.keys);
    const values = buffer(op.values);
    const out = new Uint8Array(CURSOR).fill(FILL);
    const from = op.from === "last" ? this.#cursors[op.slot] : op.from === "start" ? undefined : op.from;
    const start = new Uint8Array(CURSOR);
    if (from !== undefined) start.set(fromHex(from));
    const fields: Record<string, Value> = {
      map_fd: this.#fd(op.slot, op.fd),
      count: op.count,
      in_batch: from === undefined ? 0 : start,
      out_batch: out,
      keys,
      values,
      elem_flags: op.elemFlags,
      flags: op.flags,
    };
    if (op.bad !== undefined) fields[op.bad] = BAD_ADDRESS;
    const ret = this.#session.call(batchCommands[op.command], fields);
    this.#cursors[op.slot] = toHex(out);
    return `${nameOf(ret)} ${fields.count} ${toHex(out)} ${toHex(keys)} ${toHex(values)}`;
  }

  /** The keys of every map that is open and has keys. */
  keys(): string {
    return this.#slots
      .map((fds) => {
        const map = fds?.[0];
        return map === undefined || map.shape.keySize === 0 ? "-" : this.#session.keys(map).join(" ");
      })
      .join(" | ");
  }

  #empty(slot: number): void {
    for (const { fd } of this.#slots[slot] ?? []) this.#session.close(fd);
    this.#slots[slot] = [];
  }

  end(): void {
    for (const slot of this.#slots.keys()) this.#empty(slot);
  }
}
