/** Random programs with forged pointers: whatever they do, no byte is read or written that is not theirs. */

import { expect, test } from "vitest";
import { PLAIN_MAP } from "../../test/plain_map.ts";
import { SEED } from "../../test/seed.ts";
import { prepareXdp } from "../contexts/xdp.ts";
import { type AsmItem, assemble, encodeInsns, type Insn, insnTable, raw, validateProgram } from "../insn/index.ts";
import { run as compiled } from "../jit/run.ts";
import { acquireRun, releaseRun } from "../kern/cpus.ts";
import { createKernel } from "../kern/create.ts";
import type { Kernel } from "../kern/kernel.ts";
import { allocMap, entryOfMap } from "../kern/map.ts";
import { allocProg, destroyProg, PROG_INSNS, PROG_TYPE, setProgMaps } from "../kern/prog.ts";
import { RUN_DATA, RUN_DATA_END, RUN_EXITED, RUN_FAULTED, RUN_PROG, RUN_SIZE } from "../kern/run_record.ts";
import { mapEntry } from "../maps/registry.ts";
import { alloc, POOL_USER } from "../mem/alloc.ts";
import { BPF_MAP_TYPE_ARRAY, BPF_PROG_TYPE_XDP } from "../uapi/index.ts";
import { run as interpret } from "./interp.ts";
import { begin, Machine } from "./machine.ts";

const VALUE = 5;
const STRIDE = 8;
const ENTRIES = 3;
const PACKET = 20;

function makeArray(k: Kernel, valueSize: number, entries: number): number {
  const map = allocMap(k, mapEntry(BPF_MAP_TYPE_ARRAY)!, {
    map_type: BPF_MAP_TYPE_ARRAY,
    key_size: 4,
    value_size: valueSize,
    max_entries: entries,
    map_flags: 0,
    ...PLAIN_MAP,
  });
  expect(map).toBeGreaterThan(0);
  return map;
}

function valuesOf(k: Kernel, map: number): number {
  const key = alloc(k.mem, 4);
  return entryOfMap(k, map).ops.map_lookup_elem(k, map, key);
}

/** Indices of bytes that differ; whole pages first, since most are the same. */
function changes(before: Uint8Array, after: Uint8Array): number[] {
  const found: number[] = [];
  const page = 4096;
  for (let at = 0; at < before.length; at += page) {
    if (Buffer.compare(before.subarray(at, at + page), after.subarray(at, at + page)) === 0) continue;
    for (let i = at; i < at + page; i++) if (before[i] !== after[i]) found.push(i);
  }
  return found;
}

