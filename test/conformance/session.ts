/**
 * A host and one way to call it. `object` gives the attributes by name, with buffers of the caller's own; `raw` writes
 * the kernel's bytes into user memory, with guard bytes around everything, aligned or with every address off by three;
 * `bytes` gives these bytes from memory of the caller's own.
 */
import type { AttrObject, Host, UserBuffer } from "../../src/host/host.ts";
import { bpfCommands } from "../../src/uapi/commands.ts";
import * as u from "../../src/uapi/index.ts";
import { EMBEDDED_BPFFS } from "../bpffs.ts";
import { latin1, type Shape, toHex, valueBytes } from "./encode.ts";

export type Form = "object" | "raw" | "raw, unaligned" | "bytes";

/** What attributes may hold here: numbers, texts, and buffers. */
export type Value = number | bigint | string | Uint8Array;

export interface Opened {
  fd: number;
  readonly id: number;
  readonly shape: Shape;
}

const ATTR_ROOM = 256;
const GUARD = 16;
const GUARD_BYTE = 0xa5;
const BLOCK = 1 << 20;
export const FILL = 0xee;
/** Where nobody's memory is: NULL and a little more, on both hosts. */
export const BAD_ADDRESS = 8;

export class Session {
  readonly host: Host;
  readonly form: Form;
  /** Where a bpffs is mounted that is the tests' own; empty where there is none. */
  readonly bpffs: string;
  /** Calls that were made, for the report. */
  calls = 0;
  #block: UserBuffer | undefined;

  constructor(host: Host, form: Form, bpffs: string = host.kind === "embedded" ? EMBEDDED_BPFFS : "") {
    this.host = host;
    this.form = form;
    this.bpffs = bpffs;
  }

  /** One command. Buffers among the fields are read and written in place. Bytes by offset need a raw form. */
  call(cmd: number, fields: Record<string, Value>, form: Form = this.form, size?: number): number {
    this.calls++;
    const raw = form !== "object" || Object.keys(fields).some((name) => name.startsWith("@"));
    if (raw) return this.#raw(cmd, fields, form, size);
    const attr: AttrObject = fields;
    return size === undefined ? this.host.bpf(cmd, attr) : this.host.bpf(cmd, attr, size);
  }

