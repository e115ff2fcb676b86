/**
 * Lists of objects: a bpf_list_head owns the objects whose bpf_list_node is in it. All links lie in slots, out of the
 * program's reach (`objects.ts`); whoever calls holds SB_OBJECTS_LOCK. Kernel counterpart: bpf_list_push_front_impl.
 */
import type { Memory } from "../mem/memory.ts";

/** A head's slot: first and last node. */
const LAST = 4;
/** A node's slot: the head it belongs to, and its neighbours; all 0 while it is in no list. */
const NODE_OWNER = 0;
const NEXT = 4;
const PREV = 8;

/** False: the node is in a list already. */
export function pushNode({ u32 }: Memory, head: number, node: number, front: boolean): boolean {
  if (u32[node >>> 2] !== 0) return false;
  const [near, far, headNear, headFar] = front ? [NEXT, PREV, 0, LAST] : [PREV, NEXT, LAST, 0];
  const other = u32[(head + headNear) >>> 2]!;
  u32[(node + NODE_OWNER) >>> 2] = head;
  u32[(node + near) >>> 2] = other;
  u32[(node + far) >>> 2] = 0;
  u32[(head + headNear) >>> 2] = node;
  if (other === 0) u32[(head + headFar) >>> 2] = node;
  else u32[(other + far) >>> 2] = node;
  return true;
}

/** The node at one end, or 0. */
export function peekNode({ u32 }: Memory, head: number, front: boolean): number {
  return u32[(head + (front ? 0 : LAST)) >>> 2]!;
}

/** Takes the node at one end out; 0: the list is empty. */
export function popNode(mem: Memory, head: number, front: boolean): number {
  const { u32 } = mem;
  const node = peekNode(mem, head, front);
  if (node === 0) return 0;
  const [near, far, headNear, headFar] = front ? [NEXT, PREV, 0, LAST] : [PREV, NEXT, LAST, 0];
  const other = u32[(node + near) >>> 2]!;
  u32[(head + headNear) >>> 2] = other;
  if (other === 0) u32[(head + headFar) >>> 2] = 0;
  else u32[(other + far) >>> 2] = 0;
  u32.fill(0, node >>> 2, (node >>> 2) + 4);
  return node;
}