for (const shared of [false, true]) {
  test(`${shared ? "shared" : "exclusive"}: nothing outside is read or written`, () => {
    const k = createKernel({ memory: 3 << 20, cpus: 1, shared, seed: 1, virtualClock: true });
    const { mem } = k;
    const own = makeArray(k, VALUE, ENTRIES);
    const other = makeArray(k, 64, 4);
    const values = valuesOf(k, own);
    const secrets = [alloc(mem, 4096, POOL_USER), valuesOf(k, other)];
    let seed = SEED;
    const random = (n: number): number => {
      seed = (Math.imul(seed, 1_664_525) + 1_013_904_223) >>> 0;
      return seed % n;
    };
    const pick = <T>(list: readonly T[]): T => list[random(list.length)]!;

    const rows = insnTable.filter((row) => row !== undefined && row.opcode !== 0x05 && row.opcode !== 0x06);
    const usable = rows.filter((row) => ["alu", "end", "load", "store", "atomic", "jump"].includes(row!.kind));
    const offsets = [0, 1, 4, 8, -1, -4, -8, -16, 5, 16, 512, -512, -513, PACKET, PACKET - 1, STRIDE * 2 + 4];

    /** Registers that hold pointers at the beginning, and often still do. */
    const pointers = [6, 6, 8, 10];
    const someInsn = (addresses: readonly number[], left: number): Insn[] => {
      if (random(10) === 0) {
        const low = (pick(addresses) + pick(offsets)) | 0;
        return [raw(0x18, random(10), 0, 0, low), raw(0, 0, 0, 0, random(12) === 0 ? 1 : 0)];
      }
      const row = pick(usable)!;
      const insn = { opcode: row.opcode, dst: random(10), src: 0, off: 0, imm: 0 };
      if (row.src !== "none") insn.src = random(11);
      if (row.kind === "load" && random(4) > 0) insn.src = pick(pointers);
      if (row.kind === "store" || row.kind === "atomic") insn.dst = random(4) > 0 ? pick(pointers) : random(11);
      if (row.off === "any") insn.off = pick(offsets);
      if (row.off === "jump") insn.off = random(Math.min(left, 3) + 1);
      if (row.imm === "any") insn.imm = pick([0, 1, -1, 8, 0x7fff_ffff, 5]);
      if (row.imm === "nonZero" || row.imm === "shift") insn.imm = 1 + random(31);
      if (row.selector !== "none") insn[row.selector] = pick(row.variants).value;
      if (row.kind === "atomic" && row.variants.find((v) => v.value === insn.imm)?.op === "loadAcq")
        insn.dst = random(10);
      return [insn];
    };

    const runOnce = (
      prog: number,
      secret: number,
      execute: (m: Machine) => number,
    ): { r0: bigint; values: string; status: number; at: number } => {
      for (const at of secrets) mem.u8.fill(secret, at, at + 256);
      mem.u8.fill(7, values, values + STRIDE * ENTRIES);
      const record = acquireRun(k, 0);
      mem.u32[(record + RUN_PROG) >>> 2] = prog;
      const to = prepareXdp(k, record, {
        meta: 4,
        linear: PACKET + 4,
        fragsSize: 0,
        ingressIfindex: 1,
        rxQueueIndex: 0,
      });
      mem.u8.fill(9, to, to + PACKET + 4);
      const m = new Machine(k, record);
      begin(m, 1000);
      const before = mem.u8.slice();
      const status = execute(m);
      const data = mem.u32[(record + RUN_DATA) >>> 2]!;
      const end = mem.u32[(record + RUN_DATA_END) >>> 2]!;
      for (const i of changes(before, mem.u8)) {
        const inRecord = i >= record && i < record + RUN_SIZE;
        const inStack = i >= m.stackLow && i < m.stackTop;
        const inPacket = i >= data - 4 && i < end;
        const inValue = i >= values && i < values + STRIDE * ENTRIES && (i - values) % STRIDE < VALUE;
        if (!inRecord && !inStack && !inPacket && !inValue) throw new Error(`byte ${i} changed`);
      }
      // A fault leaves in r0 what there was, or not: compiled code has it elsewhere. Where a budget ends it may look.
      const r0 = status === RUN_EXITED ? mem.u64[m.regs >>> 1]! : 0n;
      const at = status === RUN_FAULTED ? m.pc : 0;
      const kept = [...mem.u8.subarray(values, values + STRIDE * ENTRIES)].join();
      releaseRun(k, record);
      return { r0, values: kept, status, at };
    };

    let exits = 0;
    for (let round = 0; round < 400; round++) {
      const addresses = [
        values,
        values,
        secrets[0]!,
        secrets[1]!,
        0,
        65536,
        mem.byteLength - 4,
        own,
        random(mem.byteLength),
      ];
      const items: AsmItem[] = [raw(0x61, 8, 1), raw(0x18, 6, 0, 0, values), raw(0)];
      const length = 4 + random(20);
      while (items.length < length) items.push(...someInsn(addresses, 3));
      const insns = assemble([...items, raw(0xb7), raw(0x95)]);
      // Jumps may land in the middle of a 64-bit immediate; such programs are refused at load.
      if (validateProgram(insns) !== undefined) continue;
      const prog = allocProg(mem, insns.length);
      mem.u8.set(encodeInsns(insns), mem.u32[(prog + PROG_INSNS) >>> 2]!);
      mem.u32[(prog + PROG_TYPE) >>> 2] = BPF_PROG_TYPE_XDP;
      k.hold(own);
      setProgMaps(k, prog, [own]);
      // Neither what is not the program's makes a difference, nor the engine.
      const one = runOnce(prog, 0x11, interpret);
      const two = runOnce(prog, 0xee, compiled);
      expect(two).toEqual(one);
      if (one.status === 1) exits++;
      destroyProg(k, prog);
    }
    expect(exits).toBeGreaterThan(20);
  });
}
