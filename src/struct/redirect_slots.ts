/**
 * Arrays of where packets may be sent: a number (ifindex, queue size) and, for some, the program that runs there. A slot
 * that is empty has no value. Programs read values and never write them. Kernel counterpart: devmap.c, cpumap.c.
 */
import { AREA_NODES, allocAreas, freeAreas } from "../mem/alloc.ts";
import { OBJ_ID, OBJ_PROG } from "../mem/layout.ts";
import { lock, unlock } from "../mem/locks.ts";
import type { Memory } from "../mem/memory.ts";
import {
  BPF_EXIST,
  BPF_F_RDONLY_PROG,
  BPF_NOEXIST,
  BPF_PROG_TYPE_XDP,
  E2BIG,
  EEXIST,
  EINVAL,
  ENOENT,
  ENOMEM,
} from "../uapi/index.ts";
import { indexAt } from "./array_ops.ts";
import { checkFlags } from "./check.ts";
import type { MapCreateAttr, MapEnv } from "./env.ts";
import { MAP_FLAGS, MAP_LOCK, MAP_MAX_ENTRIES, MAP_PRIVATE, MAP_VALUE_SIZE, mapField } from "./map.ts";
import { allocValues } from "./values.ts";

/** Address of the first value, and of the first slot. */
const R_VALUES = MAP_PRIVATE;
const R_SLOTS: number = MAP_PRIVATE + 4;
/** A slot: 1 when it is not empty; its program, or 0. */
const SLOT_PROG = 4;
const KEY_SIZE = 4;
/** A value: the number, and the program's fd or id, for which a short one has no room. */
const NUMBER_SIZE = 4;
const FULL_SIZE = 8;
/** Bytes of a slot and of the room for a value. */
export const REDIRECT_SIZE = 8;

/** Judges the attributes of such a map, and of one that finds the same values by hash. */
export function checkRedirect(attr: MapCreateAttr, allowedFlags: number): number {
  const { max_entries, key_size, value_size } = attr;
  if (max_entries === 0 || key_size !== KEY_SIZE || (value_size !== NUMBER_SIZE && value_size !== FULL_SIZE))
    return -EINVAL;
  return checkFlags(attr, allowedFlags);
}

/**
 * What an update with this number (and a program or not) does to slot `index`: 1 fills it, 0 empties it, or an errno.
 */
export type JudgeTarget = (env: MapEnv, index: number, number: number, hasProg: boolean) => number;

export interface RedirectKind {
  readonly judge: JudgeTarget;
  /** expected_attach_type of programs that may run there. */
  readonly attachType: number;
  /** What an update says whose program is none, or of another kind. */
  readonly progError: number;
}

export function allocRedirect(env: MapEnv, map: number, { max_entries, value_size }: MapCreateAttr): number {
  const { mem } = env;
  const { u32 } = mem;
  const values = allocValues(mem, map, max_entries, value_size, BPF_F_RDONLY_PROG, 1);
  if (values === 0) return -ENOMEM;
  const slots = allocAreas(mem, max_entries * REDIRECT_SIZE, 1, { kind: AREA_NODES, map });
  if (slots === 0) {
    freeAreas(mem, values, max_entries * REDIRECT_SIZE, 1);
    return -ENOMEM;
  }
  u32[(map + R_VALUES) >>> 2] = values;
  u32[(map + R_SLOTS) >>> 2] = slots;
  return 0;
}

/** Tells programs, and who asks about the map, that its values are not for programs to write. */
export function programsOnlyRead(mem: Memory, map: number): void {
  mem.u32[(map + MAP_FLAGS) >>> 2]! |= BPF_F_RDONLY_PROG;
}

export function freeRedirect(env: MapEnv, map: number): void {
  const { mem } = env;
  const count = mapField(mem, map, MAP_MAX_ENTRIES);
  for (let index = 0; index < count; index++) put(env, map, index, 0, 0, 0);
  freeAreas(mem, mapField(mem, map, R_VALUES), count * REDIRECT_SIZE, 1);
  freeAreas(mem, mapField(mem, map, R_SLOTS), count * REDIRECT_SIZE, 1);
}

function slotAt(mem: Memory, map: number, index: number): number {
  return mapField(mem, map, R_SLOTS) + index * REDIRECT_SIZE;
}

/** Address of a value that is there, or 0. */
export function redirectAt(mem: Memory, map: number, index: number): number {
  if (index >= mapField(mem, map, MAP_MAX_ENTRIES) || mem.u32[slotAt(mem, map, index) >>> 2] === 0) return 0;
  return mapField(mem, map, R_VALUES) + index * REDIRECT_SIZE;
}