  #raw(cmd: number, fields: Record<string, Value>, form: Form, given: number | undefined): number {
    const skew = form === "raw, unaligned" ? 3 : 0;
    const row = bpfCommands[cmd | 0];
    let room = ATTR_ROOM + 2 * GUARD;
    for (const value of Object.values(fields)) if (typeof value !== "string") room += lengthOf(value) + 2 * GUARD;
    const size =
      given ?? Math.max(row?.end ?? 0, ...Object.keys(fields).map((f) => Number(/^@(\d+)/.exec(f)?.[1] ?? -1) + 1));
    room += Math.max(size, ATTR_ROOM);
    const block = this.#room(room);
    const { bytes } = block;
    const base = Number(block.address);
    bytes.fill(GUARD_BYTE, 0, room);
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    const attr = GUARD + skew;
    bytes.fill(0, attr, attr + size);
    let top = attr + Math.max(size, ATTR_ROOM) + GUARD;
    const buffers: { bytes: Uint8Array; at: number }[] = [];
    for (const [name, value] of Object.entries(fields)) {
      if (name.startsWith("@")) {
        bytes[attr + Number(name.slice(1))] = Number(value);
        continue;
      }
      const field = row?.byName.get(name);
      if (field === undefined) throw new Error(`${row?.name ?? cmd} has no field ${name}`);
      // A field beyond the size that is given does not exist for the kernel.
      if (field.offset + field.size > size) continue;
      let plain: number | bigint | string;
      if (value instanceof Uint8Array && field.kind !== "name16") {
        const at = top + GUARD + ((skew + 8 - ((top + GUARD) & 7)) & 7);
        bytes.set(value, at);
        buffers.push({ bytes: value, at });
        plain = base + at;
        top = at + value.length + GUARD;
      } else if (value instanceof Uint8Array || typeof value === "string") {
        bytes.set(typeof value === "string" ? latin1(value.slice(0, 16)) : value, attr + field.offset);
        continue;
      } else {
        plain = value;
      }
      if (field.size === 8) view.setBigUint64(attr + field.offset, BigInt.asUintN(64, BigInt(plain)), true);
      else view.setUint32(attr + field.offset, Number(plain) >>> 0, true);
    }
    const before = bytes.slice(0, room);
    const own = bytes.slice(attr, attr + size);
    const ret = form === "bytes" ? this.host.bpf(cmd, own) : this.host.bpf(cmd, base + attr, size);
    if (form === "bytes") bytes.set(own, attr);
    for (const { bytes: to, at } of buffers) to.set(bytes.subarray(at, at + to.length));
    for (const name of Object.keys(fields)) {
      const field = row?.byName.get(name);
      if (field !== undefined && field.size === 4 && field.kind !== "ptr" && field.offset + 4 <= size) {
        const now = view.getUint32(attr + field.offset, true);
        if (now !== new DataView(before.buffer).getUint32(attr + field.offset, true)) fields[name] = now;
      }
    }
    checkGuards(bytes, before, attr, size, buffers);
    return ret;
  }

  #room(bytes: number): UserBuffer {
    if (this.#block === undefined || this.#block.bytes.length < bytes) {
      this.#block?.free();
      this.#block = this.host.user.alloc(Math.max(bytes, BLOCK));
    }
    return this.#block;
  }

  /** MAP_CREATE, and what is needed to use the map: or the errno. */
  create(attr: Record<string, Value>): Opened | number {
    const fd = this.call(u.BPF_MAP_CREATE, attr);
    return fd < 0 ? fd : this.opened(fd, this.shapeOf(attr));
  }

  shapeOf(attr: Record<string, Value>): Shape {
    const type = Number(attr.map_type);
    return {
      type,
      keySize: Number(attr.key_size ?? 0),
      valueSize: Number(attr.value_size ?? 0),
      percpu: u.isPerCpu(type),
      cpus: this.host.possibleCpus,
    };
  }

  opened(fd: number, shape: Shape): Opened {
    const info = new Uint8Array(8);
    const ret = this.call(u.BPF_OBJ_GET_INFO_BY_FD, { bpf_fd: fd, info_len: info.length, info });
    if (ret !== 0) throw new Error(`OBJ_GET_INFO_BY_FD of a new map: ${ret}`);
    return { fd, id: new DataView(info.buffer).getUint32(4, true), shape };
  }

  close(fd: number): number {
    this.calls++;
    return this.host.close(fd);
  }

  update(map: Opened, key: Uint8Array | number, value: Uint8Array | number, flags: number | bigint): number {
    return this.call(u.BPF_MAP_UPDATE_ELEM, { map_fd: map.fd, key, value, flags });
  }

  delete(map: Opened, key: Uint8Array | number): number {
    return this.call(u.BPF_MAP_DELETE_ELEM, { map_fd: map.fd, key });
  }

  /** The value in hex, or the errno; bytes that a failing call has written are an error of the host. */
  lookup(map: Opened, key: Uint8Array | number, cmd: number = u.BPF_MAP_LOOKUP_ELEM): string | number {
    const value = new Uint8Array(valueBytes(map.shape)).fill(FILL);
    const ret = this.call(cmd, { map_fd: map.fd, key, value, flags: 0 });
    return ret === 0 ? toHex(value) : failed(ret, value);
  }

  nextKey(map: Opened, key: Uint8Array | number): Uint8Array | number {
    const next = new Uint8Array(map.shape.keySize).fill(FILL);
    const ret = this.call(u.BPF_MAP_GET_NEXT_KEY, { map_fd: map.fd, key, next_key: next });
    return ret === 0 ? next : failed(ret, next);
  }

  /** All keys in hex; ends at the first errno, which is the last entry unless it is -ENOENT. */
  keys(map: Opened, limit = 100_000): (string | number)[] {
    const keys: (string | number)[] = [];
    let key = this.nextKey(map, 0);
    while (typeof key !== "number" && keys.length < limit) {
      keys.push(toHex(key));
      key = this.nextKey(map, key);
    }
    if (typeof key === "number" && key !== -u.ENOENT) keys.push(key);
    return keys;
  }

  info(map: Opened, length: number = u.bpf_map_info.size): Uint8Array | number {
    const info = new Uint8Array(length);
    const fields = { bpf_fd: map.fd, info_len: length, info };
    const ret = this.call(u.BPF_OBJ_GET_INFO_BY_FD, fields);
    return ret === 0 ? info.subarray(0, fields.info_len) : ret;
  }

  /** OBJ_PIN: 0 or the errno. The path is given as it is; names below `bpffs` are the tests' own. */
  pin(fd: number, path: string, fields: Record<string, Value> = {}): number {
    return this.call(u.BPF_OBJ_PIN, { pathname: this.#path(path), bpf_fd: fd, ...fields });
  }

  /** OBJ_GET: a new fd, or the errno. */
  get(path: string, fields: Record<string, Value> = {}): number {
    return this.call(u.BPF_OBJ_GET, { pathname: this.#path(path), ...fields });
  }

  #path(path: string): Value {
    return this.form === "object" ? path : new TextEncoder().encode(`${path}\0`);
  }

  dispose(): void {
    this.#block?.free();
    this.#block = undefined;
  }
}

function lengthOf(value: Value): number {
  return value instanceof Uint8Array ? value.length + 8 : 0;
}

function failed(ret: number, buffer: Uint8Array): number {
  if (!buffer.every((b) => b === FILL)) throw new Error(`the call gave ${ret} and wrote ${toHex(buffer)}`);
  return ret;
}

/** Nothing but the attributes and the buffers may have been written. */
function checkGuards(
  bytes: Uint8Array,
  before: Uint8Array,
  attr: number,
  size: number,
  buffers: readonly { bytes: Uint8Array; at: number }[],
): void {
  // They lie in the order in which they were given.
  const ours = [{ at: attr, end: attr + size }, ...buffers.map((b) => ({ at: b.at, end: b.at + b.bytes.length }))];
  let i = 0;
  for (const { at, end } of [...ours, { at: before.length, end: before.length }]) {
    for (; i < at; i++) {
      if (bytes[i] !== before[i]) throw new Error(`byte ${i - attr} from the attributes on was written`);
    }
    i = end;
  }
}
