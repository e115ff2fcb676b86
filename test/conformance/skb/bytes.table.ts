import * as u from "../../../src/uapi/index.ts";
import {
  CGROUP,
  call,
  direct,
  fromStack,
  linear,
  load,
  noise,
  RELATIVE,
  report,
  type SkbCase,
  SOCKET,
  TAIL,
  types,
  write,
  XMIT,
} from "./cases.ts";

const LOAD = u.BPF_FUNC_skb_load_bytes;
const STORE = u.BPF_FUNC_skb_store_bytes;
const PULL = u.BPF_FUNC_skb_pull_data;
const HEAD = u.BPF_FUNC_skb_change_head;

export const bytesCases: readonly SkbCase[] = [
  ...types.flatMap(([name, type]) =>
    [0, 20, 48, 54, 55, 61, 62, 70, 0x7fff_ffff, -1].map(
      (at): SkbCase => ({
        id: `load_bytes.${name}.${at}`,
        type,
        code: report([call(LOAD, at, "stack", 8), fromStack(), fromStack(4), fromStack(8)]),
      }),
    ),
  ),
  ...[["cls", u.BPF_PROG_TYPE_SCHED_CLS] as const, ["socket", SOCKET] as const, ["cgroup", CGROUP] as const].flatMap(
    ([name, type]) =>
      [
        [0, 0],
        [0, 1],
        [12, 1],
        [40, 1],
        [41, 1],
        [54, 0],
        [0, 2],
        [65535, 0],
        [65536, 0],
        [-1, 1],
      ].map(
        ([at, start]): SkbCase => ({
          id: `load_relative.${name}.${at}.${start}`,
          type,
          code: report([call(RELATIVE, at!, "stack", 8, start!), fromStack(), fromStack(4)]),
        }),
      ),
  ),
  ...[0, 1, 54, 55, 62, 0x7fff_ffff, -1].flatMap((at) =>
    [0, 1, 2, 3, 4].map(
      (flags): SkbCase => ({
        id: `store_bytes.${at}.${flags}`,
        code: report([call(STORE, at, "stack", 8, flags), load("hash"), linear]),
      }),
    ),
  ),
  { id: "store_bytes.xmit", type: XMIT, code: report([call(STORE, 0, "stack", 8, 0), direct(0)]) },
  { id: "store_bytes.flags-high", code: report([call(STORE, 0, "stack", 8, 1n << 32n)]) },
  ...[0, 1, 14, 62, 63, 70, -1].map((n): SkbCase => ({ id: `pull.${n}`, code: report([call(PULL, n), linear]) })),
  { id: "direct.write", code: report([write(0, 0x0102_0304), direct(0), write(58, 5), write(59, 6)]) },
  { id: "direct.write.xmit", type: XMIT, code: report([write(0, 0x0102_0304), direct(0), write(44, 5), write(45, 6)]) },
  ...[0, 13, 14, 20, 61, 62, 63, 100, 1000, 4000, 8000, 16063, 16064, 16065, 20000, 65535, 65536, -1].map(
    (n): SkbCase => ({
      id: `tail.${n}`,
      code: report([call(TAIL, n, 0), load("len"), linear]),
    }),
  ),
  { id: "tail.flags", code: report([call(TAIL, 62, 1)]) },
  { id: "tail.there-and-back", code: report([call(TAIL, 40, 0), call(TAIL, 62, 0)]) },
  { id: "tail.again", code: report([call(TAIL, 5000, 0), call(TAIL, 8000, 0), call(TAIL, 70, 0), linear]) },
  {
    id: "tail.segments",
    code: report([call(TAIL, 60, 0), load("gso_size"), load("gso_segs")]),
    ctx: { gso_size: 10, gso_segs: 3 },
  },
  { id: "tail.xmit", type: XMIT, code: report([call(TAIL, 30, 0), load("len")]) },
  { id: "tail.xmit.0", type: XMIT, code: report([call(TAIL, 0, 0), load("len")]) },
  ...[0, 1, 8, 14, 64, 65, 500, 4000, 16002, 16003, 16004, -1].map(
    (n): SkbCase => ({
      id: `head.${n}`,
      code: report([call(HEAD, n, 0), load("len"), direct(0)]),
    }),
  ),
  { id: "head.flags", code: report([call(HEAD, 8, 1)]) },
  {
    id: "head.twice",
    code: report([call(HEAD, 8, 0), call(HEAD, 80, 0), write(0, -1), call(RELATIVE, 0, "stack", 8, 1), fromStack()]),
  },
  { id: "head.xmit", type: XMIT, code: report([call(HEAD, 14, 0), load("len"), write(0, -1)]) },
  { id: "head.segments", code: report([call(HEAD, 20000, 0), load("len")]), ctx: { gso_size: 10 } },
  ...[0, 1, 2, 3, 4, -1].map(
    (n): SkbCase => ({
      id: `type.${n}`,
      data: noise,
      code: report([call(u.BPF_FUNC_skb_change_type, n), load("pkt_type")]),
    }),
  ),
  {
    id: "hash",
    code: report([
      call(u.BPF_FUNC_set_hash, 77),
      call(u.BPF_FUNC_get_hash_recalc),
      load("hash"),
      call(u.BPF_FUNC_set_hash_invalid),
      load("hash"),
    ]),
  },
  { id: "hash.store", code: report([call(u.BPF_FUNC_set_hash, 77), call(STORE, 0, "stack", 8, 2), load("hash")]) },
  ...[0n, 5n, 1n << 40n].flatMap((time) =>
    [0, 1, 2, 3].map(
      (type): SkbCase => ({
        id: `tstamp.${time}.${type}`,
        code: report([call(u.BPF_FUNC_skb_set_tstamp, time, type), load("tstamp_type", "u8"), load("tstamp", "u64")]),
      }),
    ),
  ),
  { id: "tstamp.noise", data: noise, code: report([call(u.BPF_FUNC_skb_set_tstamp, 5, 1)]) },
];
