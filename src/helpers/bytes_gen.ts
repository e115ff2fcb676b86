/**
 * Helpers that move bytes, in compiled programs: so many as are known, between memory that is known and a place that the
 * code finds. What is not there in one piece is left to the helper.
 */
import { RUN_CTX, RUN_DATA, RUN_DATA_END } from "../kern/run_record.ts";
import { OBJECT_DYNPTR } from "../kern/stack_objects.ts";
import { emitObjectOf } from "../kern/stack_objects_gen.ts";
import { emitMove } from "../struct/emit.ts";
import { type AttemptCall, type Known, type KnownGen, UNDONE } from "../struct/gen.ts";
import { block, blockValue, type Expr32, type Local32, local32, when } from "../wasm/expr.ts";
import {
  D_BASE,
  D_OFFSET,
  D_READ_ONLY,
  D_SIZE,
  D_TYPE,
  DYNPTR_BYTES,
  DYNPTR_LOCAL,
  DYNPTR_RING,
  DYNPTR_SKB,
  DYNPTR_XDP,
} from "./dynptr_core.ts";
import { SKB_DATA, SKB_DIRECT, SKB_END, SKB_TAIL } from "./skb_buffer.ts";

/** Offsets and sizes up to here are fine with all helpers for packets. */
const PACKET_MAX = 0xffff;

/** The size in this register, if it is one that is known and not 0; else 0: no code for it. */
function sizeOf(known: Known, register: number): number {
  const size = known.range(register);
  return size !== undefined && size.min === size.max && size.max <= PACKET_MAX ? size.max : 0;
}

/** The low word of the argument in this register. */
function argument({ args }: AttemptCall, register: number): Local32 {
  return args[2 * (register - 1)]!;
}

/** The high word. */
function upper({ args }: AttemptCall, register: number): Local32 {
  return args[2 * (register - 1) + 1]!;
}

/** bpf_probe_read_kernel and its like: from memory that the program may read anyway. */
export const knownProbeRead: KnownGen = (_, known) => {
  const size = sizeOf(known, 2);
  if (size === 0 || !known.memory(1, size, true) || !known.memory(3, size, false)) return undefined;
  return (call) => {
    emitMove(argument(call, 1), argument(call, 3), size);
    return 0;
  };
};

/** Of a packet: where it begins, and where it ends. */
type Bounds = (call: AttemptCall) => readonly [data: Expr32, end: Expr32];

const xdpBounds: Bounds = ({ run }) => [run.load(RUN_DATA), run.load(RUN_DATA_END)];
const skbBounds: Bounds = ({ run }) => [run.load(RUN_CTX).load(SKB_DATA), run.load(RUN_CTX).load(SKB_END)];
const linearBounds: Bounds = ({ run }) => [run.load(RUN_CTX).load(SKB_DATA), run.load(RUN_CTX).load(SKB_TAIL)];

/** Address of `size` bytes of the packet from `offset` on; `missing` leaves where they are not between its bounds. */
function emitPlace(call: AttemptCall, bounds: Bounds, offset: Local32, size: number, missing: () => void): Expr32 {
  const [data, end] = bounds(call);
  const start = local32(call.code, data);
  const room = local32(call.code, end.sub(start));
  when(
    room
      .ltU(size)
      .or(offset.gtU(PACKET_MAX))
      .or(offset.gtU(room.sub(size))),
    missing,
  );
  return start.add(offset);
}

/** Arguments: context, offset, memory, size. */
function knownPacketBytes(bounds: Bounds, store: boolean): KnownGen {
  return (_, known) => {
    const size = sizeOf(known, 4);
    if (size === 0 || !known.isContext(1) || !known.memory(3, size, !store)) return undefined;
    return (call) =>
      blockValue(call.code, (end) => {
        const place = local32(
          call.code,
          emitPlace(call, bounds, argument(call, 2), size, () => end(UNDONE)),
        );
        const memory = argument(call, 3);
        if (store) emitMove(place, memory, size);
        else emitMove(memory, place, size);
        return 0;
      });
  };
}

