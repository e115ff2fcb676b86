/** Tunnel keys, and what the packet's socket belongs to. */
import * as asm from "../../../src/insn/index.ts";
import * as u from "../../../src/uapi/index.ts";
import { CGROUP, call, fromStack, report, type SkbCase, SOCKET, XMIT } from "./cases.ts";

const { R0, R1, R2, R3, R6, R10 } = asm;
const { tunnel_ext, tunnel_label } = u.bpf_tunnel_key.fields;
const { sk } = u.__sk_buff.fields;
const KEY = u.bpf_tunnel_key.size;
const SIX = u.BPF_F_TUNINFO_IPV6;
const FLAGS = u.BPF_F_TUNINFO_FLAGS;
const TUNNEL_FLAGS = u.bpf_tunnel_key.fields.tunnel_tos.offset;
const STACK = 64;
type Part = readonly asm.AsmItem[];

/** The key is what stands on the stack, but for two fields that have rules. */
const set = (size: number, flags: number, ext = 0, label = 0): Part => [
  asm.st("u16", R10, tunnel_ext.offset - STACK, ext),
  asm.st("u32", R10, tunnel_label.offset - STACK, label),
  ...call(u.BPF_FUNC_skb_set_tunnel_key, "stack", size, flags),
];
const get = (size: number, flags: number): Part => call(u.BPF_FUNC_skb_get_tunnel_key, "stack", size, flags);
const sizes = [1, 4, 8, 20, 22, 24, 28, 43, KEY, KEY + 4];

/** 1 where the helper says anything: ids and cookies differ from machine to machine. */
const something = (part: Part): Part => [
  ...part,
  asm.mov64Imm(R1, 1),
  asm.jmpImm("jne", R0, 0, 1),
  asm.mov64Imm(R1, 0),
  asm.mov64(R0, R1),
];
/** helper(full socket, ...), or -1. */
const ofSocket = (helper: number, ...args: readonly number[]): Part => [
  asm.ldx("u64", R1, R6, sk.offset),
  asm.mov64Imm(R0, -1),
  asm.jmpImm("jeq", R1, 0, 4 + args.length),
  asm.call(u.BPF_FUNC_sk_fullsock),
  asm.jmpImm("jeq", R0, 0, 2 + args.length),
  asm.mov64(R1, R0),
  ...args.map((arg, i) => asm.mov64Imm(i === 0 ? R2 : R3, arg)),
  asm.call(helper),
];
const NO_CONTEXT: Part = [asm.mov64Imm(R1, 0), asm.call(u.BPF_FUNC_get_netns_cookie)];

export const tunnelCases: readonly SkbCase[] = [
  ...sizes.flatMap((size): SkbCase[] => [
    { id: `tunnel.none.${size}`, code: report([get(size, 0), fromStack(), fromStack(40)]) },
    {
      id: `tunnel.set.${size}`,
      code: report([set(size, 0), get(KEY, 0), fromStack(4), fromStack(28), fromStack(20)]),
    },
    {
      id: `tunnel.set6.${size}`,
      code: report([set(size, SIX), get(KEY, SIX), fromStack(4), fromStack(28), fromStack(16)]),
    },
    {
      id: `tunnel.get.${size}`,
      code: report([set(KEY, 0), get(size, 0), fromStack(0), fromStack(4), fromStack(28)]),
    },
    {
      id: `tunnel.get6.${size}`,
      code: report([set(KEY, SIX, 0, 5), get(size, SIX), fromStack(4), fromStack(24), fromStack(28)]),
    },
  ]),
  ...[0, 2, 4, 8, 16, 30, 32, -1].map(
    (flags): SkbCase => ({
      id: `tunnel.flags.${flags}`,
      code: report([set(KEY, flags), get(KEY, FLAGS), fromStack(TUNNEL_FLAGS), get(KEY, 0), fromStack(TUNNEL_FLAGS)]),
    }),
  ),
  ...[0, 1, 2, 16, 17, 32, -1].map(
    (flags): SkbCase => ({
      id: `tunnel.family.${flags}`,
      code: report([set(KEY, 0), get(KEY, flags), set(KEY, SIX), get(KEY, flags), fromStack()]),
    }),
  ),
  ...[
    [0, 1, 0],
    [0, 0, 1],
    [SIX, 1, 0],
    [SIX, 0, 0xfffff],
  ].map(
    ([flags, ext, label]): SkbCase => ({
      id: `tunnel.rules.${flags}.${ext}.${label}`,
      code: report([set(KEY, flags!, ext, label), get(KEY, flags!), fromStack(24)]),
    }),
  ),
  { id: "tunnel.xmit", type: XMIT, code: report([get(KEY, 0), set(KEY, 0), get(KEY, 0), fromStack(4)]) },
  ...[
    ["cls", u.BPF_PROG_TYPE_SCHED_CLS],
    ["cgroup", CGROUP],
  ].map(
    ([name, type]): SkbCase => ({
      id: `owner.ids.${name}`,
      type: Number(type),
      code: report([
        something(call(u.BPF_FUNC_skb_cgroup_id)),
        something(call(u.BPF_FUNC_skb_ancestor_cgroup_id, 0)),
        call(u.BPF_FUNC_skb_ancestor_cgroup_id, 200),
        call(u.BPF_FUNC_skb_ancestor_cgroup_id, -1),
        something(call(u.BPF_FUNC_get_netns_cookie)),
      ]),
    }),
  ),
  {
    id: "owner.socket-ids",
    type: CGROUP,
    code: report([
      something(ofSocket(u.BPF_FUNC_sk_cgroup_id)),
      something(ofSocket(u.BPF_FUNC_sk_ancestor_cgroup_id, 0)),
      ofSocket(u.BPF_FUNC_sk_ancestor_cgroup_id, 200),
    ]),
  },
  {
    id: "owner.classes",
    code: report([call(u.BPF_FUNC_get_cgroup_classid), call(u.BPF_FUNC_skb_cgroup_classid), something(NO_CONTEXT)]),
  },
  ...[SOCKET, CGROUP, XMIT].map(
    (type): SkbCase => ({ id: `owner.class.${type}`, type, code: report([call(u.BPF_FUNC_get_cgroup_classid)]) }),
  ),
  { id: "owner.netns.socket", type: SOCKET, code: report([something(call(u.BPF_FUNC_get_netns_cookie))]) },
  ...[0, 1, -1].map((flags): SkbCase => ({ id: `assign.own.${flags}`, code: report([assign(flags)]) })),
];

/** The packet's own socket is in no table, and a test run is no ingress. */
function assign(flags: number): Part {
  return [
    asm.ldx("u64", R2, R6, sk.offset),
    asm.mov64Imm(R0, -1),
    asm.jmpImm("jeq", R2, 0, 7),
    asm.mov64(R1, R2),
    asm.call(u.BPF_FUNC_sk_fullsock),
    asm.jmpImm("jeq", R0, 0, 4),
    asm.mov64(R2, R0),
    asm.mov64(R1, R6),
    asm.mov64Imm(R3, flags),
    asm.call(u.BPF_FUNC_sk_assign),
  ];
}
