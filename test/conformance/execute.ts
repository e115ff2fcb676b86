/** Runs the steps of a case in a session and tells the first that did not go as the table says. */
import * as u from "../../src/uapi/index.ts";
import { btfBytes, typeIds } from "./btf_types.ts";
import { constant, encodeKey, encodeValue, errnoOf, flagsOf, fromHex, isErrno, nameOf, toHex } from "./encode.ts";
import { BAD_ADDRESS, FILL, type Opened, type Session, type Value } from "./session.ts";
import type { CallOptions, Case, Data, Errno, Field, Fields, MapAttr, Result, Step, Table } from "./step.ts";

interface OpenMap extends Opened {
  readonly attr: Record<string, Value>;
}

const ERRNO_AT_LEAST = -4095;
const PROT = { r: 1, w: 2, rw: 3, rx: 5, rwx: 7 } as const;
const ACCESS = u.BPF_F_RDONLY | u.BPF_F_WRONLY;

/** What is wrong with the case in this session, or undefined. */
export function runCase(session: Session, table: Table, test: Case): string | undefined {
  const run = new Run(session, { ...table.attr, ...test.attr });
  try {
    if (test.noMap !== true) run.create({}, "map");
    for (const [i, step] of test.steps.entries()) {
      const problem = run.step(step);
      if (problem !== undefined) return `step ${i + 1} ${JSON.stringify(step, bigints)}: ${problem}`;
    }
    return undefined;
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  } finally {
    run.end();
  }
}

function bigints(_key: string, value: unknown): unknown {
  return typeof value === "bigint" ? `${value}n` : value;
}

/** `expected` against what came: an errno, 0, or bytes in hex. */
function compare(expected: string | number, actual: string | number): string | undefined {
  if (expected === actual) return undefined;
  const show = (x: string | number): string => (typeof x === "number" ? nameOf(x) : x);
  return `expected ${show(expected)}, got ${show(actual)}`;
}

function resultOf(result: Result): number {
  return result === 0 ? 0 : errnoOf(result);
}

class Run {
  readonly #session: Session;
  readonly #base: MapAttr;
  readonly #maps: Map<string, OpenMap> = new Map();
  readonly #btf: Map<string, number> = new Map();
  #inUse = "map";
  #mapping: Uint8Array | undefined;
  readonly #mappings: Uint8Array[] = [];

  constructor(session: Session, base: MapAttr) {
    this.#session = session;
    this.#base = base;
  }

