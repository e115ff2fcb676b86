/** MAP_CREATE, ids and info in random sequences. */
import { bpfCommands } from "../../../src/uapi/commands.ts";
import * as u from "../../../src/uapi/index.ts";
import { btfId } from "./bytes.ts";
import { CURSOR } from "./calls_element.ts";
import type { RandomAttr, RandomOp } from "./op.ts";
import { FD, type Slot, type World } from "./world.ts";

const { map_create, id, info } = u.bpf_attr;
const infoFields = u.bpf_map_info.fields;
/** What ids are compared as. */
const ID = 0x1d00;
const BTF_ID = 0xb7f0;
/** SHA-256. */
const HASH_BYTES = 32;
/** More than any machine has maps. */
const MOST_IDS = 100_000;
/** Mappings of a slot at the same time. */
export const PLACES = 2;

type OpOf<K extends RandomOp["op"]> = Extract<RandomOp, { readonly op: K }>;

function putAttr(world: World, attr: RandomAttr): void {
  const { side } = world;
  for (const name in attr) {
    const value = attr[name];
    if (typeof value === "object" || value === undefined || name === "inner_map") continue;
    const field = map_create[name as keyof typeof map_create];
    if (typeof value === "string") side.text(field.offset, value);
    else if (field.size === 8) side.put64(field.offset, value);
    else side.put32(field.offset, value);
  }
  if (typeof attr.inner_map === "number") {
    side.local(map_create.inner_map_fd.offset, world.object(attr.inner_map).fd, FD);
  }
  if (attr.btf === undefined) return;
  const btf = world.btf();
  side.local(map_create.btf_fd.offset, btf.fd, FD);
  side.put32(map_create.btf_key_type_id.offset, btfId(attr.btf.key));
  side.put32(map_create.btf_value_type_id.offset, btfId(attr.btf.value));
}

export function create(world: World, op: OpOf<"create">): void {
  const { side } = world;
  world.empty(op.slot);
  if (op.attr.btf !== undefined) world.btf();
  side.begin(bpfCommands[u.BPF_MAP_CREATE]!.end, op);
  putAttr(world, op.attr);
  const fd = side.call(u.BPF_MAP_CREATE, op);
  if (fd < 0) return;
  side.ret = 0;
  const valueSize = Number(op.attr.value_size);
  const keySize = Number(op.attr.key_size);
  const record = new Uint8Array(8);
  side.host.bpf(u.BPF_OBJ_GET_INFO_BY_FD, { bpf_fd: fd, info_len: record.length, info: record });
  world.slots[op.slot] = {
    id: new DataView(record.buffer).getUint32(infoFields.id.offset, true),
    keySize,
    valueSize,
    maxEntries: Number(op.attr.max_entries),
    valueBytes: world.plan.percpu === true ? Math.ceil(valueSize / 8) * 8 * side.host.possibleCpus : valueSize,
    fds: [fd],
    last: new Uint8Array(keySize),
    cursor: new Uint8Array(CURSOR),
    hasCursor: false,
    mappings: Array<undefined>(PLACES).fill(undefined),
    programs: new Map(),
    walkFd: -1,
    mappedAt: undefined,
    ring: undefined,
  };
}

export function tryCreate(world: World, op: OpOf<"try">): void {
  const { side } = world;
  if (op.attr.btf !== undefined) world.btf();
  side.begin(bpfCommands[u.BPF_MAP_CREATE]!.end, op);
  putAttr(world, op.attr);
  const fd = side.call(u.BPF_MAP_CREATE, op);
  if (fd < 0) return;
  side.ret = 0;
  side.host.close(fd);
}

export function openById(world: World, op: OpOf<"open">): void {
  const { side } = world;
  const map = world.slots[op.slot];
  side.begin(bpfCommands[u.BPF_MAP_GET_FD_BY_ID]!.end, op);
  putId(world, map, op.add);
  side.put32(id.open_flags.offset, op.flags);
  const fd = side.call(u.BPF_MAP_GET_FD_BY_ID, op);
  if (fd < 0) return;
  side.ret = 0;
  // Cut attributes can name another map, or none: whose it is tells whether both opened the same.
  if (map === undefined) side.host.close(fd);
  else map.fds.push(fd);
}

/** An id that is compared as its slot's. Far beyond all ids in use, `add` alone is the id. */
function putId(world: World, map: Slot | undefined, add: number): void {
  const offset = id.map_id.offset;
  if (map === undefined) world.side.put32(offset, add < 0 ? 0x7fff_fff0 : 0x7fff_fff0 + add);
  else if (add > 0xffff) world.side.put32(offset, add);
  else world.side.local(offset, map.id + add, ID + add + world.slots.indexOf(map));
}

export function getNextId(world: World, op: OpOf<"next_id">): void {
  const { side } = world;
  const map = world.slots[op.slot];
  const from = (map?.id ?? 0x7fff_fff0) + op.add;
  let start = op.add > 0xffff || map === undefined ? Math.max(op.add, 0x7fff_0000) : from;
  for (let n = 0; n < MOST_IDS; n++) {
    side.begin(id.next_id.offset + 4, op);
    side.local(id.start_id.offset, start, ID + op.slot);
    side.call(u.BPF_MAP_GET_NEXT_ID, op);
    if (side.ret !== 0) return;
    start = side.get32(id.next_id.offset);
    const found = world.slots.findIndex((s) => s?.id === start);
    if (found < 0) continue;
    side.begin(id.next_id.offset + 4, {});
    side.put32(id.next_id.offset, ID + found);
    return;
  }
}

export function getInfo(world: World, op: OpOf<"info">): void {
  const { side } = world;
  const map = world.slots[op.slot];
  side.begin(bpfCommands[u.BPF_OBJ_GET_INFO_BY_FD]!.end, op);
  const at = side.room(op.length);
  side.bytes.fill(0, at, at + op.length);
  if (op.dirty >= 0 && op.dirty < op.length) side.bytes[at + op.dirty] = 1;
  if (op.hash === true && op.length >= infoFields.hash_size.offset + 4) {
    side.pointerAt(at + infoFields.hash.offset, side.room(HASH_BYTES));
    side.setWord(at + infoFields.hash_size.offset, HASH_BYTES);
  }
  world.putFd(info.bpf_fd.offset, op.slot, op.fd);
  side.put32(info.info_len.offset, op.length);
  side.pointer(info.info.offset, at);
  side.call(u.BPF_OBJ_GET_INFO_BY_FD, op);
  const ids = at + infoFields.id.offset;
  if (op.length >= 8 && map !== undefined && side.word(ids) === map.id) side.setWord(ids, ID + op.slot);
  const btfIds = at + infoFields.btf_id.offset;
  if (op.length >= 68 && side.word(btfIds) === world.btfId()) side.setWord(btfIds, BTF_ID);
}
