import * as u from "../../../src/uapi/index.ts";
import {
  COMPLETE,
  call,
  direct,
  ecn,
  fromStack,
  ipv4,
  ipv6,
  load,
  packets,
  RELATIVE,
  report,
  type SkbCase,
  TAIL,
} from "./cases.ts";

const ROOM = u.BPF_FUNC_skb_adjust_room;
const PROTO = u.BPF_FUNC_skb_change_proto;
const PUSH = u.BPF_FUNC_skb_vlan_push;
const POP = u.BPF_FUNC_skb_vlan_pop;
const after = [load("len"), load("protocol"), call(RELATIVE, 0, "stack", 4, 1), fromStack()];
const L2 = (n: number): bigint => BigInt(n) << 56n;
export const roomCases: readonly SkbCase[] = [
  ...packets.slice(0, 6).flatMap(([name, data]) =>
    [0, 1].flatMap((mode) =>
      [0, 1, 8, 20, 64, 65, 600, 4095, 4096, -1, -8, -20, -28, -29, -48, -60, -4096].map(
        (by): SkbCase => ({
          id: `room.${name}.${mode}.${by}`,
          data,
          code: report([call(ROOM, by, mode, 0), ...after]),
        }),
      ),
    ),
  ),
  { id: "room.mode-2", code: report([call(ROOM, 8, 2, 0)]) },
  ...[1, 2, 4, 6, 8, 16, 24, 32, 64, 128, 256, 384, 512, 2 | 8, 2 | 16, 4 | 16, 2 | 64, 2 | 128].flatMap((flags) =>
    [40, -20, -8].flatMap((by): SkbCase[] => [
      { id: `room.flags.${flags}.${by}`, code: report([call(ROOM, by, 1, flags), ...after]) },
      { id: `room.flags.ipv6.${flags}.${by}`, data: ipv6, code: report([call(ROOM, by, 1, flags), ...after]) },
      {
        id: `room.flags.segments.${flags}.${by}`,
        code: report([call(ROOM, by, 1, flags), load("gso_size")]),
        ctx: { gso_size: 100, gso_segs: 2 },
      },
    ]),
  ),
  ...(
    [
      [14, 36, 2],
      [14, 36, 66],
      [13, 36, 66],
      [40, 36, 2],
      [0, 36, 64],
      [14, -20, 0],
      [14, 36, 0],
    ] as const
  ).map(
    ([l2, by, flags]): SkbCase => ({
      id: `room.l2.${l2}.${by}.${flags}`,
      code: report([call(ROOM, by, 1, L2(l2) | BigInt(flags)), ...after]),
    }),
  ),
  {
    id: "room.twice",
    code: report([call(ROOM, 20, 1, 2), call(ROOM, 20, 1, 2), call(ROOM, 20, 1, 0), call(TAIL, 100, 0), load("len")]),
  },
  {
    id: "room.encap-decap",
    code: report([
      call(ROOM, 40, 1, 4),
      load("protocol"),
      call(ROOM, -40, 1, 128),
      load("protocol"),
      call(ROOM, 20, 1, 2),
    ]),
  },
  {
    id: "room.encap-tail",
    code: report([call(ROOM, 20, 1, 2), call(ROOM, -20, 1, 0), call(TAIL, 50, 0), load("len")]),
  },
  {
    id: "room.level",
    code: report([call(u.BPF_FUNC_csum_level, 1), call(ROOM, 8, 1, 0), call(u.BPF_FUNC_csum_level, 0)]),
  },
  {
    id: "room.level-kept",
    code: report([call(u.BPF_FUNC_csum_level, 1), call(ROOM, 8, 1, 32), call(u.BPF_FUNC_csum_level, 0)]),
  },
  ...[8, -8, -20].flatMap((by) =>
    [0, 1].map(
      (mode): SkbCase => ({
        id: `room.complete.${mode}.${by}`,
        attr: COMPLETE,
        code: report([call(ROOM, by, mode, 0)]),
      }),
    ),
  ),
  ...[0x0008, 0xdd86, 0x0081, 0x10008].flatMap((to) =>
    packets
      .slice(0, 5)
      .map(
        ([name, data]): SkbCase => ({ id: `proto.${name}.${to}`, data, code: report([call(PROTO, to, 0), ...after]) }),
      ),
  ),
  { id: "proto.flags", code: report([call(PROTO, 0xdd86, 1)]) },
  {
    id: "proto.back",
    code: report([
      call(u.BPF_FUNC_set_hash, 5),
      call(PROTO, 0xdd86, 0),
      call(PROTO, 0x0008, 0),
      load("len"),
      load("hash"),
    ]),
  },
  { id: "proto.complete", attr: COMPLETE, code: report([call(PROTO, 0xdd86, 0)]) },
  { id: "proto.complete.6", attr: COMPLETE, data: ipv6, code: report([call(PROTO, 0x0008, 0)]) },
  { id: "proto.segments", code: report([call(PROTO, 0xdd86, 0), load("gso_size")]), ctx: { gso_size: 100 } },
  ...packets.slice(0, 6).flatMap(([name, data]): SkbCase[] => [
    {
      id: `vlan.push.${name}`,
      data,
      code: report([
        call(PUSH, 0x0081, 0x123),
        load("vlan_present"),
        load("vlan_tci"),
        load("vlan_proto"),
        load("len"),
      ]),
    },
    {
      id: `vlan.push.${name}.twice`,
      data,
      code: report([
        call(PUSH, 0xa888, 0x7123),
        call(PUSH, 0x0081, 0x5),
        load("vlan_tci"),
        load("protocol"),
        load("len"),
      ]),
    },
    {
      id: `vlan.push.${name}.pop`,
      data,
      code: report([call(PUSH, 0, 0x23), call(PUSH, 0x0081, 0x5), call(POP), load("vlan_tci"), load("len")]),
    },
    {
      id: `vlan.pop.${name}`,
      data,
      code: report([call(POP), load("vlan_present"), load("vlan_tci"), load("vlan_proto"), load("len")]),
    },
    {
      id: `vlan.pop.${name}.more`,
      data,
      code: report([call(POP), load("protocol"), call(RELATIVE, 0, "stack", 4, 1), fromStack(), direct(12)]),
    },
    {
      id: `vlan.pop.${name}.twice`,
      data,
      code: report([call(POP), call(POP), load("vlan_present"), load("protocol"), load("len")]),
    },
    {
      id: `vlan.complete.${name}`,
      data,
      attr: COMPLETE,
      code: report([call(PUSH, 0xa888, 0x7123), call(PUSH, 0x0081, 0x5)]),
    },
    { id: `vlan.pop.complete.${name}`, data, attr: COMPLETE, code: report([call(POP)]) },
  ]),
  {
    id: "vlan.push.bits",
    code: report([call(PUSH, 0x10081, 0x1_2345), load("vlan_tci"), load("vlan_proto"), load("vlan_present")]),
  },
  {
    id: "vlan.push.0",
    code: report([call(PUSH, 0x0081, 0), load("vlan_present"), call(POP), load("vlan_present"), load("vlan_proto")]),
  },
  {
    id: "vlan.push.ecn",
    data: ecn(ipv4, 1),
    code: report([call(PUSH, 0x0081, 5), call(PUSH, 0x0081, 6), call(u.BPF_FUNC_skb_ecn_set_ce)]),
  },
];