  get #map(): OpenMap {
    return this.#named(this.#inUse);
  }

  #named(name: string): OpenMap {
    const map = this.#maps.get(name);
    if (map === undefined) throw new Error(`no map was opened as ${name}`);
    return map;
  }

  end(): void {
    for (const mapping of this.#mappings) this.#session.host.munmap(mapping);
    for (const { fd } of this.#maps.values()) if (fd >= 0) this.#session.host.close(fd);
    for (const fd of this.#btf.values()) if (fd >= 0) this.#session.host.close(fd);
  }

  /** Throws when it fails. */
  create(attr: MapAttr, name: string): void {
    const made = this.#make(attr);
    if (typeof made === "number") throw new Error(`MAP_CREATE of ${name}: ${nameOf(made)}`);
    this.#maps.set(name, made);
  }

  #make(attr: MapAttr): OpenMap | number {
    const fields: Record<string, Value> = {};
    for (const [field, value] of Object.entries({ ...this.#base, ...attr })) {
      if (value !== undefined) fields[field] = this.#value(field, value);
    }
    const opened = this.#session.create(fields);
    return typeof opened === "number" ? opened : { ...opened, attr: fields };
  }

  #value(name: string, field: Field): Value {
    if (typeof field === "object") return "hex" in field ? fromHex(field.hex) : new Uint8Array(field.length).fill(FILL);
    if (typeof field !== "string" || name === "map_name") return field;
    if (field === "BAD") return BAD_ADDRESS;
    if (field.startsWith("$")) return this.#btf.get(field.slice(1)) ?? this.#named(field.slice(1)).fd;
    if (field.startsWith("type:")) {
      const id = typeIds[field.slice(5)];
      if (id === undefined) throw new Error(`btf_types.ts has no ${field}`);
      return id;
    }
    const id = /^#(\w+)([+-]\d+)?$/.exec(field);
    if (id !== null) return this.#named(id[1]!).id + Number(id[2] ?? 0);
    return flagsOf(field as `BPF_${string}`);
  }

  #key(key: Data): Uint8Array {
    return encodeKey(key, this.#map.shape);
  }

  #val(value: Data): Uint8Array {
    return encodeValue(value, this.#map.shape);
  }

  #expectedValue(result: Data | Errno): string | number {
    return isErrno(result) ? errnoOf(result) : toHex(this.#val(result));
  }

  step(step: Step): string | undefined {
    const session = this.#session;
    switch (step[0]) {
      case "create": {
        const made = this.#make(step[1]);
        if (typeof made !== "number") this.#keep(made, step[3]);
        return compare(resultOf(step[2]), typeof made === "number" ? made : 0);
      }
      case "create flags":
        return this.#eachFlag(Number(flagsOf(step[1])), step[2] ?? {});
      case "create each":
        return this.#eachValue(step[1], step[2]);
      case "create names":
        return this.#eachName(step[1]);
      case "update":
        return this.#update(this.#key(step[1]), step[2], flagsOf(step[3]), step[4]);
      case "lookup":
        return compare(this.#expectedValue(step[2]), session.lookup(this.#map, this.#key(step[1])));
      case "delete":
        return compare(resultOf(step[2]), session.delete(this.#map, this.#key(step[1])));
      case "take":
        return this.#take(this.#key(step[1]), step[2]);
      case "next":
        return this.#next(step[1], step[2]);
      case "keys":
        return this.#keys(step[1]);
      case "fill":
        return this.#fill(step[1], step[2], step[3]);
      case "push":
        return this.#update(0, step[1], flagsOf(step[3] ?? 0), step[2]);
      case "push!":
        return this.#update(0, step[1], u.BPF_EXIST, step[2]);
      case "pop":
        return this.#take(0, step[1]);
      case "peek":
        return compare(this.#expectedValue(step[1]), session.lookup(this.#map, 0));
      case "member":
        return this.#member(step[1], step[2]);
      case "push each":
        return this.#pushEach(step[1], step[2], step[3]);
      case "members":
        return this.#members(step[1], step[2], step[3]);
      case "freeze":
        return compare(resultOf(step[1]), session.call(u.BPF_MAP_FREEZE, { map_fd: this.#map.fd }));
      case "info":
        return this.#info(step[1]);
      case "open":
        return this.#open(step[1], flagsOf(step[2]), step[3]);
      case "use":
        this.#named(step[1]);
        this.#inUse = step[1];
        return undefined;
      case "close":
        return this.#close(step[1], step[2]);
      case "btf":
        return this.#loadBtf(step[1]);
      case "call":
      case "object":
      case "raw":
        return this.#call(step[0], step[1], step[2], step[3], step[4] ?? {});
      case "at": {
        const cmd = typeof step[1] === "number" ? step[1] : constant(step[1]);
        session.calls++;
        return compare(resultOf(step[4]), session.host.bpf(cmd, step[2] === "BAD" ? BAD_ADDRESS : step[2], step[3]));
      }
      case "same buffer":
        return this.#sameBuffer(step[1], fromHex(step[2]), step[3], step[4]);
      case "info length": {
        const info = session.info(this.#map, step[1]);
        const expected = isErrno(step[2]) ? errnoOf(step[2]) : step[2];
        return compare(expected, typeof info === "number" ? info : info.length);
      }
      case "info hash":
        return this.#infoHash(step[1]);
      case "mmap":
        return this.#mmap(step[1], step[2], PROT[step[3]], step[4]);
      case "munmap":
        return this.#mapping === undefined
          ? "nothing is mapped"
          : compare(resultOf(step[1]), session.host.munmap(this.#mapping));
      case "bytes": {
        const at = this.#mapping?.subarray(step[1], step[1] + step[2].length / 2);
        return compare(step[2], at === undefined ? "nothing" : toHex(at));
      }
      case "store":
        this.#mapping?.set(fromHex(step[2]), step[1]);
        return undefined;
      case "mapped value": {
        const at = session.host.user.addressOf((this.#mapping ?? new Uint8Array()).subarray(step[3]));
        const cmd = step[1] === "update" ? u.BPF_MAP_UPDATE_ELEM : u.BPF_MAP_LOOKUP_ELEM;
        const fields = { map_fd: this.#map.fd, key: this.#key(step[2]), value: at, flags: 0 };
        return compare(resultOf(step[4]), session.call(cmd, fields));
      }
      case "poll": {
        session.calls++;
        const ready = session.host.poll([this.#map.fd], 0);
        const found = typeof ready === "number" ? nameOf(ready) : String(ready.length === 1);
        return compare(String(step[1]), found);
      }
      default: {
        const unknown: never = step;
        throw new Error(`no such step: ${JSON.stringify(unknown)}`);
      }
    }
  }

  #keep(map: OpenMap, name: string | undefined): void {
    if (name === undefined) this.#session.close(map.fd);
    else this.#maps.set(name, map);
  }

  #eachFlag(allowed: number, refused: Readonly<Record<string, Errno>>): string | undefined {
    const base = Number(flagsOf(this.#base.map_flags ?? 0));
    const special = new Map(Object.entries(refused).map(([name, errno]) => [constant(name) >>> 0, errno]));
    for (let bit = 0; bit < 32; bit++) {
      const flag = (1 << bit) >>> 0;
      const made = this.#make({ map_flags: (base | flag) >>> 0 });
      const expected = (allowed & flag) !== 0 ? 0 : errnoOf(special.get(flag) ?? "-EINVAL");
      if (typeof made !== "number") this.#session.close(made.fd);
      const problem = compare(expected, typeof made === "number" ? made : 0);
      if (problem !== undefined) return `flag 0x${flag.toString(16)}: ${problem}`;
    }
    return undefined;
  }

  #eachValue(attribute: string, tries: readonly (readonly [number, Result])[]): string | undefined {
    for (const [value, result] of tries) {
      const made = this.#make({ [attribute]: value });
      if (typeof made !== "number") this.#session.close(made.fd);
      const problem = compare(resultOf(result), typeof made === "number" ? made : 0);
      if (problem !== undefined) return `${attribute} ${value}: ${problem}`;
    }
    return undefined;
  }

  #eachName(allowed: string): string | undefined {
    const bytes = new Set(
      allowed.split(" ").flatMap((range) => {
        const [first = 0, last = first] = range.split("-").map((hex) => Number.parseInt(hex, 16));
        return Array.from({ length: last - first + 1 }, (_, i) => first + i);
      }),
    );
    for (let byte = 1; byte < 256; byte++) {
      const name = new Uint8Array(16);
      name[0] = byte;
      const made = this.#make({ map_name: { hex: toHex(name) } });
      if (typeof made !== "number") this.#session.close(made.fd);
      const problem = compare(bytes.has(byte) ? 0 : -u.EINVAL, typeof made === "number" ? made : 0);
      if (problem !== undefined) return `byte 0x${byte.toString(16)}: ${problem}`;
    }
    return undefined;
  }

  #update(key: Uint8Array | 0, value: Data, flags: number | bigint, result: Result): string | undefined {
    return compare(resultOf(result), this.#session.update(this.#map, key, this.#val(value), flags));
  }

  #take(key: Uint8Array | 0, result: Data | Errno): string | undefined {
    const found = this.#session.lookup(this.#map, key, u.BPF_MAP_LOOKUP_AND_DELETE_ELEM);
    return compare(this.#expectedValue(result), found);
  }

  #next(key: Data | null, result: Data | Errno): string | undefined {
    const next = this.#session.nextKey(this.#map, key === null ? 0 : this.#key(key));
    const expected = isErrno(result) ? errnoOf(result) : toHex(this.#key(result));
    return compare(expected, typeof next === "number" ? next : toHex(next));
  }

  #keys(keys: readonly Data[]): string | undefined {
    const expected = keys.map((key) => toHex(this.#key(key))).join(" ");
    return compare(expected, this.#session.keys(this.#map).join(" "));
  }

  #fill(first: number, last: number, result: Result): string | undefined {
    for (let n = first; n <= last; n++) {
      const problem = this.#update(this.#key(n), n, 0, result);
      if (problem !== undefined) return `${n}: ${problem}`;
    }
    return undefined;
  }

  /** The value is asked about and not written. */
  #member(value: Data, result: Result): string | undefined {
    const bytes = this.#val(value);
    const asked = toHex(bytes);
    const ret = this.#session.call(u.BPF_MAP_LOOKUP_ELEM, { map_fd: this.#map.fd, value: bytes });
    return compare(resultOf(result), ret) ?? compare(asked, toHex(bytes));
  }

  #pushEach(first: number, last: number, result: Result): string | undefined {
    for (let n = first; n <= last; n++) {
      const problem = this.#update(0, n, 0, result);
      if (problem !== undefined) return `${n}: ${problem}`;
    }
    return undefined;
  }

  #members(first: number, last: number, found: "all" | readonly number[]): string | undefined {
    for (let n = first; n <= last; n++) {
      const problem = this.#member(n, found === "all" || found.includes(n) ? 0 : "-ENOENT");
      if (problem !== undefined) return `${n}: ${problem}`;
    }
    return undefined;
  }

  #info(overrides: Readonly<Record<string, number | bigint | string>>): string | undefined {
    const map = this.#map;
    const { fields, size } = u.bpf_map_info;
    const actual = this.#session.info(map);
    if (typeof actual === "number") return `OBJ_GET_INFO_BY_FD: ${nameOf(actual)}`;
    if (actual.length !== size) return `info_len is ${actual.length}`;
    const { attr } = map;
    const values: Record<string, Value> = {
      type: attr.map_type ?? 0,
      id: map.id,
      key_size: attr.key_size ?? 0,
      value_size: attr.value_size ?? 0,
      max_entries: attr.max_entries ?? 0,
      map_flags: Number(attr.map_flags ?? 0) & ~ACCESS,
      name: attr.map_name ?? "",
      map_extra: attr.map_extra ?? 0,
    };
    for (const [name, value] of Object.entries(overrides))
      values[name] = name === "name" ? value : this.#infoValue(name, value, actual);
    for (const [name, field] of Object.entries(fields)) {
      const found = actual.subarray(field.offset, field.offset + field.size);
      const value = values[name] ?? 0;
      const expected = new Uint8Array(field.size);
      if (typeof value === "string") expected.set(Buffer.from(value, "latin1"));
      else
        new Uint8Array(new BigUint64Array([BigInt(value as number | bigint)]).buffer)
          .subarray(0, field.size)
          .forEach((b, i) => {
            expected[i] = b;
          });
      const problem = compare(toHex(expected), toHex(found));
      if (problem !== undefined) return `info.${name}: ${problem}`;
    }
    return undefined;
  }

  /** Only the raw form can say it: in the object form a view is staged once for each field. */
  #sameBuffer(command: string, bytes: Uint8Array, result: Result, after: string): string | undefined {
    const buffer = this.#session.host.user.alloc(bytes.length);
    buffer.bytes.set(bytes);
    const other = command === "BPF_MAP_GET_NEXT_KEY" ? "next_key" : "value";
    const fields = { map_fd: this.#map.fd, key: buffer.address, [other]: buffer.address };
    const ret = this.#session.call(constant(command), fields);
    const found = toHex(buffer.bytes);
    buffer.free();
    return compare(resultOf(result), ret) ?? compare(after, found);
  }

  #infoHash(result: string): string | undefined {
    const { fields, size } = u.bpf_map_info;
    const { user } = this.#session.host;
    const hash = user.alloc(32);
    const info = new Uint8Array(size);
    const view = new DataView(info.buffer);
    view.setBigUint64(fields.hash.offset, hash.address, true);
    view.setUint32(fields.hash_size.offset, 32, true);
    const ret = this.#session.call(u.BPF_OBJ_GET_INFO_BY_FD, { bpf_fd: this.#map.fd, info_len: size, info });
    const found = ret === 0 ? toHex(hash.bytes) : ret;
    hash.free();
    return compare(isErrno(result) ? errnoOf(result) : result, found);
  }

  /** `any`: whatever it is, it is not zero. */
  #infoValue(name: string, value: number | bigint | string, info: Uint8Array): Value {
    if (value !== "any") return this.#value(name, value);
    const field = u.bpf_map_info.fields[name as keyof typeof u.bpf_map_info.fields];
    const found = new DataView(info.buffer, info.byteOffset).getUint32(field.offset, true);
    if (found === 0) throw new Error(`info.${name} is zero`);
    return found;
  }

  #open(name: string, flags: number | bigint, result: Result): string | undefined {
    const map = this.#map;
    const fd = this.#session.call(u.BPF_MAP_GET_FD_BY_ID, { map_id: map.id, open_flags: flags });
    if (fd >= 0) {
      this.#maps.set(name, { ...map, fd });
      this.#inUse = name;
    }
    return compare(resultOf(result), Math.min(fd, 0));
  }

  #close(name: string, result: Result): string | undefined {
    const map = this.#maps.get(name);
    const fd = map?.fd ?? this.#btf.get(name);
    if (fd === undefined) throw new Error(`nothing was opened as ${name}`);
    const ret = this.#session.close(fd);
    if (map !== undefined) this.#maps.set(name, { ...map, fd: -1 });
    else this.#btf.set(name, -1);
    return compare(resultOf(result), ret);
  }

  #loadBtf(name: string): string | undefined {
    const fd = this.#session.call(u.BPF_BTF_LOAD, { btf: btfBytes.slice(), btf_size: btfBytes.length });
    if (fd < 0) return `BTF_LOAD: ${nameOf(fd)}`;
    this.#btf.set(name, fd);
    return undefined;
  }

  #call(
    kind: "call" | "object" | "raw",
    command: string | number,
    given: Fields,
    result: Result,
    { size, out = {} }: CallOptions,
  ): string | undefined {
    const cmd = typeof command === "number" ? command : constant(command);
    const fields: Record<string, Value> = {};
    for (const [name, field] of Object.entries(given)) fields[name] = this.#value(name, field);
    const before: Record<string, Value> = {};
    for (const [name, value] of Object.entries(fields))
      before[name] = value instanceof Uint8Array ? value.slice() : value;
    const form = kind === "call" ? this.#session.form : kind;
    const ret = this.#session.call(cmd, fields, form, size);
    // A new fd is of no use to a case that did not name it.
    if (ret > 0 && ret > ERRNO_AT_LEAST) this.#session.close(ret);
    const problem = compare(resultOf(result), Math.min(ret, 0));
    if (problem !== undefined) return problem;
    for (const [name, value] of Object.entries(fields)) {
      const wanted = out[name];
      if (wanted === "?") continue;
      if (value instanceof Uint8Array) {
        const expected = typeof wanted === "string" ? wanted : toHex(before[name] as Uint8Array);
        const wrong = compare(expected, toHex(value));
        if (wrong !== undefined) return `${name}: ${wrong}`;
      } else if (wanted !== undefined) {
        const expected = typeof wanted === "string" ? this.#value(name, wanted) : wanted;
        if (Number(expected) !== Number(value)) return `${name}: expected ${String(expected)}, got ${String(value)}`;
      }
    }
    return undefined;
  }

  #mmap(offset: number, length: number, prot: number, result: Result): string | undefined {
    this.#session.calls++;
    const made = this.#session.host.mmap(this.#map.fd, { offset, length, prot });
    if (typeof made !== "number") {
      this.#mappings.push(made);
      this.#mapping = made;
    }
    return compare(resultOf(result), typeof made === "number" ? made : 0);
  }
}
