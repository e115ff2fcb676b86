/** Pieces for programs that see an skb: legacy packet loads, and helpers that take numbers. */
import * as asm from "../../../src/insn/index.ts";
import * as u from "../../../src/uapi/index.ts";
import type { Items, Writer } from "./writer.ts";

const OFFSETS = [0, 12, 14, 15, 23, 24, 34, 40, 50, 63, 150, 0xffff, -1];

/**
 * r0 = a part of the packet in host order; ends the function where there is none. Of main alone: Linux 6.18 takes such an
 * end of a called function for none when it looks back for what a number depends on (it expects BPF_EXIT). It then looks
 * for the caller's registers in the function, and where one of r1 to r5 comes of it, at the call, it writes to a frame
 * below the first one: into any memory.
 */
export function packetLoad(w: Writer): Items {
  const size = w.pick(["u8", "u16", "u32"] as const);
  const offset = w.chance(90) ? w.pick([0, 1, 4, 10, 12, 13, 14]) : w.pick(OFFSETS);
  const index = w.chance(40) ? w.operand() : undefined;
  const mask = index === undefined ? [] : [asm.alu64Imm("and", index, w.pick([1, 3, 7]))];
  w.called();
  return [...mask, index === undefined ? asm.ldAbs(size, offset) : asm.ldInd(size, index, offset)];
}

const ANY: readonly number[] = [0, 1, 2, 7, 0xff, 0x1234, 0xffff, 0x1_0000, -1];
const LENGTHS = [0, 1, 4, 14, 20, 40, 60, 64, 100, 200, 1000];
const SMALL = [0, 1, 2, 3, 4, 7];

/** Helpers, with what their arguments behind the context are chosen from. What tells a hash is of no use: its seed is random. */
const calls: readonly (readonly [helper: number, ...args: (readonly number[])[]])[] = [
  [u.BPF_FUNC_skb_change_type, SMALL],
  // Not into the headers, and no change of the head: see `notBuilt` in known_gaps.ts.
  [u.BPF_FUNC_skb_change_tail, [60, 64, 100, 200, 1000], [0, 0, 0, 1]],
  [u.BPF_FUNC_skb_pull_data, LENGTHS],
  [u.BPF_FUNC_set_hash, ANY],
  [u.BPF_FUNC_set_hash_invalid],
  [u.BPF_FUNC_l3_csum_replace, OFFSETS, ANY, ANY, [0, 2, 4, 3]],
  [u.BPF_FUNC_l4_csum_replace, OFFSETS, ANY, ANY, [0, 2, 4, 0x10, 0x12, 0x14, 0x22, 0x34, 0x84, 1]],
  [u.BPF_FUNC_csum_update, ANY],
  [u.BPF_FUNC_csum_level, SMALL],
  [u.BPF_FUNC_skb_ecn_set_ce],
  [u.BPF_FUNC_skb_adjust_room, [0, 4, 20, -4, -20, 40], [0, 1, 2], [0, 0, 1, 2, 4, 6, 0x20]],
  [u.BPF_FUNC_skb_change_proto, [0x0008, 0xdd86, 0], [0, 0, 1]],
  [u.BPF_FUNC_skb_vlan_push, [0x0081, 0xa888, 0x0008], [0, 5, 0x1fff]],
  [u.BPF_FUNC_skb_vlan_pop],
];

export function skbHelper(w: Writer): Items {
  w.calling();
  const [helper, ...args] = w.pick(calls);
  const items = args.flatMap((among, i) => w.number((i + 2) as asm.Reg, among));
  w.called();
  return [...items, asm.mov64(1, 6), asm.call(helper)];
}
