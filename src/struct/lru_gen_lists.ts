/**
 * Lists of an LRU map in generated code: how they turn and what they give up, as in `lru_list.ts`, under the map's lock
 * as there. For maps whose values have no special fields: then nothing ends with an element.
 */
import { const32, type Expr32, type Local32, local32, loop, type Operand32, select, when } from "../wasm/expr.ts";
import { emitCountUp } from "./emit.ts";
import type { GenCall } from "./gen.ts";
import { HT_BUCKETS, HT_MASK, NODE_HASH, NODE_HEAD, NODE_SEQ, SEQ_LINKED, SEQ_USE } from "./hashtab.ts";
import {
  ACTIVE,
  COUNTS,
  FREE,
  FREE_HEAD,
  HEADS,
  IN,
  INACTIVE,
  NEXT,
  PENDING_HEAD,
  PREV,
  REF,
  ROTATE,
  UNUSED,
} from "./lru_list.ts";
import { MAP_EVICTIONS, mapField } from "./map.ts";

export type Place = Pick<GenCall, "code" | "mem" | "map">;

/** As long as the condition is not 0. */
function during(condition: Expr32, body: () => void): void {
  loop(condition.code, (again) => {
    when(condition, () => {
      body();
      again.go();
    });
  });
}

function addTo(address: Expr32, offset: number, by: Operand32): void {
  address.store(offset, address.load(offset).add(by));
}

/** Makes the two neighbours. */
function emitJoin(previous: Expr32, next: Expr32): void {
  previous.store(NEXT, next);
  next.store(PREV, previous);
}

export function emitAttach(head: Expr32, link: Expr32): void {
  const first = local32(link.code, head.load(NEXT));
  emitJoin(link, first);
  emitJoin(head, link);
}

export function emitDetach(link: Expr32): void {
  const previous = local32(link.code, link.load(PREV));
  emitJoin(previous, local32(link.code, link.load(NEXT)));
}

export function emitEnter(lists: Expr32, link: Expr32, list: number): void {
  addTo(lists, COUNTS + list * 4, 1);
  link.store8(IN, list);
  link.store8(REF, 0);
  emitAttach(lists.add(HEADS + list * 8), link);
}

/** `count`: address behind which, at COUNTS, the list that the element is in has its number of elements. */
export function emitLeave(lists: Expr32, link: Expr32, count: Expr32): void {
  when(lists.load(ROTATE).eq(link), () => lists.store(ROTATE, link.load(PREV)));
  addTo(count, COUNTS, -1);
  emitDetach(link);
}

function emitMove(lists: Expr32, link: Expr32, from: number, to: number): void {
  emitLeave(lists, link, lists.add(from * 4));
  emitEnter(lists, link, to);
}

export function emitPutFree(at: Expr32, link: Expr32): void {
  link.store8(IN, FREE);
  link.store(NEXT, at.load(FREE_HEAD));
  at.store(FREE_HEAD, link);
}

/** Up to `want` free elements from lists go to a share. How many are missing, in a new local. */
export function emitMoveFree(lists: Expr32, share: Expr32, want: number): Local32 {
  const { code } = share;
  const missing = local32(code, want);
  const link = local32(code, lists.load(FREE_HEAD));
  during(select(link, missing, 0), () => {
    const next = local32(code, link.load(NEXT));
    lists.store(FREE_HEAD, next);
    emitPutFree(share, link);
    link.set(next);
    missing.set(missing.sub(1));
  });
  const unused = local32(code, lists.load(UNUSED));
  unused.set(select(unused.ltU(missing), unused, missing));
  addTo(lists, UNUSED, const32(code, 0).sub(unused));
  addTo(share, UNUSED, unused);
  missing.set(missing.sub(unused));
  return missing;
}

export function emitFlushPending(lists: Expr32, share: Expr32): void {
  const { code } = share;
  const head = local32(code, share.add(PENDING_HEAD));
  const rest = local32(code, 0);
  const link = local32(code, head.load(PREV));
  during(link.ne(head), () => {
    const newer = local32(code, link.load(PREV));
    when(
      link.load8(REF),
      () => {
        emitDetach(link);
        emitEnter(lists, link, ACTIVE);
      },
      () => {
        link.store8(IN, INACTIVE);
        rest.set(rest.add(1));
      },
    );
    link.set(newer);
  });
  when(rest, () => {
    const inactive = local32(code, lists.add(HEADS + INACTIVE * 8));
    const oldest = local32(code, head.load(PREV));
    const after = local32(code, inactive.load(NEXT));
    emitJoin(inactive, local32(code, head.load(NEXT)));
    emitJoin(oldest, after);
    addTo(lists, COUNTS + INACTIVE * 4, rest);
    emitJoin(head, head);
  });
}

