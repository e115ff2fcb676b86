/** Values of maps: areas of their own, one a CPU for per-CPU types, and the copies between them and buffers. */
import { AREA_PROG_READ, AREA_PROG_WRITE, AREA_VALUES, allocAreas, areaSpan } from "../mem/alloc.ts";
import { rup8 } from "../mem/layout.ts";
import type { Memory } from "../mem/memory.ts";
import { BPF_F_RDONLY_PROG, BPF_F_WRONLY_PROG } from "../uapi/index.ts";
import type { MapEnv } from "./env.ts";
import { copyBetweenFields, initFields } from "./fields.ts";
import { MAP_FIELDS, MAP_VALUE_SIZE } from "./map.ts";

/** What a program may do with the values of a map that was created with these flags. */
export function programRights(mapFlags: number): number {
  let rights = AREA_PROG_READ | AREA_PROG_WRITE;
  if (mapFlags & BPF_F_RDONLY_PROG) rights &= ~AREA_PROG_WRITE;
  if (mapFlags & BPF_F_WRONLY_PROG) rights &= ~AREA_PROG_READ;
  return rights;
}

/** Room for `count` values on each of `cpus` CPUs. Returns the address of the first one's, or 0. */
export function allocValues(
  mem: Memory,
  map: number,
  count: number,
  valueSize: number,
  mapFlags: number,
  cpus: number,
): number {
  const stride = rup8(valueSize);
  return allocAreas(mem, count * stride, cpus, {
    kind: AREA_VALUES,
    map,
    stride,
    valueSize,
    rights: programRights(mapFlags),
  });
}

/** Distance from one CPU's values to the next one's. */
export function valuesSpan(count: number, valueSize: number): number {
  return areaSpan(count * rup8(valueSize));
}

/** Every CPU's slot of the value at `value`, CPU 0 first, rup8(value_size) bytes each: the ABI of per-CPU values. */
export function copyPercpuOut(env: MapEnv, map: number, dst: number, value: number, span: number): void {
  const { mem, cpus } = env;
  const stride = rup8(mem.u32[(map + MAP_VALUE_SIZE) >>> 2]!);
  for (let cpu = 0; cpu < cpus; cpu++) mem.copy(dst + cpu * stride, value + cpu * span, stride);
  if (mem.u32[(map + MAP_FIELDS) >>> 2] === 0) return;
  for (let cpu = 0; cpu < cpus; cpu++) initFields(mem, map, dst + cpu * stride);
}

/** The other way, in place: special fields stay as they are, and beside them only value_size bytes are written. */
export function copyPercpuIn(env: MapEnv, map: number, value: number, src: number, span: number): void {
  const { mem, cpus } = env;
  const stride = rup8(mem.u32[(map + MAP_VALUE_SIZE) >>> 2]!);
  const plain = mem.u32[(map + MAP_FIELDS) >>> 2] === 0;
  for (let cpu = 0; cpu < cpus; cpu++) {
    if (plain) mem.copy(value + cpu * span, src + cpu * stride, stride);
    else copyBetweenFields(mem, map, value + cpu * span, src + cpu * stride);
  }
}

/**
 * Zero on every CPU but one, special fields as in a new element on all. The one, or -1, is written whole afterwards, perhaps
 * from what stands there: a program may still have the value of an element that is no more.
 */
export function initPercpu(env: MapEnv, map: number, value: number, span: number, written: number): void {
  const { mem, cpus } = env;
  const size = mem.u32[(map + MAP_VALUE_SIZE) >>> 2]!;
  for (let cpu = 0; cpu < cpus; cpu++) {
    if (cpu !== written) mem.zero(value + cpu * span, size);
    initFields(mem, map, value + cpu * span);
  }
}
