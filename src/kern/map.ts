/** Making and ending maps: what is the same for every type. */
import type { Btf } from "../btf/index.ts";
import { FieldFinder, type SpecialFields, VALUE_FIELDS, valueTypeOf } from "../btf/special_fields.ts";
import { checkOwners } from "../btf/special_structs.ts";
import { Bug } from "../errors.ts";
import type { MapTypeEntry } from "../maps/ops.ts";
import { mapEntry, type RegisteredType } from "../maps/registry.ts";
import { alloc, free } from "../mem/alloc.ts";
import { OBJ_KIND, OBJ_MAP, OBJ_REFS } from "../mem/layout.ts";
import { dropAnchors } from "../struct/element_fields.ts";
import type { MapCreateAttr } from "../struct/env.ts";
import { freeFields, setFields } from "../struct/fields.ts";
import {
  MAP_ABI_VALUE_SIZE,
  MAP_BTF,
  MAP_BTF_KEY,
  MAP_BTF_VALUE,
  MAP_DESC_SIZE,
  MAP_EXTRA,
  MAP_FLAGS,
  MAP_KEY_SIZE,
  MAP_MAX_ENTRIES,
  MAP_TYPE,
  MAP_VALUE_SIZE,
} from "../struct/map.ts";
import {
  abiValueSize,
  BPF_F_RDONLY,
  BPF_F_RDONLY_PROG,
  BPF_F_WRONLY,
  BPF_F_WRONLY_PROG,
  EACCES,
  EINVAL,
  ENOMEM,
  EOPNOTSUPP,
} from "../uapi/index.ts";
import { btfOf, structsOf } from "./btf.ts";
import type { Kernel } from "./kernel.ts";

const W_TYPE: number = MAP_TYPE >>> 2;

/** The entry of an existing map. */
export function entryOfMap(kernel: Kernel, map: number): RegisteredType {
  return mapEntry(kernel.mem.i32[(map >>> 2) + W_TYPE]!) ?? noEntry(kernel, map);
}

function noEntry(kernel: Kernel, map: number): never {
  throw new Bug(`the map at ${map} has type ${kernel.mem.u32[(map + MAP_TYPE) >>> 2]}`);
}

/** A map without name, BTF and id, with one reference: the caller's. Or an errno, with nothing taken. */
export function allocMap(kernel: Kernel, entry: MapTypeEntry, attr: MapCreateAttr): number {
  const { mem } = kernel;
  const map = alloc(mem, MAP_DESC_SIZE);
  if (map === 0) return -ENOMEM;
  const { u32 } = mem;
  u32[(map + OBJ_KIND) >>> 2] = OBJ_MAP;
  u32[(map + OBJ_REFS) >>> 2] = 1;
  u32[(map + MAP_TYPE) >>> 2] = attr.map_type;
  u32[(map + MAP_KEY_SIZE) >>> 2] = attr.key_size;
  u32[(map + MAP_VALUE_SIZE) >>> 2] = attr.value_size;
  u32[(map + MAP_MAX_ENTRIES) >>> 2] = attr.max_entries;
  u32[(map + MAP_FLAGS) >>> 2] = attr.map_flags & ~(BPF_F_RDONLY | BPF_F_WRONLY);
  u32[(map + MAP_EXTRA) >>> 2] = attr.map_extra_lo;
  u32[(map + MAP_EXTRA + 4) >>> 2] = attr.map_extra_hi;
  u32[(map + MAP_ABI_VALUE_SIZE) >>> 2] = abiValueSize(attr.map_type, attr.value_size, kernel.cpus);
  const ret = entry.ops.map_alloc(kernel, map, attr);
  if (ret === 0) return map;
  free(mem, map, MAP_DESC_SIZE);
  return ret;
}

/** Takes the BTF object for the map's key and value: sizes must agree, then the type has its say. 0 or an errno. */
export function setMapBtf(kernel: Kernel, map: number, object: number, keyId: number, valueId: number): number {
  const { u32 } = kernel.mem;
  const btf = btfOf(kernel, object);
  const entry = entryOfMap(kernel, map);
  const { map_check_btf } = entry.ops;
  if (keyId === 0 ? map_check_btf === undefined : !sizeIs(btf, keyId, u32[(map + MAP_KEY_SIZE) >>> 2]!)) return -EINVAL;
  if (!sizeIs(btf, valueId, u32[(map + MAP_VALUE_SIZE) >>> 2]!)) return -EINVAL;
  const fields = fieldsOf(btf, valueId, u32[(map + MAP_VALUE_SIZE) >>> 2]!);
  const bad = fields === undefined ? 0 : checkFields(kernel, map, entry, object, fields);
  const ret = bad !== 0 ? bad : (map_check_btf?.(kernel, map, btf, keyId, valueId) ?? 0);
  if (ret !== 0) return ret;
  if (fields !== undefined && !setFields(kernel.mem, map, fields, object)) return -ENOMEM;
  kernel.hold(object);
  u32[(map + MAP_BTF) >>> 2] = object;
  u32[(map + MAP_BTF_KEY) >>> 2] = keyId;
  u32[(map + MAP_BTF_VALUE) >>> 2] = valueId;
  return 0;
}

/** A type whose fields contradict each other counts as one without, as in the kernel. */
function fieldsOf(btf: Btf, valueId: number, size: number): SpecialFields | undefined {
  const fields = new FieldFinder(btf).find(valueTypeOf(btf, valueId), VALUE_FIELDS, size);
  return typeof fields === "number" ? undefined : fields;
}

/** Programs must be able to use the fields, then it is the type's turn, then that of what the fields own. */
function checkFields(kernel: Kernel, map: number, entry: MapTypeEntry, object: number, fields: SpecialFields): number {
  const flags = kernel.mem.u32[(map + MAP_FLAGS) >>> 2]!;
  if (flags & (BPF_F_RDONLY_PROG | BPF_F_WRONLY_PROG)) return -EACCES;
  if (fields.mask & ~(entry.traits.fields ?? 0)) return -EOPNOTSUPP;
  return checkOwners(btfOf(kernel, object), structsOf(kernel, object), fields);
}

function sizeIs(btf: Btf, id: number, size: number): boolean {
  if (btf.types[id] === undefined) return false;
  try {
    return btf.sizeOf(id) === size;
  } catch {
    // A function, a forward declaration: it has no size.
    return false;
  }
}

export function destroyMap(kernel: Kernel, map: number): void {
  const { mem } = kernel;
  dropAnchors(kernel, map);
  entryOfMap(kernel, map).ops.map_free(kernel, map);
  freeFields(mem, map);
  const btf = mem.u32[(map + MAP_BTF) >>> 2]!;
  if (btf !== 0) kernel.put(btf);
  free(mem, map, MAP_DESC_SIZE);
}
