import * as u from "../../../src/uapi/index.ts";
import { CGROUP, COMPLETE, call, ecn, ipv4, ipv6, noise, pass, report, type SkbCase, tagged } from "./cases.ts";

const STORE = u.BPF_FUNC_skb_store_bytes;
const L3 = u.BPF_FUNC_l3_csum_replace;
const L4 = u.BPF_FUNC_l4_csum_replace;
export const checksumCases: readonly SkbCase[] = [
  ...[0, 1, 2, 3, 4, 8, 16].flatMap((flags) =>
    (
      [
        [0, 0x1234],
        [0x3412, 0x7856],
        [0x1_0000, 1],
        [0x0a00_0001, 0x0a00_0002],
        [-1, 5],
      ] as const
    ).map(
      ([from, to]): SkbCase => ({
        id: `l3.${flags}.${from}.${to}`,
        code: report([call(L3, 24, from, to, flags)]),
      }),
    ),
  ),
  ...[23, 59, 60, 61, 62, 65536, -2].map(
    (at): SkbCase => ({ id: `l3.at.${at}`, code: report([call(L3, at, 1, 2, 2)]) }),
  ),
  // Arguments of 64 bits, of which the sums take 32.
  ...[0, 2, 4].flatMap((size): SkbCase[] => [
    { id: `l3.${size}.wide`, code: report([call(L3, 24, 0x5678_0001_0a00_0001n, 0x1234_0000_0a00_0002n, size)]) },
    { id: `l3.${size}.wide.zero`, code: report([call(L3, 24, 0x5678_0001_0000_0000n, 5, size)]) },
    { id: `l4.${size}.wide`, code: report([call(L4, 50, 0x5678_0001_0a00_0001n, 0x1234_0000_0a00_0002n, size)]) },
    { id: `l4.${size}.wide.zero`, code: report([call(L4, 50, 0x5678_0001_0000_0000n, 5, size)]) },
  ]),
  {
    id: "l3.zero",
    data: new Uint8Array(40),
    code: report([call(L3, 24, 0, 0xffff, 2), call(L3, 26, 0, 0, 2), call(L3, 28, 0, -1, 4)]),
  },
  ...[0, 2, 4].flatMap((size) =>
    [0, 0x10, 0x20, 0x30, 0x60, 0x80, 0x90, 0x100].flatMap((flags) =>
      (
        [
          [0, 0x1234],
          [0x3412, 0x7856],
          [0x0a00_0001, 0x0b00_0077],
        ] as const
      ).flatMap(([from, to]): SkbCase[] => [
        { id: `l4.${size}.${flags}.${from}.${to}`, code: report([call(L4, 50, from, to, size | flags)]) },
        {
          id: `l4.complete.${size}.${flags}.${from}.${to}`,
          attr: COMPLETE,
          code: report([call(L4, 50, from, to, size | flags), call(u.BPF_FUNC_csum_update, 0)]),
        },
      ]),
    ),
  ),
  {
    id: "l4.mangled",
    data: new Uint8Array(40),
    code: report([call(L4, 20, 0, 5, 0x22), call(L4, 22, 0, -1, 0x64), call(L4, 24, 0, -1, 0x4)]),
  },
  { id: "csum_update.none", code: report([call(u.BPF_FUNC_csum_update, 5)]) },
  { id: "csum_update.0", attr: COMPLETE, code: report([call(u.BPF_FUNC_csum_update, 0)]) },
  { id: "csum_update.5", attr: COMPLETE, code: report([call(u.BPF_FUNC_csum_update, 5)]) },
  { id: "complete.ipv6", attr: COMPLETE, data: ipv6, code: pass },
  { id: "complete.cgroup", attr: COMPLETE, type: CGROUP, code: pass },
  {
    id: "complete.noise",
    attr: COMPLETE,
    data: noise.subarray(0, 61),
    code: report([call(u.BPF_FUNC_csum_update, 0)]),
  },
  ...[0, 14, 15, 20, 33, 53].flatMap((at) =>
    [0, 1].map(
      (flags): SkbCase => ({
        id: `complete.store.${at}.${flags}`,
        attr: COMPLETE,
        code: report([call(STORE, at, "stack", 7, flags)]),
      }),
    ),
  ),
  ...[0, 1, 2, 3, 4].map(
    (level): SkbCase => ({
      id: `level.${level}`,
      code: report([call(u.BPF_FUNC_csum_level, level), call(u.BPF_FUNC_csum_level, 0)]),
    }),
  ),
  {
    id: "level.up-and-down",
    code: report([...[1, 1, 1, 1].map((n) => call(u.BPF_FUNC_csum_level, n)), call(u.BPF_FUNC_csum_level, 0)]),
  },
  {
    id: "level.many",
    code: report([
      [...[1, 1, 1, 1, 1, 1].flatMap((n) => call(u.BPF_FUNC_csum_level, n)), ...call(u.BPF_FUNC_csum_level, 0)],
      call(u.BPF_FUNC_csum_level, 2),
      call(u.BPF_FUNC_csum_level, 0),
      call(u.BPF_FUNC_csum_level, 3),
      call(u.BPF_FUNC_csum_level, 0),
    ]),
  },
  {
    id: "level.complete",
    attr: COMPLETE,
    code: report([call(u.BPF_FUNC_csum_level, 1), call(u.BPF_FUNC_csum_level, 0)]),
  },
  ...[ipv4, ipv6].flatMap((of, version) =>
    [0, 1, 2, 3].flatMap((value): SkbCase[] => [
      { id: `ecn.${version}.${value}`, data: ecn(of, value), code: report([call(u.BPF_FUNC_skb_ecn_set_ce)]) },
      {
        id: `ecn.complete.${version}.${value}`,
        attr: COMPLETE,
        data: ecn(of, value),
        code: report([call(u.BPF_FUNC_skb_ecn_set_ce)]),
      },
      {
        id: `ecn.cgroup.${version}.${value}`,
        type: CGROUP,
        data: ecn(of, value),
        code: report([call(u.BPF_FUNC_skb_ecn_set_ce)]),
      },
    ]),
  ),
  { id: "ecn.vlan", data: tagged, code: report([call(u.BPF_FUNC_skb_ecn_set_ce)]) },
  { id: "ecn.noise", data: noise, code: report([call(u.BPF_FUNC_skb_ecn_set_ce)]) },
];
