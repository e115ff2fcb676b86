/** What loading an object does on a host, in libbpf's order: BTF, maps with their first values, programs, slots. */
import {
  insnsWithFds,
  type MapSpec,
  type ObjectSpec,
  type ProgramSpec,
  type RelocatedProgram,
  requireSupported,
} from "../elf/index.ts";
import { InputError } from "../errors.ts";
import {
  BPF_BTF_LOAD,
  BPF_F_NUMA_NODE,
  BPF_MAP_FREEZE,
  BPF_MAP_TYPE_ARENA,
  BPF_MAP_TYPE_PERF_EVENT_ARRAY,
  BPF_MAP_TYPE_RINGBUF,
  BPF_MAP_TYPE_USER_RINGBUF,
  BPF_MAP_UPDATE_ELEM,
  BPF_OBJ_GET_INFO_BY_FD,
} from "../uapi/index.ts";
import { type AnyMap, type KnownTypes, noTypes, requireType, wrapMap } from "./any_map.ts";
import { Arena } from "./arena.ts";
import type { ArrayMap } from "./array_map.ts";
import { attachTarget } from "./attach_target.ts";
import type { BpfMap } from "./bpf_map.ts";
import { bytes } from "./codec/index.ts";
import { keyCodec, valueCodec } from "./codecs_of.ts";
import type { HostContext } from "./context.ts";
import { CoreTarget, explainPoison } from "./core_target.ts";
import { type CreateAttr, createFd, type MapBtf } from "./create_map.ts";
import { BpfError } from "./error.ts";
import { Externs } from "./externs.ts";
import { Globals } from "./globals.ts";
import { readMapInfo } from "./info.ts";
import type { LoadObjectOptions } from "./load_object.ts";
import { kernelName, loadProgram, type ProgramBtf } from "./load_program.ts";
import { LoadedObject, named } from "./loaded_object.ts";
import { mapTypeName } from "./map_types.ts";
import { openOrPin, type PinnedMap, pathByName } from "./pin.ts";
import { BPFFS_DIR } from "./pin_failure.ts";
import type { Program } from "./program.ts";
import type { MapShape } from "./spec.ts";
import { kernelStruct } from "./struct_ops.ts";

/** The largest power of two that max_entries holds. */
const MAX_RING = 2 ** 31;

export class Loader<T extends Readonly<Record<string, MapShape>>> {
  readonly #context: HostContext;
  readonly #spec: ObjectSpec;
  readonly #options: LoadObjectOptions<T>;
  readonly #maps: Map<string, AnyMap> = new Map();
  readonly #kept: Set<AnyMap> = new Set();
  readonly #programs: Map<string, Program> = new Map();
  /** Maps that were pinned already: what is in them stays. */
  readonly #reused: Set<string> = new Set();
  /** Pins that were made. */
  readonly #pins: string[] = [];
  /** fds that are wanted during loading only. */
  readonly #temporary: number[] = [];
  readonly #externs: Externs;
  readonly #core: CoreTarget;
  #btfFd = -1;

  constructor(context: HostContext, spec: ObjectSpec, options: LoadObjectOptions<T>) {
    this.#core = new CoreTarget(context.seam, spec, options.targetBtf);
    this.#context = context;
    this.#spec = spec;
    this.#options = options;
    this.#externs = new Externs(context, spec);
  }