export const knownXdpLoad: KnownGen = knownPacketBytes(xdpBounds, false);
export const knownXdpStore: KnownGen = knownPacketBytes(xdpBounds, true);
export const knownSkbLoad: KnownGen = knownPacketBytes(skbBounds, false);

/** Address of `size` bytes of a dynptr from `offset` on, in an skb's packet between these bounds. */
function emitDynptrPlace(
  call: AttemptCall,
  entry: Local32,
  offset: Local32,
  size: number,
  skb: Bounds,
  missing: () => void,
): Local32 {
  const { code } = call;
  const seen = local32(code, entry.load(D_SIZE));
  when(seen.ltU(size).or(offset.gtU(seen.sub(size))), missing);
  const type = local32(code, entry.load(D_TYPE));
  const at = local32(code, entry.load(D_OFFSET).add(offset));
  const place = local32(code);
  block(code, (found) => {
    when(type.sub(DYNPTR_LOCAL).leU(DYNPTR_RING - DYNPTR_LOCAL), () => {
      place.set(entry.load(D_BASE).add(at));
      found.go();
    });
    when(type.eq(DYNPTR_XDP), () => {
      place.set(emitPlace(call, xdpBounds, at, size, missing));
      found.go();
    });
    when(type.ne(DYNPTR_SKB), missing);
    place.set(emitPlace(call, skb, at, size, missing));
  });
  return place;
}

/** Whether a dynptr may lie where the register points. */
function isDynptrPlace(known: Known, register: number): boolean {
  return known.isStackWord(register) && known.memory(register, DYNPTR_BYTES, true);
}

/** bpf_dynptr_read: to memory, size, dynptr, offset, flags. */
export const knownDynptrRead: KnownGen = (_, known) => {
  const size = sizeOf(known, 2);
  if (size === 0 || !known.memory(1, size, true) || !isDynptrPlace(known, 3)) return undefined;
  return (call) =>
    blockValue(call.code, (end) => {
      const missing = (): void => end(UNDONE);
      when(argument(call, 5).or(upper(call, 5)), missing);
      const entry = emitObjectOf(call, argument(call, 3), OBJECT_DYNPTR, missing);
      emitMove(argument(call, 1), emitDynptrPlace(call, entry, argument(call, 4), size, skbBounds, missing), size);
      return 0;
    });
};

/** bpf_dynptr_write: dynptr, offset, memory, size, flags; not into an skb, whose sums may have to follow. */
export const knownDynptrWrite: KnownGen = (_, known) => {
  const size = sizeOf(known, 4);
  if (size === 0 || !known.memory(3, size, false) || !isDynptrPlace(known, 1)) return undefined;
  return (call) =>
    blockValue(call.code, (end) => {
      const missing = (): void => end(UNDONE);
      when(argument(call, 5).or(upper(call, 5)), missing);
      const entry = emitObjectOf(call, argument(call, 1), OBJECT_DYNPTR, missing);
      when(entry.load(D_READ_ONLY).or(entry.load(D_TYPE).eq(DYNPTR_SKB)), missing);
      const place = emitDynptrPlace(call, entry, argument(call, 2), size, skbBounds, missing);
      emitMove(place, argument(call, 3), size);
      return 0;
    });
};

/** bpf_dynptr_slice, or bpf_dynptr_slice_rdwr: dynptr, offset, buffer, size. */
export function knownDynptrSlice(write: boolean): KnownGen {
  return (_, known) => {
    const size = sizeOf(known, 4);
    const buffer = known.range(3)?.max === 0 || known.memory(3, size, true);
    if (size === 0 || !buffer || !isDynptrPlace(known, 1)) return undefined;
    return (call) =>
      blockValue(call.code, (end) => {
        const missing = (): void => end(UNDONE);
        const entry = emitObjectOf(call, argument(call, 1), OBJECT_DYNPTR, missing);
        if (write) when(entry.load(D_READ_ONLY), missing);
        when(entry.load(D_TYPE).eq(DYNPTR_SKB), () => {
          when(call.run.load(RUN_CTX).load(SKB_DIRECT).eqz(), missing);
        });
        return emitDynptrPlace(call, entry, argument(call, 2), size, linearBounds, missing);
      });
  };
}
