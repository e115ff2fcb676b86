/** Every access of every size around every edge: allowed exactly where it should be. */

import { expect, test } from "vitest";
import { PLAIN_MAP } from "../../test/plain_map.ts";
import { prepareXdp } from "../contexts/xdp.ts";
import { encodeInsns, type Insn, ldImm64, ldx, raw, st } from "../insn/index.ts";
import { acquireRun, releaseRun } from "../kern/cpus.ts";
import { createKernel } from "../kern/create.ts";
import { allocMap, entryOfMap } from "../kern/map.ts";
import { allocProg, destroyProg, PROG_INSNS, PROG_TYPE, setProgMaps } from "../kern/prog.ts";
import { HELD_RING, hold, RUN_CTX, RUN_EXITED, RUN_PROG, RUN_STACK_TOP } from "../kern/run_record.ts";
import { mapEntry } from "../maps/registry.ts";
import { alloc, POOL_USER } from "../mem/alloc.ts";
import { ringReserve } from "../struct/ring.ts";
import * as u from "../uapi/index.ts";
import { run as execute } from "./interp.ts";
import { begin, Machine } from "./machine.ts";

const k = createKernel({ memory: 8 << 20, cpus: 2, shared: false, seed: 1, virtualClock: true });
const { mem } = k;

function makeMap(type: number, key: number, value: number, max: number, flags = 0): number {
  return allocMap(k, mapEntry(type)!, {
    map_type: type,
    key_size: key,
    value_size: value,
    max_entries: max,
    map_flags: flags,
    ...PLAIN_MAP,
  });
}

function valuesOf(map: number): number {
  return entryOfMap(k, map).ops.map_lookup_elem(k, map, alloc(mem, 8));
}

const VALUE = 13;
const STRIDE = 16;
const ENTRIES = 3;
const array = makeMap(u.BPF_MAP_TYPE_ARRAY, 4, VALUE, ENTRIES);
const percpu = makeMap(u.BPF_MAP_TYPE_PERCPU_ARRAY, 4, VALUE, ENTRIES);
const readOnly = makeMap(u.BPF_MAP_TYPE_ARRAY, 4, 8, 1, u.BPF_F_RDONLY_PROG);
const writeOnly = makeMap(u.BPF_MAP_TYPE_ARRAY, 4, 8, 1, u.BPF_F_WRONLY_PROG);
const foreign = makeMap(u.BPF_MAP_TYPE_ARRAY, 4, 64, 1);
const ring = makeMap(u.BPF_MAP_TYPE_RINGBUF, 0, 0, 4096);
const maps = [array, percpu, readOnly, writeOnly, ring];

const prog = allocProg(mem, 8);
mem.u32[(prog + PROG_TYPE) >>> 2] = u.BPF_PROG_TYPE_XDP;
for (const map of maps) k.hold(map);
setProgMaps(k, prog, maps);
const record = acquireRun(k, 0);
mem.u32[(record + RUN_PROG) >>> 2] = prog;
const META = 4;
const DATA = 21;
const meta = prepareXdp(k, record, {
  meta: META,
  linear: META + DATA,
  fragsSize: 0,
  ingressIfindex: 1,
  rxQueueIndex: 0,
});
const SAMPLE = 11;
const sample = ringReserve(k, ring, SAMPLE);
hold(mem, record, HELD_RING, ring, sample, SAMPLE);
ringReserve(k, ring, 8);

/** True when one access of this size at this address ends in an exit, not a fault. */
function allowed(address: number, size: 1 | 2 | 4 | 8, write: boolean): boolean {
  const name = (["", "u8", "u16", "", "u32", "", "", "", "u64"] as const)[size] as "u8" | "u16" | "u32" | "u64";
  const access: Insn = write ? st(name, 1, 0, 0) : ldx(name, 2, 1, 0);
  const insns = [...ldImm64(1, BigInt(address)), access, raw(0xb7), raw(0x95)];
  mem.u8.set(encodeInsns(insns), mem.u32[(prog + PROG_INSNS) >>> 2]!);
  const m = new Machine(k, record);
  begin(m, 100);
  return execute(m) === RUN_EXITED;
}

const sizes = [1, 2, 4, 8] as const;
const top = mem.u32[(record + RUN_STACK_TOP) >>> 2]!;
const ctx = mem.u32[(record + RUN_CTX) >>> 2]!;

/** Compares around `from`: `rule` says what an access at this distance may do. */
function sweep(
  from: number,
  first: number,
  last: number,
  rule: (at: number, size: number, write: boolean) => boolean,
): void {
  const wrong: string[] = [];
  for (const size of sizes) {
    for (const write of [false, true]) {
      for (let at = first; at <= last; at++) {
        const found = allowed(from + at, size, write);
        if (found !== rule(at, size, write)) wrong.push(`${write ? "write" : "read"} of ${size} at ${at}: ${found}`);
      }
    }
  }
  expect(wrong).toEqual([]);
}

test("stack: 512 bytes, aligned", () => {
  sweep(top - 512, -17, 530, (at, size) => at >= 0 && at + size <= 512 && at % size === 0);
});

test("context: whole fields, read only; without the device that only programs of devmaps know", () => {
  sweep(ctx, -20, 40, (at, size, write) => !write && size === 4 && at >= 0 && at % 4 === 0 && at + size <= 20);
});

test("packet: from metadata to the end", () => {
  sweep(meta, -20, META + DATA + 20, (at, size) => at >= 0 && at + size <= META + DATA);
});

test("values: value_size bytes of each stride, on every CPU", () => {
  const rule = (at: number, size: number): boolean => at >= 0 && (at % STRIDE) + size <= VALUE && at < STRIDE * ENTRIES;
  sweep(valuesOf(array), -20, STRIDE * ENTRIES + 20, rule);
  const other = entryOfMap(k, percpu).ops.map_lookup_percpu_elem(k, percpu, alloc(mem, 8), 1);
  sweep(other, -20, STRIDE * ENTRIES + 20, rule);
});

test("rights of maps, and maps that are not the program's", () => {
  sweep(valuesOf(readOnly), -4, 12, (at, size, write) => !write && at >= 0 && at + size <= 8);
  sweep(valuesOf(writeOnly), -4, 12, (at, size, write) => write && at >= 0 && at + size <= 8);
  sweep(valuesOf(foreign), -4, 70, () => false);
});

test("ring records: what was reserved, and nothing around it", () => {
  sweep(sample, -24, 40, (at, size) => at >= 0 && at + size <= SAMPLE);
});

test("everything else", () => {
  const user = alloc(mem, 64, POOL_USER);
  for (const from of [0, 65536, user, array, prog, record, mem.byteLength - 16, 0xffff_fff0])
    sweep(from, 0, 16, () => false);
  for (const address of [2 ** 32, 2 ** 32 + top - 8, 2 ** 40]) expect(allowed(address, 8, false)).toBe(false);
});

test("nothing was lost", () => {
  releaseRun(k, record);
  destroyProg(k, prog);
  expect(k.run).toBe(0);
});
