/**
 * BPF_MAP_CREATE. The order of the checks decides the errno when several things are wrong, and is the kernel's:
 * attributes, type, the type's early check, token, offload, allocation, name, BTF, exclusive hash.
 */

import { LOOPBACK } from "../kern/devices.ts";
import { FMODE_READ, FMODE_WRITE } from "../kern/fds.ts";
import type { Kernel } from "../kern/kernel.ts";
import { allocMap, setMapBtf } from "../kern/map.ts";
import { SHA256_SIZE } from "../kern/sha256.ts";
import { mapEntry } from "../maps/registry.ts";
import { OBJ_BTF } from "../mem/layout.ts";
import { onNode } from "../struct/check.ts";
import type { MapCreateAttr } from "../struct/env.ts";
import { MAP_EXCL, MAP_EXCL_SIZE, MAP_NAME, MAP_NAME_SIZE } from "../struct/map.ts";
import { BPF_F_RDONLY, BPF_F_TOKEN_FD, BPF_F_WRONLY, bpf_attr, EFAULT, EINVAL, EOPNOTSUPP } from "../uapi/index.ts";
import { pointerAt, tokenError } from "./attr.ts";

const { map_create } = bpf_attr;
/** This host has one NUMA node, 0. */
const LAST_NODE = 0;

export function mapCreate(kernel: Kernel, attr: number): number {
  const { u32 } = kernel.mem;
  const field = (f: { readonly offset: number }): number => u32[(attr + f.offset) >>> 2]!;
  const create: MapCreateAttr = {
    map_type: field(map_create.map_type),
    key_size: field(map_create.key_size),
    value_size: field(map_create.value_size),
    max_entries: field(map_create.max_entries),
    map_flags: field(map_create.map_flags) & ~BPF_F_TOKEN_FD,
    numa_node: field(map_create.numa_node),
    map_extra_lo: field(map_create.map_extra),
    map_extra_hi: u32[(attr + map_create.map_extra.offset + 4) >>> 2]!,
    inner_map_fd: field(map_create.inner_map_fd),
    btf_key_type_id: field(map_create.btf_key_type_id),
    btf_value_type_id: field(map_create.btf_value_type_id),
  };
  // btf_vmlinux_value_type_id is for STRUCT_OPS alone, which this host does not have.
  if (field(map_create.btf_vmlinux_value_type_id) !== 0) return -EINVAL;
  if (create.btf_key_type_id !== 0 && create.btf_value_type_id === 0) return -EINVAL;
  const entry = mapEntry(create.map_type);
  const extra = create.map_extra_lo !== 0 || create.map_extra_hi !== 0;
  if (extra && entry?.traits.mapExtra !== true) return -EINVAL;
  const access = create.map_flags & (BPF_F_RDONLY | BPF_F_WRONLY);
  if (access === (BPF_F_RDONLY | BPF_F_WRONLY)) return -EINVAL;
  if (onNode(create) && create.numa_node > LAST_NODE) return -EINVAL;
  if (entry === undefined) return -EINVAL;
  const early = entry.traits.checkedEarly ? entry.ops.map_alloc_check(kernel, create) : 0;
  if (early !== 0) return early;
  if (field(map_create.map_flags) & BPF_F_TOKEN_FD) return tokenError(kernel, field(map_create.map_token_fd));
  // No interface of this host takes maps over.
  const ifindex = field(map_create.map_ifindex);
  if (ifindex !== 0) return entry.traits.offload && ifindex === LOOPBACK ? -EOPNOTSUPP : -EINVAL;
  const late = entry.traits.checkedEarly ? 0 : entry.ops.map_alloc_check(kernel, create);
  if (late !== 0) return late;
  const map = allocMap(kernel, entry, create);
  if (map < 0) return map;
  const bad = setName(kernel, map, attr) || setBtf(kernel, map, attr, create) || setExclusive(kernel, map, attr);
  if (bad !== 0) {
    kernel.discard(map);
    return bad;
  }
  if (access === 0) return kernel.publish(map, FMODE_READ | FMODE_WRITE);
  return kernel.publish(map, access === BPF_F_RDONLY ? FMODE_READ : FMODE_WRITE);
}

function setName(kernel: Kernel, map: number, attr: number): number {
  return copyName(kernel, attr + map_create.map_name.offset, map + MAP_NAME);
}

/**
 * Up to 15 bytes and a NUL; letters (Latin-1 ones too), digits, `_` and `.`. What follows the NUL is not looked at.
 * Shared with PROG_LOAD.
 */
export function copyName(kernel: Kernel, from: number, to: number): number {
  const { u8 } = kernel.mem;
  for (let i = 0; i < MAP_NAME_SIZE; i++) {
    const c = u8[from + i]!;
    if (c === 0) return 0;
    if (!nameByte(c)) return -EINVAL;
    if (i < MAP_NAME_SIZE - 1) u8[to + i] = c;
  }
  return -EINVAL;
}

function nameByte(c: number): boolean {
  if (c < 0x80) return /[\w.]/.test(String.fromCharCode(c));
  return c >= 0xc0 && c !== 0xd7 && c !== 0xf7;
}

function setBtf(kernel: Kernel, map: number, attr: number, create: MapCreateAttr): number {
  if (create.btf_value_type_id === 0) return 0;
  const object = kernel.get(kernel.mem.u32[(attr + map_create.btf_fd.offset) >>> 2]!, OBJ_BTF);
  if (object < 0) return object;
  const ret = setMapBtf(kernel, map, object, create.btf_key_type_id, create.btf_value_type_id);
  kernel.done(object);
  return ret;
}

function setExclusive(kernel: Kernel, map: number, attr: number): number {
  const { mem } = kernel;
  const hash = pointerAt(kernel, attr + map_create.excl_prog_hash.offset);
  const size = mem.u32[(attr + map_create.excl_prog_hash_size.offset) >>> 2]!;
  if (hash === 0) return size === 0 ? 0 : -EINVAL;
  if (size !== SHA256_SIZE) return -EINVAL;
  if (!kernel.userOk(hash, size, false)) return -EFAULT;
  mem.copy(map + MAP_EXCL, hash, size);
  mem.u32[(map + MAP_EXCL_SIZE) >>> 2] = size;
  return 0;
}