export function lookupRedirect(env: MapEnv, map: number, key: number): number {
  return redirectAt(env.mem, map, indexAt(env, key));
}

export function copyRedirect(env: MapEnv, map: number, key: number, value: number): number {
  return copyFound(env, map, key, value, lookupRedirect);
}

/** Copies the value that `lookup` finds, or says -ENOENT. */
export function copyFound(
  env: MapEnv,
  map: number,
  key: number,
  value: number,
  lookup: (env: MapEnv, map: number, key: number) => number,
): number {
  const { mem } = env;
  lock(mem, map + MAP_LOCK);
  const from = lookup(env, map, key);
  if (from !== 0) mem.copy(value, from, mapField(mem, map, MAP_VALUE_SIZE));
  unlock(mem, map + MAP_LOCK);
  return from === 0 ? -ENOENT : 0;
}

/** Fills or empties a slot, whose program comes with a reference. */
function put(env: MapEnv, map: number, index: number, used: number, number: number, prog: number): void {
  const { mem } = env;
  const { u32 } = mem;
  const slot = slotAt(mem, map, index) >>> 2;
  const value = (mapField(mem, map, R_VALUES) + index * REDIRECT_SIZE) >>> 2;
  lock(mem, map + MAP_LOCK);
  const old = u32[slot + (SLOT_PROG >>> 2)]!;
  u32[slot] = 0;
  u32[value] = number;
  u32[value + 1] = prog === 0 ? 0 : u32[(prog + OBJ_ID) >>> 2]!;
  u32[slot + (SLOT_PROG >>> 2)] = prog;
  u32[slot] = used;
  unlock(mem, map + MAP_LOCK);
  if (old !== 0) env.put(old);
}

/** The program of an update with a reference, 0: none is given, or the kind's errno. */
export function takeTargetProg(env: MapEnv, map: number, fd: number, kind: RedirectKind): number {
  if (fd <= 0) return 0;
  const prog = env.take(fd, OBJ_PROG);
  if (prog < 0) return kind.progError;
  if (env.progIs(prog, BPF_PROG_TYPE_XDP, kind.attachType) && env.ownerFits(map, prog)) return prog;
  env.put(prog);
  return kind.progError;
}

/** The program's fd in the value of an update; 0: it has no room for one. */
export function targetFd(env: MapEnv, map: number, value: number): number {
  return mapField(env.mem, map, MAP_VALUE_SIZE) === FULL_SIZE ? env.mem.view.getInt32(value + NUMBER_SIZE, true) : 0;
}

export function updateRedirect(
  env: MapEnv,
  map: number,
  key: number,
  value: number,
  flags: number,
  kind: RedirectKind,
): number {
  if (flags > BPF_EXIST) return -EINVAL;
  const index = indexAt(env, key);
  if (index >= mapField(env.mem, map, MAP_MAX_ENTRIES)) return -E2BIG;
  // Also where the slot is empty.
  if (flags === BPF_NOEXIST) return -EEXIST;
  const number = env.mem.view.getUint32(value, true);
  const fd = targetFd(env, map, value);
  const judged = kind.judge(env, index, number, fd > 0);
  if (judged < 0) return judged;
  const prog = judged === 0 ? 0 : takeTargetProg(env, map, fd, kind);
  if (prog < 0) return prog;
  put(env, map, index, judged, judged === 0 ? 0 : number, prog);
  return 0;
}

/** Empty or not: it is empty then. */
export function deleteRedirect(env: MapEnv, map: number, key: number): number {
  const index = indexAt(env, key);
  if (index >= mapField(env.mem, map, MAP_MAX_ENTRIES)) return -EINVAL;
  put(env, map, index, 0, 0, 0);
  return 0;
}

export function countRedirect(env: MapEnv, map: number): number {
  const { mem } = env;
  let count = 0;
  for (let i = mapField(mem, map, MAP_MAX_ENTRIES) - 1; i >= 0; i--) if (redirectAt(mem, map, i) !== 0) count++;
  return count;
}

/** Empties every slot whose number this is: the device is gone. */
export function dropRedirects(env: MapEnv, map: number, number: number): void {
  const { mem } = env;
  for (let i = mapField(mem, map, MAP_MAX_ENTRIES) - 1; i >= 0; i--) {
    const value = redirectAt(mem, map, i);
    if (value !== 0 && mem.u32[value >>> 2] === number) put(env, map, i, 0, 0, 0);
  }
}
