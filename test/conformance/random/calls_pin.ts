/** Pins in random sequences: OBJ_PIN, OBJ_GET, and what bpffs does with names. */
import { bpfCommands } from "../../../src/uapi/commands.ts";
import * as u from "../../../src/uapi/index.ts";
import { PIN_NAMES, type PinOp } from "./op.ts";
import { FD, type World } from "./world.ts";

const { obj } = u.bpf_attr;
/** Room for a path of any host. */
const PATH = 160;

type OpOf<K extends PinOp["op"]> = Extract<PinOp, { readonly op: K }>;

function pathOf(world: World, name: number): string {
  return `${world.side.bpffs}/${PIN_NAMES[name]}`;
}

/** Puts the path into the block; `forgetPath` removes it again, for no two hosts have the same. */
function putPath(world: World, name: number): number {
  const { side } = world;
  const at = side.room(PATH);
  side.bytes.fill(0, at, at + PATH);
  side.bytes.set(new TextEncoder().encode(pathOf(world, name)), at);
  side.pointer(obj.pathname.offset, at);
  return at;
}

function forgetPath(world: World, at: number): void {
  world.side.bytes.fill(0, at, at + PATH);
}

export function pin(world: World, op: OpOf<"pin">): void {
  const { side } = world;
  side.begin(bpfCommands[u.BPF_OBJ_PIN]!.end, op);
  const path = putPath(world, op.name);
  world.putFd(obj.bpf_fd.offset, op.slot, op.fd);
  side.put32(obj.file_flags.offset, op.flags);
  side.call(u.BPF_OBJ_PIN, op);
  forgetPath(world, path);
  const map = world.slots[op.slot];
  if (side.ret === 0 && map !== undefined) world.pins.set(PIN_NAMES[op.name]!, map.id);
}

export function getPinned(world: World, op: OpOf<"get">): void {
  const { side } = world;
  side.begin(bpfCommands[u.BPF_OBJ_GET]!.end, op);
  const path = putPath(world, op.name);
  side.put32(obj.file_flags.offset, op.flags);
  const fd = side.call(u.BPF_OBJ_GET, op);
  forgetPath(world, path);
  if (fd < 0) return;
  side.ret = 0;
  const record = new Uint8Array(8);
  side.host.bpf(u.BPF_OBJ_GET_INFO_BY_FD, { bpf_fd: fd, info_len: record.length, info: record });
  const id = new DataView(record.buffer).getUint32(u.bpf_map_info.fields.id.offset, true);
  // Whether it is what was pinned there is part of the answer.
  side.setWord(path, id === world.pins.get(PIN_NAMES[op.name]!) ? FD : 0);
  const map = world.slots[op.slot];
  if (map !== undefined && map.id === id) map.fds.push(fd);
  else side.host.close(fd);
}

export function unlink(world: World, op: OpOf<"unlink">): void {
  const ret = world.side.host.bpffs.unlink(pathOf(world, op.name));
  if (ret === 0) world.pins.delete(PIN_NAMES[op.name]!);
  world.side.plain(ret);
}

export function rename(world: World, op: OpOf<"rename">): void {
  const ret = world.side.host.bpffs.rename(pathOf(world, op.name), pathOf(world, op.to));
  const id = world.pins.get(PIN_NAMES[op.name]!);
  if (ret === 0 && op.name !== op.to && id !== undefined) {
    world.pins.delete(PIN_NAMES[op.name]!);
    world.pins.set(PIN_NAMES[op.to]!, id);
  }
  world.side.plain(ret);
}

export function unpinAll(world: World): void {
  for (const name of world.pins.keys()) world.side.host.bpffs.unlink(`${world.side.bpffs}/${name}`);
  world.pins.clear();
}
