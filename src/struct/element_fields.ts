/**
 * What the special fields of an element hold ends with it: timers stop, objects and lists are let go. Kernel counterpart:
 * bpf_obj_free_fields.
 */
import { FIELD_TIMER, FIELD_WORKQUEUE } from "../btf/special_fields.ts";
import type { Memory } from "../mem/memory.ts";
import {
  ANCHOR_KIND,
  ANCHOR_STATE,
  freeAnchor,
  freeAnchorTable,
  lockAnchors,
  takeAnchor,
  takeAnchors,
  unlockAnchors,
} from "./anchors.ts";
import type { MapEnv } from "./env.ts";
import { F_BYTES, F_OFFSET, FIELD_SIZE, initFields, R_COUNT, R_HEAD } from "./fields.ts";
import { MAP_ANCHORS, MAP_FIELDS } from "./map.ts";
import { dropOwned } from "./object_owner.ts";
import { lockTimers, stopTimer, TIMER_PROG, unlockTimers } from "./timer_queue.ts";

export const TIMER_FIELDS: number = FIELD_TIMER | FIELD_WORKQUEUE;

/** Ends what the fields of this value hold. Called where the element goes, under its bucket's lock if it has one. */
export function emptyFields(env: MapEnv, map: number, value: number): void {
  const { mem } = env;
  const { u32 } = mem;
  if (u32[(map + MAP_ANCHORS) >>> 2] === 0) return;
  const record = u32[(map + MAP_FIELDS) >>> 2]!;
  const end = record + R_HEAD + u32[(record + R_COUNT) >>> 2]! * FIELD_SIZE;
  for (let at = record + R_HEAD; at < end; at += FIELD_SIZE) {
    const field = value + u32[(at + F_OFFSET) >>> 2]!;
    const table = lockAnchors(mem, map);
    const anchor = takeAnchor(mem, table, field);
    unlockAnchors(mem, table);
    if (anchor === 0) continue;
    mem.zero(field, u32[(at + F_BYTES) >>> 2]!);
    endAnchor(env, anchor);
  }
}

/** The fields of a new element. A program that kept an element that went before may have put something into them. */
export function newFields(env: MapEnv, map: number, value: number): void {
  emptyFields(env, map, value);
  initFields(env.mem, map, value);
}

/** Ends what fields of these kinds hold, in all elements. */
export function emptyAll(env: MapEnv, map: number, kinds: number): void {
  const { mem } = env;
  if (mem.u32[(map + MAP_ANCHORS) >>> 2] === 0) return;
  const table = lockAnchors(mem, map);
  const chain = takeAnchors(mem, table, kinds);
  unlockAnchors(mem, table);
  for (let anchor = chain; anchor !== 0; ) {
    const next = mem.u32[anchor >>> 2]!;
    endAnchor(env, anchor);
    anchor = next;
  }
}

/** The map ends. */
export function dropAnchors(env: MapEnv, map: number): void {
  emptyAll(env, map, ~0);
  freeAnchorTable(env.mem, map);
}

function endAnchor(env: MapEnv, anchor: number): void {
  const { mem } = env;
  const kind = mem.u32[(anchor + ANCHOR_KIND) >>> 2]!;
  const isTimer = (kind & TIMER_FIELDS) !== 0;
  const prog = isTimer ? endTimer(mem, anchor) : 0;
  if (!isTimer) dropOwned(env, kind, anchor + ANCHOR_STATE);
  freeAnchor(mem, anchor);
  if (prog !== 0) env.put(prog);
}

/** Returns the program that the timer holds, or 0. */
function endTimer(mem: Memory, timer: number): number {
  const queue = lockTimers(mem);
  stopTimer(mem, queue, timer);
  unlockTimers(mem, queue);
  return mem.u32[(timer + TIMER_PROG) >>> 2]!;
}
