/** BPF_OBJ_GET_INFO_BY_FD: what a map, program, BTF object or link is. */
import { BTF_DATA, BTF_SIZE } from "../kern/btf.ts";
import { entryObject, getEntry } from "../kern/fds.ts";
import type { Kernel } from "../kern/kernel.ts";
import { entryOfMap } from "../kern/map.ts";
import { SHA256_SIZE, sha256 } from "../kern/sha256.ts";
import { OBJ_BTF, OBJ_ID, OBJ_KIND, OBJ_LINK, OBJ_MAP, OBJ_PROG } from "../mem/layout.ts";
import {
  MAP_BTF,
  MAP_BTF_KEY,
  MAP_BTF_VALUE,
  MAP_EXTRA,
  MAP_FLAGS,
  MAP_FROZEN,
  MAP_KEY_SIZE,
  MAP_MAX_ENTRIES,
  MAP_NAME,
  MAP_NAME_SIZE,
  MAP_TYPE,
  MAP_VALUE_SIZE,
} from "../struct/map.ts";
import { bpf_attr, bpf_btf_info, bpf_map_info, EBADFD, EFAULT, EINVAL, ENOSPC, EPERM } from "../uapi/index.ts";
import { pointerAt, pointerIn } from "./attr.ts";
import { checkInfoTail, putInfo } from "./info_record.ts";
import { linkInfo } from "./link_info.ts";
import { progInfo } from "./prog_info.ts";

const { info } = bpf_attr;

export function objGetInfoByFd(kernel: Kernel, attr: number, uattr: number): number {
  const { u32 } = kernel.mem;
  const entry = getEntry(kernel.mem, kernel.process, u32[(attr + info.bpf_fd.offset) >>> 2]!);
  if (entry === 0) return -EBADFD;
  const object = entryObject(entry);
  const to = pointerAt(kernel, attr + info.info.offset);
  const length = u32[(attr + info.info_len.offset) >>> 2]!;
  const ret = infoOf(kernel, object, to, length, uattr + info.info_len.offset);
  kernel.done(object);
  return ret;
}

function infoOf(kernel: Kernel, object: number, to: number, length: number, ulength: number): number {
  switch (kernel.mem.u32[(object + OBJ_KIND) >>> 2]) {
    case OBJ_MAP:
      return mapInfo(kernel, object, to, length, ulength);
    case OBJ_BTF:
      return btfInfo(kernel, object, to, length, ulength);
    case OBJ_PROG:
      return progInfo(kernel, object, to, length, ulength);
    case OBJ_LINK:
      return linkInfo(kernel, object, to, length, ulength);
    default:
      return -EINVAL;
  }
}

function mapInfo(kernel: Kernel, map: number, to: number, length: number, ulength: number): number {
  const { fields, size } = bpf_map_info;
  // The struct's padding behind its last field counts as unknown.
  const bad = checkInfoTail(kernel, to, length, fields.hash_size.offset + fields.hash_size.size);
  if (bad !== 0) return bad;
  const given = Math.min(length, size);
  if (!kernel.userOk(to, given, false)) return -EFAULT;
  const { u32, u8 } = kernel.mem;
  const asked = new DataView(new ArrayBuffer(size));
  new Uint8Array(asked.buffer).set(u8.subarray(to, to + given));
  const hash = pointerIn(asked, fields.hash.offset);
  const hashed = writeHash(kernel, map, hash, asked.getUint32(fields.hash_size.offset, true));
  if (hashed !== 0) return hashed;
  // As the kernel does: what the map does not have, and where the hash went, keeps the caller's bytes.
  const record = new Uint8Array(asked.buffer);
  const view = asked;
  view.setUint32(fields.btf_vmlinux_value_type_id.offset, 0, true);
  const copy = (field: { readonly offset: number }, from: number): void =>
    view.setUint32(field.offset, u32[(map + from) >>> 2]!, true);
  copy(fields.type, MAP_TYPE);
  copy(fields.id, OBJ_ID);
  copy(fields.key_size, MAP_KEY_SIZE);
  copy(fields.value_size, MAP_VALUE_SIZE);
  copy(fields.max_entries, MAP_MAX_ENTRIES);
  copy(fields.map_flags, MAP_FLAGS);
  record.set(u8.subarray(map + MAP_NAME, map + MAP_NAME + MAP_NAME_SIZE), fields.name.offset);
  copy(fields.map_extra, MAP_EXTRA);
  view.setUint32(fields.map_extra.offset + 4, u32[(map + MAP_EXTRA + 4) >>> 2]!, true);
  const btf = u32[(map + MAP_BTF) >>> 2]!;
  if (btf !== 0) {
    view.setUint32(fields.btf_id.offset, u32[(btf + OBJ_ID) >>> 2]!, true);
    copy(fields.btf_key_type_id, MAP_BTF_KEY);
    copy(fields.btf_value_type_id, MAP_BTF_VALUE);
  }
  return putInfo(kernel, record, to, length, ulength);
}

/** The SHA-256 of what a frozen map holds, of types that offer it. Programs that may write change what the next one gives. */
function writeHash(kernel: Kernel, map: number, to: number, size: number): number {
  if (to === 0 && size === 0) return 0;
  const content = entryOfMap(kernel, map).ops.map_content(kernel, map);
  if (content === undefined || to === 0 || size !== SHA256_SIZE) return -EINVAL;
  const { u8, u32 } = kernel.mem;
  if (u32[(map + MAP_FROZEN) >>> 2] === 0) return -EPERM;
  if (!kernel.userOk(to, size, true)) return -EFAULT;
  u8.set(sha256(u8.subarray(...content)), to);
  return 0;
}

/** `btf` and `btf_size` ask for the bytes themselves; `name` is empty, since user space names no BTF. */
function btfInfo(kernel: Kernel, object: number, to: number, length: number, ulength: number): number {
  const { fields, size } = bpf_btf_info;
  const bad = checkInfoTail(kernel, to, length, size);
  if (bad !== 0) return bad;
  const given = Math.min(length, size);
  if (!kernel.userOk(to, given, false)) return -EFAULT;
  const { u32, u8 } = kernel.mem;
  const record = new Uint8Array(size);
  record.set(u8.subarray(to, to + given));
  const view = new DataView(record.buffer);
  const total = u32[(object + BTF_SIZE) >>> 2]!;
  const data = u32[(object + BTF_DATA) >>> 2]!;
  const room = Math.min(view.getUint32(fields.btf_size.offset, true), total);
  const into = pointerIn(view, fields.btf.offset);
  if (!kernel.userOk(into, room, true)) return -EFAULT;
  u8.copyWithin(into, data, data + room);
  view.setUint32(fields.btf_size.offset, total, true);
  view.setUint32(fields.id.offset, u32[(object + OBJ_ID) >>> 2]!, true);
  view.setUint32(fields.kernel_btf.offset, 0, true);
  const name = pointerIn(view, fields.name.offset);
  const nameRoom = view.getUint32(fields.name_len.offset, true);
  if ((name === 0) !== (nameRoom === 0)) return -EINVAL;
  view.setUint32(fields.name_len.offset, 0, true);
  if (name !== 0) {
    if (nameRoom < 1) return -ENOSPC;
    if (!kernel.userOk(name, 1, true)) return -EFAULT;
    u8[name] = 0;
  }
  return putInfo(kernel, record, to, length, ulength);
}
