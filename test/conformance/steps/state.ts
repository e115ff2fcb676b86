/** What a case has opened, and how the words of its steps become numbers and bytes. */
import { exit, mov64Imm, R0 } from "../../../src/insn/index.ts";
import * as u from "../../../src/uapi/index.ts";
import { btfBytes, typeIds } from "../btf_types.ts";
import { encodeKey, encodeValue, errnoOf, flagsOf, fromHex, isErrno, nameOf, toHex } from "../encode.ts";
import { loadProgram } from "../programs.ts";
import { BAD_ADDRESS, FILL, type Opened, type Session, type Value } from "../session.ts";
import type { Data, Errno, Field, MapAt, MapAttr, Result } from "../step.ts";

export interface OpenMap extends Opened {
  readonly attr: Record<string, Value>;
}

/** `expected` against what came: an errno, 0, or bytes in hex. */
export function compare(expected: string | number, actual: string | number): string | undefined {
  if (expected === actual) return undefined;
  const show = (x: string | number): string => (typeof x === "number" ? nameOf(x) : x);
  return `expected ${show(expected)}, got ${show(actual)}`;
}

export function resultOf(result: Result): number {
  return result === 0 ? 0 : errnoOf(result);
}

export class State {
  readonly session: Session;
  /** Attributes of the table and the case. */
  readonly base: MapAttr;
  /** The mapping in use. */
  mapping: Uint8Array | undefined;
  readonly #maps: Map<string, OpenMap> = new Map();
  /** What is open and no map: BTF, programs, directories. */
  readonly #others: Map<string, number> = new Map();
  #inUse = "map";
  readonly #mappings: Uint8Array[] = [];
  /** Where the last mapping was. */
  #mappedAt = 0n;

  constructor(session: Session, base: MapAttr) {
    this.session = session;
    this.base = base;
  }

  /** The map in use. */
  get map(): OpenMap {
    return this.named(this.#inUse);
  }

  named(name: string): OpenMap {
    const map = this.#maps.get(name);
    if (map === undefined) throw new Error(`no map was opened as ${name}`);
    return map;
  }

  use(name: string): void {
    this.named(name);
    this.#inUse = name;
  }

  /** The map is known by this name; without one it is closed. */
  keep(map: OpenMap, name: string | undefined): void {
    if (name === undefined) this.session.close(map.fd);
    else this.#maps.set(name, map);
  }

  make(attr: MapAttr): OpenMap | number {
    const fields: Record<string, Value> = {};
    for (const [field, value] of Object.entries({ ...this.base, ...attr })) {
      if (value !== undefined) fields[field] = this.value(field, value);
    }
    const opened = this.session.create(fields);
    return typeof opened === "number" ? opened : { ...opened, attr: fields };
  }

  /** Makes a map only to see whether it can be made: 0, or the errno. */
  tryToMake(attr: MapAttr): number {
    const made = this.make(attr);
    if (typeof made === "number") return made;
    this.session.close(made.fd);
    return 0;
  }

  value(name: string, field: Field): Value {
    if (typeof field === "object") return "hex" in field ? fromHex(field.hex) : new Uint8Array(field.length).fill(FILL);
    if (typeof field !== "string" || name === "map_name") return field;
    if (field === "BAD") return BAD_ADDRESS;
    if (field.startsWith("$")) return this.#others.get(field.slice(1)) ?? this.named(field.slice(1)).fd;
    if (field.startsWith("type:")) {
      const id = typeIds[field.slice(5)];
      if (id === undefined) throw new Error(`btf_types.ts has no ${field}`);
      return id;
    }
    const id = /^#(\w+)([+-]\d+)?$/.exec(field);
    if (id !== null) return this.named(id[1]!).id + Number(id[2] ?? 0);
    return flagsOf(field as `BPF_${string}`);
  }

  key(key: Data): Uint8Array {
    return encodeKey(key, this.map.shape);
  }

  val(value: Data): Uint8Array {
    return encodeValue(value, this.map.shape);
  }

  expectedValue(result: Data | Errno): string | number {
    return isErrno(result) ? errnoOf(result) : toHex(this.val(result));
  }

  open(name: string, flags: number | bigint, result: Result): string | undefined {
    const { map } = this;
    const fd = this.session.call(u.BPF_MAP_GET_FD_BY_ID, { map_id: map.id, open_flags: flags });
    if (fd >= 0) {
      this.#maps.set(name, { ...map, fd });
      this.#inUse = name;
    }
    return compare(resultOf(result), Math.min(fd, 0));
  }

  close(name: string, result: Result): string | undefined {
    const map = this.#maps.get(name);
    const fd = map?.fd ?? this.#others.get(name);
    if (fd === undefined) throw new Error(`nothing was opened as ${name}`);
    const ret = this.session.close(fd);
    if (map !== undefined) this.#maps.set(name, { ...map, fd: -1 });
    else this.#others.set(name, -1);
    return compare(resultOf(result), ret);
  }

  loadBtf(name: string): string | undefined {
    const fd = this.session.call(u.BPF_BTF_LOAD, { btf: btfBytes.slice(), btf_size: btfBytes.length });
    if (fd < 0) return `BTF_LOAD: ${nameOf(fd)}`;
    this.#others.set(name, fd);
    return undefined;
  }

  loadProg(name: string): string | undefined {
    const { fd, log } = loadProgram(this.session.host, [mov64Imm(R0, 2), exit()]);
    if (fd < 0) return `PROG_LOAD: ${nameOf(fd)} ${log}`;
    this.keepFd(name, fd);
    return undefined;
  }

  keepFd(name: string, fd: number): void {
    this.#others.set(name, fd);
  }

  /** An fd that came from a pin: it must be of a map that the case has made. */
  keepOpened(fd: number, name: string | undefined): void {
    if (name === undefined) {
      this.session.close(fd);
      return;
    }
    const { id } = this.session.opened(fd, this.map.shape);
    const map = [...this.#maps.values()].find((each) => each.id === id);
    if (map === undefined) throw new Error(`map ${id} is none of the case's`);
    this.#maps.set(name, { ...map, fd });
    this.#inUse = name;
  }

  mmap(offset: number, length: number, prot: number, result: Result, at: MapAt = 0n): string | undefined {
    const { host } = this.session;
    this.session.calls++;
    const address = typeof at === "bigint" ? at : this.#mappedAt + (at === "same" ? 0n : BigInt(host.pageSize));
    const made = host.mmap(this.map.fd, { offset, length, prot, address });
    if (typeof made !== "number") {
      this.#mappedAt = host.mappedAt(made);
      this.#mappings.push(made);
      this.mapping = made;
    }
    return compare(resultOf(result), typeof made === "number" ? made : 0);
  }

  end(): void {
    for (const mapping of this.#mappings) this.session.host.munmap(mapping);
    for (const { fd } of this.#maps.values()) if (fd >= 0) this.session.host.close(fd);
    for (const fd of this.#others.values()) if (fd >= 0) this.session.host.close(fd);
  }
}
