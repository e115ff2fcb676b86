/** Values of maps: areas of their own, one a CPU for per-CPU types, and the copies between them and buffers. */
import { AREA_PROG_READ, AREA_PROG_WRITE, AREA_VALUES, allocAreas, areaSpan } from "../mem/alloc.ts";
import { rup8 } from "../mem/layout.ts";
import type { Memory } from "../mem/memory.ts";
import { BPF_F_RDONLY_PROG, BPF_F_WRONLY_PROG } from "../uapi/index.ts";

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
export function copyPercpuOut(
  mem: Memory,
  dst: number,
  value: number,
  stride: number,
  span: number,
  cpus: number,
): void {
  for (let cpu = 0; cpu < cpus; cpu++) mem.copy(dst + cpu * stride, value + cpu * span, stride);
}

export function copyPercpuIn(
  mem: Memory,
  value: number,
  src: number,
  stride: number,
  span: number,
  cpus: number,
): void {
  for (let cpu = 0; cpu < cpus; cpu++) mem.copy(value + cpu * span, src + cpu * stride, stride);
}