function emitRotateActive(lists: Expr32, scans: number): void {
  const { code } = lists;
  const head = local32(code, lists.add(HEADS + ACTIVE * 8));
  const last = local32(code, head.load(NEXT));
  const link = local32(code, head.load(PREV));
  const left = local32(code, scans);
  during(select(link.ne(head), left, 0), () => {
    const newer = local32(code, link.load(PREV));
    const turned = local32(code, link);
    // Behind the last one, which may be the head now, there is none.
    link.set(select(link.eq(last), head, newer));
    when(
      turned.load8(REF),
      () => emitMove(lists, turned, ACTIVE, ACTIVE),
      () => emitMove(lists, turned, ACTIVE, INACTIVE),
    );
    left.set(left.sub(1));
  });
}

function emitRotateInactive(lists: Expr32, scans: number): void {
  const { code } = lists;
  const head = local32(code, lists.add(HEADS + INACTIVE * 8));
  when(head.load(NEXT).ne(head), () => {
    const link = local32(code, lists.load(ROTATE));
    const last = local32(code, link.load(NEXT));
    when(last.eq(head), () => last.set(last.load(NEXT)));
    const left = local32(code, scans);
    const newer = local32(code);
    loop(code, (again) => {
      when(link.eq(head), () => link.set(link.load(PREV)));
      newer.set(link.load(PREV));
      when(link.load8(REF), () => emitMove(lists, link, INACTIVE, ACTIVE));
      left.set(left.sub(1));
      const on = select(link.ne(last), left, 0);
      when(on, () => {
        link.set(newer);
        again.go();
      });
    });
    lists.store(ROTATE, newer);
  });
}

export function emitRotate(lists: Expr32, scans: number): void {
  const shorter = lists.load(COUNTS + INACTIVE * 4).ltU(lists.load(COUNTS + ACTIVE * 4));
  when(shorter, () => emitRotateActive(lists, scans));
  emitRotateInactive(lists, scans);
}

/** `unlinkNode` */
export function emitUnlink(bucket: Expr32, node: Expr32): void {
  const at = local32(node.code, bucket);
  during(at.load().ne(node), () => at.set(at.load()));
  at.store(0, node.load());
  addTo(node, NODE_SEQ, SEQ_USE - SEQ_LINKED);
}

/** Takes the element out of the map. */
function emitEvict({ code, mem, map }: Place, link: Expr32): void {
  const node = local32(code, link.sub(NODE_HEAD));
  const index = node.load(NODE_HASH).and(mapField(mem, map, HT_MASK));
  emitUnlink(index.shl(3).add(mapField(mem, map, HT_BUCKETS)), node);
}

export function emitShrink(place: Place, lists: Expr32, want: Operand32, scans: number, to: Expr32): void {
  const { code, mem, map } = place;
  const inactive = local32(code, lists.add(HEADS + INACTIVE * 8));
  const rotated = local32(code, lists.load(ROTATE));
  const evicted = local32(code, 0);
  const looked = local32(code, 0);
  const passed = local32(code, 0);
  const link = local32(code, inactive.load(PREV));
  const on = looked.ltU(scans).and(link.ne(inactive)).and(evicted.ltU(want));
  during(on, () => {
    const newer = local32(code, link.load(PREV));
    passed.set(passed.or(link.eq(rotated)));
    when(
      link.load8(REF),
      () => emitEnter(lists, link, ACTIVE),
      () => {
        emitEvict(place, link);
        emitPutFree(to, link);
        evicted.set(evicted.add(1));
      },
    );
    looked.set(looked.add(1));
    link.set(newer);
  });
  emitJoin(link, inactive);
  addTo(lists, COUNTS + INACTIVE * 4, const32(code, 0).sub(looked));
  when(passed, () => lists.store(ROTATE, link));
  when(evicted.eqz(), () => {
    emitEvictOldest(place, lists, to, () => evicted.set(1));
  });
  when(evicted, () => emitCountUp(mem, const32(code, map + MAP_EVICTIONS), evicted));
}

function emitEvictOldest(place: Place, lists: Expr32, to: Expr32, then: () => void): void {
  const { code } = place;
  const head = local32(code, lists.add(HEADS + INACTIVE * 8));
  when(head.load(NEXT).eq(head), () => head.set(lists.add(HEADS + ACTIVE * 8)));
  const link = local32(code, head.load(PREV));
  when(link.ne(head), () => {
    emitEvict(place, link);
    emitLeave(lists, link, link.load8(IN).shl(2).add(lists));
    emitPutFree(to, link);
    then();
  });
}
