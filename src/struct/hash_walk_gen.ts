/**
 * The walk of `hash_walk.ts` in compiled programs, with the same state. Where the node that is next has left its chain, or
 * a lock is not free, that goes on from there.
 */
import { block, blockValue, type Exit, type Expr32, type Local32, local32, loop, when } from "../wasm/expr.ts";
import { emitCopy, emitLock, emitUnlock } from "./emit.ts";
import type { GenCall, MapGen } from "./gen.ts";
import { keyIn } from "./hash_gen_key.ts";
import { BUCKET_LOCK } from "./hash_nodes.ts";
import { S_BUCKET, S_COUNT, S_NODES, WINDOW } from "./hash_walk.ts";
import { BUCKET_SIZE, HT_BUCKETS, HT_COUNTED, HT_MASK, HT_SPAN, NODE_SEQ, NODE_VALUE } from "./hashtab.ts";
import { MAP_KEY_SIZE, MAP_LOCK, mapField } from "./map.ts";

const BUCKET_SHIFT: number = Math.log2(BUCKET_SIZE);

/** What `walkHash` does. */
export const hashWalk: MapGen = walkWith((_, values) => values);
/** What `walkPercpuHash` does. */
export const percpuHashWalk: MapGen = walkWith((call, values) => values.add(call.cpu.mul(call.field(HT_SPAN))));

/** `found`: which of a node's values. */
function walkWith(found: (call: GenCall, values: Expr32) => Expr32): MapGen {
  return {
    inline: true,
    emit: (call) => {
      const { code, mem, map, args } = call;
      const [state, key] = args as [Local32, Local32];
      return blockValue(code, (end) => {
        block(code, (left) => {
          const node = local32(code);
          const bucket = local32(code);
          when(
            state.load(S_COUNT),
            () => emitFollowing(call, bucket, node, left),
            () => emitFirst(call, bucket, node, left, () => end(0)),
          );
          emitLook(call, node);
          const [from, offset] = keyIn(call, node);
          emitCopy(key, offset === 0 ? from : local32(code, from.add(offset)), mapField(mem, map, MAP_KEY_SIZE));
          emitUnlock(mem, lockOf(call, bucket));
          end(found(call, node.load(NODE_VALUE)));
        });
        return call.helper;
      });
    },
  };
}

/** Where `lockChain` has the bucket's lock. */
function lockOf({ mem, map, at }: GenCall, bucket: Expr32): Expr32 {
  return mapField(mem, map, HT_COUNTED) === 0 ? at.add(MAP_LOCK) : bucket.add(BUCKET_LOCK);
}

/** The next node of the present bucket, which is locked from here on. */
function emitFollowing(call: GenCall, bucket: Local32, node: Local32, left: Exit): void {
  const { mem, args } = call;
  const state = args[0]!;
  bucket.set(state.load(S_BUCKET).sub(1).shl(BUCKET_SHIFT).add(call.field(HT_BUCKETS)));
  node.set(state.load(S_NODES));
  emitLock(mem, lockOf(call, bucket), () => left.go());
  when(node.load(NODE_SEQ).ne(state.load(S_NODES + 4)), () => {
    emitUnlock(mem, lockOf(call, bucket));
    left.go();
  });
}

/** The first node of the next bucket that has one; that is the present one then, and locked from here on. */
function emitFirst(call: GenCall, bucket: Local32, node: Local32, left: Exit, none: () => void): void {
  const { code, mem, args } = call;
  const state = args[0]!;
  const index = local32(code, state.load(S_BUCKET));
  bucket.set(index.shl(BUCKET_SHIFT).add(call.field(HT_BUCKETS)));
  loop(code, (again) => {
    when(index.gtU(call.field(HT_MASK)), () => {
      state.store(S_BUCKET, index);
      none();
    });
    node.set(bucket.load());
    when(noNode(node), () => {
      index.set(index.add(1));
      bucket.set(bucket.add(BUCKET_SIZE));
      again.go();
    });
  });
  if (mem.shared) {
    state.store(S_BUCKET, index);
    emitLock(mem, lockOf(call, bucket), () => left.go());
    node.set(bucket.load());
    when(noNode(node), () => {
      emitUnlock(mem, lockOf(call, bucket));
      left.go();
    });
  }
  state.store(S_BUCKET, index.add(1));
}

/** Notes which nodes follow. */
function emitLook({ code, args }: GenCall, node: Local32): void {
  const state = args[0]!;
  const next = local32(code, node.load());
  const to = local32(code, state);
  block(code, (all) => {
    loop(code, (again) => {
      all.when(noNode(next));
      all.when(to.eq(state.add(WINDOW * 8)));
      to.store(S_NODES, next);
      to.store(S_NODES + 4, next.load(NODE_SEQ));
      to.set(to.add(8));
      next.set(next.load());
      again.go();
    });
  });
  state.store(S_COUNT, to.sub(state).shrU(3));
}

/** `isNode`, the other way round. */
function noNode(link: Local32): Expr32 {
  return link.eqz().or(link.and(1));
}
