/** The element and batch commands of random sequences. */
import { bpfCommands } from "../../../src/uapi/commands.ts";
import * as u from "../../../src/uapi/index.ts";
import { putKey, putValue } from "./bytes.ts";
import { GOOD_OBJECTS } from "./objects.ts";
import { BAD, type BatchOp, type ElementOp, LAST, NULL } from "./op.ts";
import type { Slot, World } from "./world.ts";

const { elem, batch } = u.bpf_attr;

/** Room for a cursor of any type. */
export const CURSOR = 64;

const elementCommands = {
  update: u.BPF_MAP_UPDATE_ELEM,
  lookup: u.BPF_MAP_LOOKUP_ELEM,
  take: u.BPF_MAP_LOOKUP_AND_DELETE_ELEM,
  delete: u.BPF_MAP_DELETE_ELEM,
  next: u.BPF_MAP_GET_NEXT_KEY,
} as const;

const batchCommands = {
  lookup: u.BPF_MAP_LOOKUP_BATCH,
  take: u.BPF_MAP_LOOKUP_AND_DELETE_BATCH,
  update: u.BPF_MAP_UPDATE_BATCH,
  delete: u.BPF_MAP_DELETE_BATCH,
} as const;

export function makeElement(world: World, op: ElementOp): void {
  const { side } = world;
  const map = world.slots[op.slot];
  const cmd = elementCommands[op.command];
  side.begin(bpfCommands[cmd]!.end, op);
  world.putFd(elem.map_fd.offset, op.slot, op.fd);
  side.pointer(elem.key.offset, keyAt(world, map, op.key));
  let out = NULL;
  if (op.command !== "delete") {
    const length = op.command === "next" ? (map?.keySize ?? 4) : (map?.valueBytes ?? 8);
    out = op.value;
    if (out >= 0) {
      out = side.room(length);
      const given = op.command === "update" || world.plan.lookupReadsValue === true;
      if (given && world.plan.holds !== undefined) world.putObject(out, op.value);
      else if (given) putValue(side.bytes, out, op.value, length);
    }
    side.pointer(elem.value.offset, out);
  }
  side.put64(elem.flags.offset, op.flags);
  side.call(cmd, op);
  const reads = op.command === "lookup" || op.command === "take";
  if (world.plan.holds !== undefined && reads && out >= 0) world.nameObjects(out, 1);
  if (op.command === "next" && side.ret === 0 && out >= 0 && map !== undefined) {
    map.last.set(side.bytes.subarray(out, out + map.keySize));
  }
}

/** The key's place in the block, or what is no place. A map without keys has room for a number where one is given. */
function keyAt(world: World, map: Slot | undefined, key: number): number {
  if (key < 0 && key !== LAST) return key;
  const { side } = world;
  const size = map?.keySize ?? 4;
  const at = side.room(Math.max(size, 4));
  if (key === LAST && map !== undefined) side.bytes.set(map.last, at);
  else putKey(side.bytes, at, world.plan.keys === "none" ? "index" : world.plan.keys, key, Math.max(size, 4));
  return at;
}

export function makeBatch(world: World, op: BatchOp): void {
  const { side } = world;
  const map = world.slots[op.slot];
  const keySize = map?.keySize ?? 4;
  const valueBytes = map?.valueBytes ?? 8;
  const cmd = batchCommands[op.command];
  side.begin(bpfCommands[cmd]!.end, op);
  const out = side.room(CURSOR);
  const pointer = (field: "in_batch" | "out_batch" | "keys" | "values", at: number): void =>
    side.pointer(batch[field].offset, op.bad === field ? BAD : at);
  pointer("out_batch", out);
  pointer("in_batch", cursorAt(world, map, op.from));
  const keys = side.room(keySize * op.count);
  const values = side.room(valueBytes * op.count);
  for (const [i, n] of op.keys.entries()) {
    putKey(side.bytes, keys + i * keySize, world.plan.keys, n, keySize);
    const value = values + i * valueBytes;
    if (op.command === "update" && world.plan.holds !== undefined)
      world.putObject(value, n % 16 < 15 ? n % GOOD_OBJECTS : n);
    else if (op.command === "update") putValue(side.bytes, values + i * valueBytes, n * 3 + i, valueBytes);
  }
  pointer("keys", keys);
  pointer("values", values);
  side.put32(batch.count.offset, op.count);
  world.putFd(batch.map_fd.offset, op.slot, op.fd);
  side.put64(batch.elem_flags.offset, op.elemFlags);
  side.put64(batch.flags.offset, op.flags);
  side.call(cmd, op);
  const reads = op.command === "lookup" || op.command === "take";
  if (world.plan.holds !== undefined && reads) world.nameObjects(values, op.count);
  if (map === undefined) return;
  map.cursor.set(side.bytes.subarray(out, out + CURSOR));
  map.hasCursor = true;
}

function cursorAt(world: World, map: Slot | undefined, from: BatchOp["from"]): number {
  const { side } = world;
  if (from === "start" || (from === "last" && map?.hasCursor !== true)) return NULL;
  const at = side.room(CURSOR);
  if (from === "last") side.bytes.set(map!.cursor, at);
  else putKey(side.bytes, at, world.plan.keys === "prefix" ? "prefix" : "index", from, CURSOR);
  return at;
}