  load(programs: readonly ProgramSpec[]): LoadedObject<T> {
    const spec = this.#spec;
    for (const program of programs) requireSupported(program);
    this.#externs.resolve(programs, this.#options.kconfig);
    const relocated = programs.map((program) => this.#core.relocate(program));
    this.#loadBtf();
    for (const map of spec.maps) if (map.autocreate !== false) this.#maps.set(map.name, this.#map(map));
    for (const each of relocated) this.#programs.set(each.program.name, this.#program(each));
    for (const map of spec.maps) this.#fillSlots(map);
    const globals = new Globals(
      spec,
      (name) => this.#section(name),
      (name) => arenaAmong(this.#maps, name),
    );
    return new LoadedObject<T>(spec, this.#maps, this.#programs, globals, this.#kept);
  }

  /** BTF with parts that the host does not know must not keep the object out. */
  #loadBtf(): void {
    const { btfBytes: btf } = this.#spec;
    if (btf === undefined) return;
    const fd = this.#context.seam.bpf(BPF_BTF_LOAD, { btf, btf_size: btf.length });
    if (fd < 0) return;
    this.#btfFd = fd;
    this.#temporary.push(fd);
  }

  #map(map: MapSpec): AnyMap {
    const shape: MapShape | undefined = this.#options.shapes?.[map.name];
    const given = this.#options.maps?.[map.name];
    if (given !== undefined) return this.#replacement(map, given, shape);
    if (map.unknownBytes !== undefined) {
      const found = `${map.unknownBytes.length} bytes behind struct bpf_map_def that are not zero`;
      throw new InputError(`map ${map.name}: found ${found}; see to them and delete \`unknownBytes\` in \`edit\``);
    }
    const { fd, info, reused } = map.pinning === "byName" ? this.#pinned(map) : this.#created(map);
    const types = this.#typesOf(map);
    try {
      requireType(info, shape);
      if (!reused) this.#fill(map, fd);
    } catch (error) {
      this.#context.seam.close(fd);
      throw error;
    }
    // A map that was there says best itself what is in it.
    const known = reused && info.btfId !== 0 ? {} : { types };
    const wrapped = wrapMap(this.#context, { fd, owned: true, info, access: "rw", ...known }, shape ?? {});
    if (!reused && wrapped instanceof Arena) fillArena(wrapped, map);
    return wrapped;
  }

  #created(map: MapSpec): PinnedMap {
    const { seam } = this.#context;
    const fd = this.#create(map);
    const info = readMapInfo(seam, fd);
    if (typeof info !== "number") return { fd, info, reused: false };
    seam.close(fd);
    throw new BpfError({ errno: info, cmd: BPF_OBJ_GET_INFO_BY_FD, what: `cannot read map \`${map.name}\`` });
  }

  /** The map that is pinned under this name, or a new one that is pinned from now on. */
  #pinned(map: MapSpec): PinnedMap {
    const { pinPath = BPFFS_DIR, onIncompatible } = this.#options;
    const { map_type, key_size, value_size, max_entries, map_flags, map_extra } = this.#attrOf(map);
    const path = pathByName(pinPath, map.name);
    const type = mapTypeName(map_type);
    const sizes = { keySize: key_size, valueSize: value_size };
    const types = { ...this.#typesOf(map), ...sizes, type, name: map.name, id: 0 };
    const found = openOrPin(this.#context, {
      path,
      wanted: {
        ...sizes,
        type,
        maxEntries: max_entries,
        flags: map_flags,
        mapExtra: map_extra,
        key: keyCodec(types, undefined),
        value: valueCodec(types, undefined),
      },
      onIncompatible,
      title: `${type} map \`${map.name}\``,
      create: () => this.#create(map),
    });
    if (found.reused) this.#reused.add(map.name);
    else this.#pins.push(path);
    return found;
  }

