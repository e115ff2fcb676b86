/**
 * Links: what attaches a program to something, for as long as the link has an fd. A link holds its program. All links of
 * the host are in one list, newest first, which is the order that the kernel calls programs of one function in. Kernel
 * counterparts: kernel/bpf/syscall.c (bpf_link), kernel/bpf/trampoline.c.
 */
import { alloc, free } from "../mem/alloc.ts";
import { OBJ_HEAD, OBJ_KIND, OBJ_LINK, OBJ_REFS, SB_LINKS, SB_LINKS_LOCK } from "../mem/layout.ts";
import { lock, unlock } from "../mem/locks.ts";
import { BPF_LINK_TYPE_TRACING, E2BIG, EBUSY } from "../uapi/index.ts";
import type { Kernel } from "./kernel.ts";

/** BPF_LINK_TYPE_* */
export const LINK_TYPE: number = OBJ_HEAD;
/** The program, with a reference. */
export const LINK_PROG: number = OBJ_HEAD + 4;
export const LINK_ATTACH_TYPE: number = OBJ_HEAD + 8;
/** Type id in the kernel's BTF of the function or tracepoint. */
export const LINK_TARGET: number = OBJ_HEAD + 12;
/** u64 */
export const LINK_COOKIE: number = OBJ_HEAD + 16;
/** The next older one, or 0. */
const LINK_NEXT: number = OBJ_HEAD + 24;
const LINK_SIZE: number = OBJ_HEAD + 32;

/** BPF_MAX_TRAMP_LINKS: programs on one function. */
const MAX_LINKS = 38;

export interface LinkParts {
  readonly type: number;
  /** The reference becomes the link's. */
  readonly prog: number;
  readonly attachType: number;
  readonly target: number;
  readonly cookie: bigint;
}

/** A link with one reference, the caller's, that attaches nothing yet. 0: out of memory, the program stays the caller's. */
export function allocLink({ mem }: Kernel, { type, prog, attachType, target, cookie }: LinkParts): number {
  const link = alloc(mem, LINK_SIZE);
  if (link === 0) return 0;
  const { u32, u64 } = mem;
  u32[(link + OBJ_KIND) >>> 2] = OBJ_LINK;
  u32[(link + OBJ_REFS) >>> 2] = 1;
  u32[(link + LINK_TYPE) >>> 2] = type;
  u32[(link + LINK_PROG) >>> 2] = prog;
  u32[(link + LINK_ATTACH_TYPE) >>> 2] = attachType;
  u32[(link + LINK_TARGET) >>> 2] = target;
  u64[(link + LINK_COOKIE) >>> 3] = cookie;
  return link;
}

/** From now on the link attaches its program. 0; of functions -E2BIG, -EBUSY for a program that is on it already. */
export function attachLink({ mem }: Kernel, link: number): number {
  lock(mem, SB_LINKS_LOCK);
  const { u32 } = mem;
  const bad = u32[(link + LINK_TYPE) >>> 2] === BPF_LINK_TYPE_TRACING ? crowded(u32, link) : 0;
  if (bad === 0) {
    // Whoever takes over from a client that dies in between finds a whole list.
    u32[(link + LINK_NEXT) >>> 2] = u32[SB_LINKS >>> 2]!;
    u32[SB_LINKS >>> 2] = link;
  }
  unlock(mem, SB_LINKS_LOCK);
  return bad;
}

function crowded(u32: Uint32Array, link: number): number {
  const target = u32[(link + LINK_TARGET) >>> 2];
  let count = 0;
  let busy = false;
  for (let each = u32[SB_LINKS >>> 2]!; each !== 0; each = u32[(each + LINK_NEXT) >>> 2]!) {
    if (u32[(each + LINK_TARGET) >>> 2] !== target || u32[(each + LINK_TYPE) >>> 2] !== BPF_LINK_TYPE_TRACING) continue;
    busy ||= u32[(each + LINK_PROG) >>> 2] === u32[(link + LINK_PROG) >>> 2];
    count++;
  }
  if (count >= MAX_LINKS) return -E2BIG;
  return busy ? -EBUSY : 0;
}

/** A program that is attached to something, with a reference of the caller's. */
export interface AttachedProg {
  readonly prog: number;
  readonly cookie: bigint;
}

/**
 * What is attached to a target, the newest first. Programs are held, not links: the run of a client that dies gives its
 * program back, and nothing else keeps a link that it was not told of.
 */
export function attachedTo(kernel: Kernel, target: number, attachType: number): AttachedProg[] {
  const { mem } = kernel;
  const attached: AttachedProg[] = [];
  lock(mem, SB_LINKS_LOCK);
  const { u32, u64 } = mem;
  for (let link = u32[SB_LINKS >>> 2]!; link !== 0; link = u32[(link + LINK_NEXT) >>> 2]!) {
    if (u32[(link + LINK_TARGET) >>> 2] !== target || u32[(link + LINK_ATTACH_TYPE) >>> 2] !== attachType) continue;
    const prog = u32[(link + LINK_PROG) >>> 2]!;
    kernel.hold(prog);
    attached.push({ prog, cookie: u64[(link + LINK_COOKIE) >>> 3]! });
  }
  unlock(mem, SB_LINKS_LOCK);
  return attached;
}

/** Nothing refers to the link any more: its program is attached no longer. */
export function destroyLink(kernel: Kernel, link: number): void {
  const { mem } = kernel;
  const { u32 } = mem;
  const prog = u32[(link + LINK_PROG) >>> 2]!;
  lock(mem, SB_LINKS_LOCK);
  let from = SB_LINKS;
  while (u32[from >>> 2] !== 0 && u32[from >>> 2] !== link) from = u32[from >>> 2]! + LINK_NEXT;
  if (u32[from >>> 2] === link) u32[from >>> 2] = u32[(link + LINK_NEXT) >>> 2]!;
  unlock(mem, SB_LINKS_LOCK);
  free(mem, link, LINK_SIZE);
  kernel.put(prog);
}
