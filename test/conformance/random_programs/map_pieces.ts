/** Pieces that call helpers for maps. */

import type { Reg } from "../../../src/insn/index.ts";
import * as asm from "../../../src/insn/index.ts";
import * as u from "../../../src/uapi/index.ts";
import { INNER, type MapName, maps } from "./maps.ts";
import { accesses, type Place } from "./memory.ts";
import type { Items, Writer } from "./writer.ts";

const KEYED = ["array", "hash", "percpu_array", "percpu_hash", "lpm"] as const;

/** A key on the stack, small enough that some other piece uses the same; its address in `reg`. */
function key(w: Writer, reg: Reg, name: MapName): Items {
  const { keySize } = maps[name];
  const at = w.slot(keySize, 8);
  const small = (size: asm.MemSize, offset: number, mask: number): Items => {
    if (w.chance(40)) return [asm.st(size, 10, offset, w.rnd(mask + 1))];
    const from = w.operand();
    return [asm.alu64Imm("and", from, mask), asm.stx(size, 10, from, offset)];
  };
  const items =
    name === "lpm"
      ? [...small("u32", at, 63), asm.st("u32", 10, at + 4, w.pick([0x0a, 0x80, -1, 0x0a01_0000]))]
      : keySize === 8
        ? small("u64", at, 7)
        : small("u32", at, 7);
  return [...items, asm.mov64(reg, 10), asm.alu64Imm("add", reg, at)];
}

/** r0 is a pointer to memory, or NULL: what is done with it, and a number in r0 at the end. */
function onPointer(w: Writer, size: number): Items {
  const end = w.label();
  w.called();
  const before = w.live;
  w.live &= ~1;
  const place: Place = { reg: 0, offset: 0, size, atomics: true, write: true, aligned: false, moves: true };
  // A pointer that has moved still has 8 bytes behind it.
  const last = asm.ldx(w.pick(["u64", "u32", "s16"]), 0, 0, 0);
  const items = !w.hasOperand() ? [last] : [...accesses(w, place, 1 + w.rnd(3)), last];
  w.set(0);
  w.join(before);
  return [asm.jmpImm("jeq", 0, 0, end), items, asm.label(end)];
}

function lookup(w: Writer): Items {
  const name = w.pick(KEYED);
  const perCpu = name.startsWith("percpu") && w.chance(40);
  return [
    ...key(w, 2, name),
    ...(perCpu ? w.number(3, [0, 0, 1, 2, 7]) : []),
    ...w.map(1, name),
    asm.call(perCpu ? u.BPF_FUNC_map_lookup_percpu_elem : u.BPF_FUNC_map_lookup_elem),
    ...onPointer(w, maps[name].valueSize),
  ];
}

function lookupInner(w: Writer): Items {
  const end = w.label();
  const at = w.slot(4, 4);
  const outer = [...key(w, 2, "outer"), ...w.map(1, "outer"), asm.call(u.BPF_FUNC_map_lookup_elem)];
  w.called();
  const before = w.live;
  return [
    ...outer,
    asm.jmpImm("jeq", 0, 0, end),
    asm.mov64(1, 0),
    asm.st("u32", 10, at, w.rnd(INNER.maxEntries + 1)),
    asm.mov64(2, 10),
    asm.alu64Imm("add", 2, at),
    asm.call(u.BPF_FUNC_map_lookup_elem),
    ...joined(w, before, () => onPointer(w, INNER.valueSize)),
    asm.label(end),
  ];
}

function joined(w: Writer, before: number, write: () => Items): Items {
  const items = write();
  w.join(before);
  return items;
}

function update(w: Writer): Items {
  const name = w.pick(KEYED);
  return [
    ...key(w, 2, name),
    ...w.memory(3, maps[name].valueSize),
    ...w.number(4, [0, 0, 0, 1, 2, 3, 4, -1]),
    ...w.map(1, name),
    asm.call(u.BPF_FUNC_map_update_elem),
  ];
}

function remove(w: Writer): Items {
  const name = w.pick(KEYED);
  return [...key(w, 2, name), ...w.map(1, name), asm.call(u.BPF_FUNC_map_delete_elem)];
}

function keyless(w: Writer): Items {
  const name = w.pick(["queue", "stack", "bloom"] as const);
  const { valueSize } = maps[name];
  if (w.chance(50)) {
    const flags = w.number(3, [0, 0, 0, 2, 1]);
    return [...w.memory(2, valueSize), ...flags, ...w.map(1, name), asm.call(u.BPF_FUNC_map_push_elem)];
  }
  const pop = name !== "bloom" && w.chance(60);
  const helper = pop ? u.BPF_FUNC_map_pop_elem : u.BPF_FUNC_map_peek_elem;
  return [...w.memory(2, valueSize, true), ...w.map(1, name), asm.call(helper)];
}

const ANY_FLAGS = [0, 0, 1, 2];

function ringOutput(w: Writer): Items {
  const size = w.pick([1, 7, 8, 12, 16, 24]);
  return [
    ...w.memory(2, 24),
    asm.mov64Imm(3, size),
    ...w.number(4, [...ANY_FLAGS, 4]),
    ...w.map(1, "ring"),
    asm.call(u.BPF_FUNC_ringbuf_output),
  ];
}

function ringQuery(w: Writer): Items {
  const what = w.pick([u.BPF_RB_AVAIL_DATA, u.BPF_RB_RING_SIZE, 9]);
  return [...w.map(1, "ring"), asm.mov64Imm(2, what), asm.call(u.BPF_FUNC_ringbuf_query)];
}

/** The whole record is written: what a ring's memory holds before is nobody's business. */
function ringRecord(w: Writer): Items {
  const words = 1 + w.rnd(4);
  const end = w.label();
  w.called();
  const before = w.live;
  w.live &= ~1;
  const writes = Array.from({ length: words }, (_, i) =>
    w.live !== 0 && w.chance(60) ? asm.stx("u64", 0, w.source(), i * 8) : asm.st("u64", 0, i * 8, w.imm()),
  );
  const [record] = w.scratch(1);
  const { locked } = w;
  w.locked |= 1 << record!;
  const place: Place = { reg: 0, offset: 0, size: words * 8, atomics: true, write: true, aligned: false, moves: true };
  const change = !w.hasOperand() ? [] : accesses(w, place, 1);
  w.locked = locked;
  w.called();
  w.join(before);
  return [
    ...w.map(1, "ring"),
    asm.mov64Imm(2, words * 8),
    asm.mov64Imm(3, 0),
    asm.call(u.BPF_FUNC_ringbuf_reserve),
    asm.jmpImm("jeq", 0, 0, end),
    ...writes,
    asm.mov64(record!, 0),
    ...change,
    asm.mov64(1, record!),
    asm.mov64Imm(2, w.pick(ANY_FLAGS)),
    asm.call(w.chance(75) ? u.BPF_FUNC_ringbuf_submit : u.BPF_FUNC_ringbuf_discard),
    asm.mov64Imm(0, 1),
    asm.label(end),
  ];
}

/** A call on a map, and what is done with what it gives. */
export function mapPiece(w: Writer): Items {
  w.calling();
  const kind = w.rnd(20);
  // Those that get a pointer see to the registers themselves.
  if (kind < 8) return lookup(w);
  if (kind === 8) return lookupInner(w);
  if (kind === 9) return ringRecord(w);
  const items =
    kind < 13 ? update(w) : kind < 15 ? remove(w) : kind < 17 ? keyless(w) : kind < 19 ? ringOutput(w) : ringQuery(w);
  w.called();
  return items;
}
