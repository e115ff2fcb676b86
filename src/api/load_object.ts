/** `loadObject`: from an object file to maps and programs on a host. */
import { type ObjectSpec, type ProgramSpec, parseObject } from "../elf/index.ts";
import { BPF_PROG_TYPE_STRUCT_OPS } from "../uapi/index.ts";
import type { BpfMap } from "./bpf_map.ts";
import type { HostContext } from "./context.ts";
import type { TargetBtf } from "./core_target.ts";
import type { Kconfig } from "./externs.ts";
import { setInitialGlobals } from "./globals.ts";
import { type LoadedObject, named } from "./loaded_object.ts";
import { readObject } from "./object_file.ts";
import { Loader } from "./object_loader.ts";
import type { PinOptions } from "./pin.ts";
import type { MapShape } from "./spec.ts";

/** How an object is loaded. */
export interface LoadObjectOptions<T extends Readonly<Record<string, MapShape>> = Record<never, never>> {
  /** The object's name, prefix of its data sections' maps. Default: the file's name up to its first dot. */
  readonly name?: string;
  /** Programs to load, by name. Default: those whose `autoload` is true, that is whose section does not begin with "?". */
  readonly programs?: readonly string[];
  /** Maps to use instead of the object's, by its names for them. They stay open when the object is closed. */
  readonly maps?: Readonly<Record<string, BpfMap>>;
  /** First values of variables, also in .rodata, which the verifier then takes for constants. */
  readonly globals?: Readonly<Record<string, unknown>>;
  /**
   * Values of `extern ... __kconfig` variables: text such as `CONFIG_HZ=250`, or values by option, also of
   * LINUX_KERNEL_VERSION and its like. What is not given is what the host's kernel was configured with; the embedded host
   * knows its version only.
   */
  readonly kconfig?: Kconfig;
  /** Types and codecs of maps, by name: they are checked, and `object.map(name)` has their type. */
  readonly shapes?: T;
  /**
   * The directory in bpffs for maps that the source pins by name (LIBBPF_PIN_BY_NAME): those that are pinned there are
   * used, others are made and pinned. Default /sys/fs/bpf; it must be there. Not to pin: set `pinning` in `edit`.
   */
  readonly pinPath?: string;
  /** What becomes of a pinned map that does not fit the object's. Default `error`. */
  readonly onIncompatible?: PinOptions["onIncompatible"];
  /**
   * The types that the object's CO-RE relocations are looked up in: raw BTF (/sys/kernel/btf/vmlinux of any machine), a
   * `Btf`, or `self`, the object's own. Default: those of the kernel that it is loaded into (`kernelBtf` of the embedded
   * host). What they lack is a load error where a program can reach it.
   */
  readonly targetBtf?: TargetBtf;
  /**
   * Called with what was found in the file, before anything is created: plain data, to change sizes, types, attach targets,
   * what is loaded, what externs are. docs/objects.md says what is worth knowing of it.
   */
  readonly edit?: (spec: ObjectSpec) => void;
}

export function loadObject<T extends Readonly<Record<string, MapShape>>>(
  context: HostContext,
  source: Uint8Array | string | URL,
  options: LoadObjectOptions<T>,
): LoadedObject<T> {
  const file = readObject(source);
  const name = options.name ?? file.path;
  const spec = parseObject(file.bytes, name === undefined ? {} : { name });
  options.edit?.(spec);
  if (options.globals !== undefined) setInitialGlobals(spec, options.globals);
  const programs = chosen(spec, options.programs);
  for (const names of [options.maps, options.shapes]) {
    for (const each of Object.keys(names ?? {}))
      named(new Map(spec.maps.map((m) => [m.name, m])), each, "loadObject: no map");
  }
  const loader = new Loader(context, spec, options);
  try {
    return loader.load(programs);
  } catch (error) {
    loader.closeAll();
    throw error;
  } finally {
    loader.closeTemporary();
  }
}

function chosen(spec: ObjectSpec, names: readonly string[] | undefined): readonly ProgramSpec[] {
  if (names === undefined) return spec.programs.filter((program) => isLoaded(spec, program));
  const all = new Map(spec.programs.map((program) => [program.name, program]));
  return names.map((name) => named(all, name, "loadObject: no program"));
}

/** A function of a struct_ops map is loaded with the map. */
function isLoaded({ maps }: ObjectSpec, { name, type, autoload }: ProgramSpec): boolean {
  if (!autoload || type !== BPF_PROG_TYPE_STRUCT_OPS) return autoload;
  const users = maps.filter(({ structOps }) => structOps?.programs.some(({ program }) => program === name));
  return users.length === 0 || users.some(({ autocreate }) => autocreate !== false);
}
