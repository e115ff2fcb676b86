/** Pieces that use the context: the packet, its helpers, fields of the context. r6 is the context. */
import * as asm from "../../../src/insn/index.ts";
import * as u from "../../../src/uapi/index.ts";
import { accesses } from "./memory.ts";
import type { Items, Kind, Writer } from "./writer.ts";

const { xdp_md, __sk_buff } = u;

interface Fields {
  readonly data: number;
  readonly end: number;
  /** Numbers that a program may read, and write. */
  readonly read: readonly number[];
  readonly write: readonly number[];
}

const fields: Readonly<Record<Kind, Fields>> = {
  xdp: {
    data: xdp_md.fields.data.offset,
    end: xdp_md.fields.data_end.offset,
    read: [xdp_md.fields.ingress_ifindex.offset, xdp_md.fields.rx_queue_index.offset],
    write: [],
  },
  sched_cls: {
    data: __sk_buff.fields.data.offset,
    end: __sk_buff.fields.data_end.offset,
    read: [
      __sk_buff.fields.len.offset,
      __sk_buff.fields.pkt_type.offset,
      __sk_buff.fields.mark.offset,
      __sk_buff.fields.protocol.offset,
      __sk_buff.fields.priority.offset,
      __sk_buff.fields.cb.offset,
      __sk_buff.fields.cb.offset + 16,
    ],
    write: [
      __sk_buff.fields.mark.offset,
      __sk_buff.fields.priority.offset,
      __sk_buff.fields.cb.offset,
      __sk_buff.fields.cb.offset + 16,
    ],
  },
};

/** Bytes of the packet, once it is known that they are there. */
export function packetAccess(w: Writer): Items {
  const { data, end } = fields[w.draft.kind];
  const size = w.pick([14, 20, 34, 48, 64]);
  const [from, to, limit] = w.scratch(3) as [asm.Reg, asm.Reg, asm.Reg];
  const skip = w.label();
  const head = [asm.ldx("u32", from, 6, data), asm.ldx("u32", to, 6, end)];
  // From a place that is not known before the run.
  const index = w.chance(30) ? [asm.alu64Imm("and", w.operand(), w.pick([3, 15, 31]))] : [];
  const moved = index.map((insn) => asm.alu64("add", from, insn.dst as asm.Reg));
  const check = [asm.mov64(limit, from), asm.alu64Imm("add", limit, size), asm.jmp("jgt", limit, to, skip)];
  const before = w.live;
  const inside = accesses(
    w,
    { reg: from, offset: 0, size, atomics: false, write: true, aligned: false, moves: false },
    1 + w.rnd(4),
  );
  w.join(before);
  return [...head, ...index, ...moved, ...check, inside, asm.label(skip)];
}

export function contextField(w: Writer): Items {
  const { read, write } = fields[w.draft.kind];
  if (write.length > 0 && w.chance(50)) return [asm.stx("u32", 6, w.source(), w.pick(write))];
  const dst = w.target();
  w.set(dst);
  return [asm.ldx("u32", dst, 6, w.pick(read))];
}

function byHelper(w: Writer): Items {
  const xdp = w.draft.kind === "xdp";
  const store = w.chance(50);
  const size = w.pick([1, 2, 6, 8, 16]);
  const offset = w.number(2, [0, 0, 3, 14, 40, 60, 200, 0xffff, 0x1_0000]);
  const helper = xdp
    ? store
      ? u.BPF_FUNC_xdp_store_bytes
      : u.BPF_FUNC_xdp_load_bytes
    : store
      ? u.BPF_FUNC_skb_store_bytes
      : u.BPF_FUNC_skb_load_bytes;
  const flags = store && !xdp ? [asm.mov64Imm(5, w.pick([0, 0, 1, 2, 16]))] : [];
  return [...offset, ...w.memory(3, 16, !store), asm.mov64Imm(4, size), ...flags, asm.mov64(1, 6), asm.call(helper)];
}

const DELTAS = [0, 1, -1, 4, -4, 8, -14, 14, -32, 40, -64, -512];

function resize(w: Writer): Items {
  if (w.draft.kind === "xdp") {
    const helper = w.pick([u.BPF_FUNC_xdp_adjust_head, u.BPF_FUNC_xdp_adjust_tail, u.BPF_FUNC_xdp_adjust_meta]);
    return [asm.mov64(1, 6), ...w.number(2, DELTAS), asm.call(helper)];
  }
  const sizes = [asm.mov64Imm(2, w.pick([60, 64, 100, 200]))];
  return [asm.mov64(1, 6), ...sizes, asm.mov64Imm(3, 0), asm.call(u.BPF_FUNC_skb_change_tail)];
}

function checksum(w: Writer): Items {
  const [from, to] = [w.rnd(4) * 4, w.rnd(4) * 4];
  return [
    ...(from === 0 ? [asm.mov64Imm(1, 0)] : w.memory(1, 16)),
    asm.mov64Imm(2, from),
    ...(to === 0 ? [asm.mov64Imm(3, 0)] : w.memory(3, 16)),
    asm.mov64Imm(4, to),
    ...w.number(5, [0, 1, 0xffff, -1]),
    asm.call(u.BPF_FUNC_csum_diff),
  ];
}

export function packetHelper(w: Writer): Items {
  w.calling();
  const kind = w.rnd(10);
  const items =
    kind < 4
      ? byHelper(w)
      : kind < 6
        ? resize(w)
        : kind < 8 || w.draft.kind !== "xdp"
          ? checksum(w)
          : [asm.mov64(1, 6), asm.call(u.BPF_FUNC_xdp_get_buff_len)];
  w.called();
  return items;
}

/** Into one of the programs, which ends this one, or an empty slot. */
export function tailCall(w: Writer): Items {
  w.calling();
  const slot = w.rnd(4);
  const index = w.chance(60) ? [asm.mov64Imm(3, slot)] : [asm.mov64(3, w.source()), asm.alu64Imm("and", 3, 3)];
  const items = [
    ...index,
    ...w.map(2, "programs"),
    asm.mov64(1, 6),
    asm.call(u.BPF_FUNC_tail_call),
    asm.mov64Imm(0, w.imm()),
  ];
  w.called();
  return items;
}
