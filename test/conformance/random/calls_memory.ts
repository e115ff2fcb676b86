/** Mappings, rings, and programs that use maps, in random sequences. */
import { bpfCommands } from "../../../src/uapi/commands.ts";
import * as u from "../../../src/uapi/index.ts";
import { putKey, putValue } from "./bytes.ts";
import type { MmapOp, ProgramCall, RandomOp, RunOp } from "./op.ts";
import { loadRunner, packetLayout, runnerInsns } from "./programs.ts";
import { consume, openRing } from "./ring.ts";
import type { Side } from "./side.ts";
import { FD, NOT_OPEN, type Slot, type World } from "./world.ts";

const { test } = u.bpf_attr;
const PROT_READ = 1;
const PROT_WRITE = 2;

export function mapMemory(world: World, op: MmapOp): void {
  const { side } = world;
  const map = world.slots[op.slot];
  const before = map?.mappings[op.place];
  if (before !== undefined) side.host.munmap(before.bytes);
  const bytes = side.host.mmap(world.fd(op.slot, op.fd), {
    offset: op.offset,
    length: op.length,
    prot: op.prot,
    dropsViews: true,
    ...(op.again === true && map?.mappedAt !== undefined ? { address: map.mappedAt } : {}),
  });
  if (map !== undefined && typeof bytes !== "number") map.mappedAt ??= side.host.mappedAt(bytes);
  side.plain(typeof bytes === "number" ? bytes : 0);
  if (map !== undefined) map.mappings[op.place] = typeof bytes === "number" ? undefined : { bytes, prot: op.prot };
}

/** The process dies of reading what it may not read, and of writing what it may not write. */
export function touchMapped(world: World, op: Extract<RandomOp, { readonly op: "read" | "store" }>): void {
  const mapping = world.slots[op.slot]?.mappings[op.place];
  const needed = op.op === "read" ? PROT_READ : PROT_WRITE;
  if (mapping === undefined || (mapping.prot & needed) === 0) {
    world.side.plain(-u.EFAULT);
    return;
  }
  const from = op.offset % Math.max(1, mapping.bytes.length);
  const part = mapping.bytes.subarray(from, from + (op.op === "read" ? op.value : 8));
  if (op.op === "read") {
    world.side.show(0, part);
    return;
  }
  putValue(part, 0, op.value, part.length);
  world.side.plain(0);
}

/** Mappings of the comparison's own; a position that is nonsense goes to the producer's. */
export function consumeRing(world: World, op: Extract<RandomOp, { readonly op: "consume" }>): void {
  const { side } = world;
  const map = world.slots[op.slot];
  const fd = world.fd(op.slot, 0);
  if (map === undefined || fd === NOT_OPEN) {
    side.plain(-u.EBADF);
    return;
  }
  map.ring ??= openRing(side.host, fd, map.maxEntries);
  if (map.ring === undefined) {
    side.plain(-u.EACCES);
    return;
  }
  side.plain(0);
  side.ret = consume(map.ring, op.most, side);
}

/** Programs are the same for all maps of a shape. */
function runner(side: Side, call: ProgramCall, map: Slot): Uint8Array {
  const name = `${call} ${map.keySize} ${map.valueSize}`;
  const known = side.programs.get(name);
  if (known !== undefined) return known;
  const insns = runnerInsns(call, map);
  side.programs.set(name, insns);
  return insns;
}

export function run(world: World, op: RunOp): void {
  const { side } = world;
  const map = world.slots[op.slot];
  const fd = world.fd(op.slot, op.fd);
  if (map === undefined || fd === NOT_OPEN) {
    side.plain(-u.EBADF);
    return;
  }
  let program = map.programs.get(op.call);
  if (program === undefined) {
    program = loadRunner(side.host, runner(side, op.call, map), fd);
    map.programs.set(op.call, program);
  }
  const layout = packetLayout(map);
  side.begin(bpfCommands[u.BPF_PROG_TEST_RUN]!.end, op);
  const packet = side.room(layout.size);
  side.bytes.fill(0, packet, packet + layout.size);
  side.setWord(packet, op.flags);
  side.setWord(packet + 8, op.value);
  putKey(side.bytes, packet + layout.key, world.plan.keys, op.key, map.keySize);
  putValue(side.bytes, packet + layout.value, op.value, layout.valueBytes);
  side.local(test.prog_fd.offset, program, FD);
  side.put32(test.data_size_in.offset, layout.size);
  side.pointer(test.data_in.offset, packet);
  side.put32(test.repeat.offset, 1);
  side.call(u.BPF_PROG_TEST_RUN, op);
  side.forget(test.duration.offset);
}

export function unmapMemory(world: World, op: Extract<RandomOp, { readonly op: "munmap" }>): void {
  const { side } = world;
  const map = world.slots[op.slot];
  const mapping = map?.mappings[op.place];
  if (map !== undefined) map.mappings[op.place] = undefined;
  side.plain(mapping === undefined ? -u.EINVAL : side.host.munmap(mapping.bytes));
}