  #typesOf({ keyTypeId = 0, valueTypeId = 0 }: MapSpec): KnownTypes {
    const { btf } = this.#spec;
    return btf === undefined ? noTypes : { btf, keyTypeId, valueTypeId };
  }

  #attrOf(map: MapSpec): CreateAttr {
    const { type, flags, numaNode = 0 } = map;
    return {
      map_type: type,
      key_size: map.keySize,
      value_size: map.valueSize,
      max_entries: this.#sizeOf(map),
      map_flags: flags,
      map_name: kernelName(map.name),
      numa_node: (flags & BPF_F_NUMA_NODE) === 0 ? 0 : numaNode,
      map_extra: map.mapExtra,
    };
  }

  /** As libbpf corrects it: where a perf event array has no size, a ring for each CPU; rings have those that there are. */
  #sizeOf({ type, maxEntries }: MapSpec): number {
    const { possibleCpus, pageSize } = this.#context.seam;
    if (type === BPF_MAP_TYPE_PERF_EVENT_ARRAY && maxEntries === 0) return possibleCpus;
    if ((type !== BPF_MAP_TYPE_RINGBUF && type !== BPF_MAP_TYPE_USER_RINGBUF) || maxEntries === 0) return maxEntries;
    let size = pageSize;
    while (size < maxEntries) size *= 2;
    return size > MAX_RING ? maxEntries : size;
  }

  #create(map: MapSpec): number {
    const attr = this.#attrOf(map);
    if (map.innerSpec !== undefined) {
      const inner = this.#create(map.innerSpec);
      this.#temporary.push(inner);
      attr.inner_map_fd = inner;
    }
    if (map.structOps !== undefined) {
      const { valueTypeId, valueSize } = kernelStruct(this.#context, this.#spec, map.name, map.structOps);
      Object.assign(attr, { value_size: valueSize, btf_fd: this.#btfFd, btf_vmlinux_value_type_id: valueTypeId });
      return createFd(this.#context, attr, mapTypeName(map.type), undefined);
    }
    return createFd(this.#context, attr, mapTypeName(map.type), this.#btfOf(map));
  }

  /** Types of one side alone are left out, except where a data section is the value. */
  #btfOf({ section, keyTypeId, valueTypeId }: MapSpec): MapBtf | undefined {
    if (this.#btfFd < 0 || valueTypeId === undefined) return undefined;
    if (keyTypeId === undefined && section === ".maps") return undefined;
    return { btf_fd: this.#btfFd, btf_key_type_id: keyTypeId ?? 0, btf_value_type_id: valueTypeId };
  }

  /** First value, then no more changes where the section is read-only. */
  #fill(map: MapSpec, fd: number): void {
    const { seam } = this.#context;
    const { initialData: value } = map;
    // A struct of callbacks takes effect when it is written, which is for who attaches it.
    if (value !== undefined && map.structOps === undefined && map.type !== BPF_MAP_TYPE_ARENA) {
      const result = seam.bpf(BPF_MAP_UPDATE_ELEM, { map_fd: fd, key: new Uint8Array(map.keySize), value, flags: 0 });
      this.#check(result, BPF_MAP_UPDATE_ELEM, `cannot write the first value of \`${map.name}\``);
    }
    if (map.frozen === true) {
      this.#check(seam.bpf(BPF_MAP_FREEZE, { map_fd: fd }), BPF_MAP_FREEZE, `cannot freeze \`${map.name}\``);
    }
  }

  #check(errno: number, cmd: number, what: string): void {
    if (errno < 0) throw new BpfError({ errno, cmd, what });
  }

  /** Somebody else's map in the place of the object's: programs must find the sizes that they were compiled for. */
  #replacement(map: MapSpec, given: BpfMap, shape: MapShape | undefined): AnyMap {
    const { info, fd } = given;
    const wanted = { type: mapTypeName(map.type), "key size": map.keySize, "value size": map.valueSize };
    const found = { type: info.type, "key size": info.keySize, "value size": info.valueSize };
    const differences = Object.entries(wanted).flatMap(([what, value]) => {
      const other = found[what as keyof typeof found];
      return other === value ? [] : [`${what} ${other}, expected ${value}`];
    });
    if (given.closed) differences.push("that it is closed");
    if (differences.length > 0) throw new InputError(`loadObject: map ${map.name}: found ${differences.join("; ")}`);
    requireType(info, shape);
    if (shape === undefined) {
      this.#kept.add(given as AnyMap);
      return given as AnyMap;
    }
    // Another handle on the same fd, with the codecs that were asked for.
    return wrapMap(this.#context, { fd, owned: false, info, access: undefined }, shape);
  }

  #program({ program, poisoned }: RelocatedProgram): Program {
    const { name, type, section, expectedAttachType, flags, funcInfo, lineInfo } = program;
    if (type === undefined) {
      throw new InputError(`program ${name}: section \`${section}\` names no type; set \`type\` in \`edit\``);
    }
    const btf: ProgramBtf | undefined =
      this.#btfFd < 0 || funcInfo.length === 0 ? undefined : { fd: this.#btfFd, funcInfo, lineInfo };
    const insns = insnsWithFds(program, (map) => named(this.#maps, map, `program ${name}: no map`).fd);
    this.#externs.putInto(insns, program);
    const options = {
      type,
      insns,
      license: this.#spec.license,
      name: kernelName(name),
      flags,
      ...(expectedAttachType === undefined ? {} : { expectedAttachType }),
      ...(btf === undefined ? {} : { btf }),
      ...attachTarget(this.#context, this.#spec, program),
    };
    const explain = (log: string): readonly string[] | undefined =>
      explainPoison(log, poisoned) ?? this.#externs.explain(log);
    return loadProgram(this.#context, options, { name, explain });
  }

  /** Elements that the source gives: fds of maps and programs. Programs that were not chosen leave theirs empty. */
  #fillSlots({ name, slots = [] }: MapSpec): void {
    const { fd } = this.#maps.get(name) ?? { fd: -1 };
    if (fd < 0 || this.#reused.has(name)) return;
    for (const { index, kind, name: target } of slots) {
      const object = kind === "map" ? this.#maps.get(target) : this.#programs.get(target);
      if (object === undefined) continue;
      const attr = { map_fd: fd, key: Uint32Array.of(index), value: Uint32Array.of(object.fd), flags: 0 };
      const result = this.#context.seam.bpf(BPF_MAP_UPDATE_ELEM, attr);
      this.#check(result, BPF_MAP_UPDATE_ELEM, `cannot put ${kind} \`${target}\` into \`${name}\` at ${index}`);
    }
  }

  /** One more handle on a data section's map: its value as bytes, whatever codec the other has. */
  #section(name: string): ArrayMap<Uint8Array> {
    const map = named(this.#maps, name, "no map");
    const { fd, info, closed } = map;
    if (closed) throw new InputError(`object ${this.#spec.name} is closed`);
    const types = noTypes;
    const value = bytes(info.valueSize);
    return wrapMap(this.#context, { fd, owned: false, info, access: "rw", types }, { value }) as ArrayMap<Uint8Array>;
  }

  closeTemporary(): void {
    for (const fd of this.#temporary.splice(0)) this.#context.seam.close(fd);
  }

  /** Nothing is left of an object that could not be loaded. */
  closeAll(): void {
    for (const path of this.#pins) this.#context.seam.bpffs.unlink(path);
    for (const program of this.#programs.values()) program.close();
    for (const map of this.#maps.values()) if (!this.#kept.has(map)) map.close();
  }
}

function arenaAmong(maps: ReadonlyMap<string, AnyMap>, name: string): Arena | undefined {
  const map = maps.get(name);
  return map instanceof Arena ? map : undefined;
}

/** Its variables' first values. An arena whose address the source leaves open gets one: programs want to know it. */
function fillArena(arena: Arena, { initialData, mapExtra }: MapSpec): void {
  if (initialData === undefined && mapExtra !== 0n) return;
  try {
    arena.withBytes("rw", (bytes) => bytes.set(initialData ?? []));
  } catch (error) {
    arena.close();
    throw error;
  }
}
