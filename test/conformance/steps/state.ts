/** What a case has opened, and how the words of its steps become numbers and bytes. */
import { assemble, encodeInsns, exit, ldMapFd, mov64Imm, R0, R1 } from "../../../src/insn/index.ts";
import * as u from "../../../src/uapi/index.ts";
import { btfBytes, typeIds } from "../btf_types.ts";
import { encodeKey, encodeValue, errnoOf, flagsOf, fromHex, isErrno, nameOf, toHex } from "../encode.ts";
import { BAD_ADDRESS, FILL, type Opened, type Session, type Value } from "../session.ts";
import type { Data, Errno, Field, MapAt, MapAttr, ProgramSpec, Result, Words } from "../step.ts";

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
  readonly #others: Map<string, { readonly fd: number; readonly id: number }> = new Map();
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

  /** A map with these attributes alone. */
  makePlain(name: string, attr: MapAttr): string | undefined {
    const fields: Record<string, Value> = {};
    for (const [field, value] of Object.entries(attr))
      if (value !== undefined) fields[field] = this.value(field, value);
    const opened = this.session.create(fields);
    if (typeof opened === "number") return `MAP_CREATE of ${name}: ${nameOf(opened)}`;
    this.#maps.set(name, { ...opened, attr: fields });
    return undefined;
  }

  loadProg(name: string, { maps = [], flags = 0, attachType = 0 }: ProgramSpec, result: Result): string | undefined {
    const items = [...maps.map((map) => ldMapFd(R1, this.named(map).fd)), mov64Imm(R0, u.XDP_PASS), exit()];
    const insns = assemble(items);
    const fd = this.session.call(u.BPF_PROG_LOAD, {
      prog_type: u.BPF_PROG_TYPE_XDP,
      insn_cnt: insns.length,
      insns: encodeInsns(insns),
      license: new TextEncoder().encode("GPL\0"),
      prog_flags: flagsOf(flags),
      expected_attach_type: flagsOf(attachType),
    });
    if (fd >= 0) this.#others.set(name, { fd, id: this.#idOf(fd) });
    return compare(resultOf(result), Math.min(fd, 0));
  }

  #idOf(fd: number): number {
    const info = new Uint8Array(8);
    const ret = this.session.call(u.BPF_OBJ_GET_INFO_BY_FD, { bpf_fd: fd, info_len: info.length, info });
    if (ret !== 0) throw new Error(`OBJ_GET_INFO_BY_FD of a new program: ${ret}`);
    return new DataView(info.buffer).getUint32(4, true);
  }

  /** What `$name`, `#name` and `#name-1` stand for; undefined for any other text. */
  #reference(text: string): number | undefined {
    const named = /^([$#])(\w+)([+-]\d+)?$/.exec(text);
    if (named === null) return undefined;
    const [, kind, name, more] = named;
    const { fd, id } = this.#others.get(name!) ?? this.named(name!);
    return (kind === "$" ? fd : id) + Number(more ?? 0);
  }

  words({ words }: Words): Uint8Array {
    const all = words.map((word) => (typeof word === "number" ? word : this.#reference(word)));
    return new Uint8Array(Uint32Array.from(all, (word) => word ?? Number.NaN).buffer);
  }

  /** Makes a map only to see whether it can be made: 0, or the errno. */
  tryToMake(attr: MapAttr): number {
    const made = this.make(attr);
    if (typeof made === "number") return made;
    this.session.close(made.fd);
    return 0;
  }

  value(name: string, field: Field): Value {
    if (typeof field === "object") {
      if ("words" in field) return this.words(field);
      return "hex" in field ? fromHex(field.hex) : new Uint8Array(field.length).fill(FILL);
    }
    if (typeof field !== "string" || name === "map_name") return field;
    if (field === "BAD") return BAD_ADDRESS;
    if (field.startsWith("type:")) {
      const id = typeIds[field.slice(5)];
      if (id === undefined) throw new Error(`btf_types.ts has no ${field}`);
      return id;
    }
    return this.#reference(field) ?? flagsOf(field as `BPF_${string}`);
  }

  key(key: Data): Uint8Array {
    return encodeKey(key, this.map.shape);
  }

  val(value: Data): Uint8Array {
    const known = typeof value === "string" ? this.#reference(value) : undefined;
    return encodeValue(known ?? value, this.map.shape);
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
    const fd = map?.fd ?? this.#others.get(name)?.fd;
    if (fd === undefined) throw new Error(`nothing was opened as ${name}`);
    const ret = this.session.close(fd);
    if (map !== undefined) this.#maps.set(name, { ...map, fd: -1 });
    else this.#others.set(name, { fd: -1, id: this.#others.get(name)!.id });
    return compare(resultOf(result), ret);
  }

  loadBtf(name: string): string | undefined {
    const fd = this.session.call(u.BPF_BTF_LOAD, { btf: btfBytes.slice(), btf_size: btfBytes.length });
    if (fd < 0) return `BTF_LOAD: ${nameOf(fd)}`;
    this.#others.set(name, { fd, id: 0 });
    return undefined;
  }

  keepFd(name: string, fd: number): void {
    this.#others.set(name, { fd, id: 0 });
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

  useMapping(index: number): void {
    const mapping = this.#mappings[index];
    if (mapping === undefined) throw new Error(`there is no mapping ${index}`);
    this.mapping = mapping;
  }

  end(): void {
    for (const mapping of this.#mappings) this.session.host.munmap(mapping);
    for (const { fd } of this.#maps.values()) if (fd >= 0) this.session.host.close(fd);
    for (const { fd } of this.#others.values()) if (fd >= 0) this.session.host.close(fd);
  }
}
