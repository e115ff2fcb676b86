/** Where packets are sent, devices, routes and sockets: what is the same in every network. */
import * as asm from "../../../src/insn/index.ts";
import * as u from "../../../src/uapi/index.ts";
import { CGROUP, call, fromStack, ipv4, ipv6, load, report, type SkbCase, SOCKET, XMIT } from "./cases.ts";

const { R0, R1, R2, R3, R4, R5, R6, R10 } = asm;
const XDP = u.BPF_PROG_TYPE_XDP;
/** helper(ifindex, flags) is the program's result. */
const sent = (helper: number, ifindex: number, ...more: readonly number[]): readonly asm.AsmItem[] => [
  asm.mov64Imm(R1, ifindex),
  ...more.map((value, i) => asm.mov64Imm(([R2, R3, R4, R5] as const)[i]!, value)),
  asm.call(helper),
  asm.exit(),
];
const bare = { ctx_in: null, ctx_size_in: 0, ctx_out: null, ctx_size_out: 0 };
const xdp = (id: string, code: readonly asm.AsmItem[]): SkbCase => ({ id, type: XDP, code, attr: bare });

/** r0 = fib_lookup(ctx, params on the stack of `size`, flags). */
const fib = (family: number, ifindex: number, size: number, flags: number): readonly asm.AsmItem[] => [
  asm.st("u8", R10, -64, family),
  asm.st("u32", R10, -56, ifindex),
  ...call(u.BPF_FUNC_fib_lookup, "stack", size, flags),
];
/** r0 = check_mtu(ctx, ifindex, length on the stack, diff, flags), then the length. */
const mtu = (ifindex: number, length: number, diff: number, flags: number): (readonly asm.AsmItem[])[] => [
  [asm.st("u32", R10, -64, length), ...call(u.BPF_FUNC_check_mtu, ifindex, "stack", diff, flags)],
  fromStack(),
];
const release: readonly asm.AsmItem[] = [
  asm.mov64Imm(R2, -1),
  asm.jmpImm("jeq", R0, 0, 3),
  asm.mov64(R1, R0),
  asm.call(u.BPF_FUNC_sk_release),
  asm.mov64Imm(R2, 1),
  asm.mov64(R0, R2),
];
/** -1: no such socket. The addresses on the stack are nobody's. */
const lookup = (helper: number, size: number, netns: number | bigint, flags: number): readonly asm.AsmItem[] => [
  ...call(helper, "stack", size, netns, flags),
  ...release,
];
/** A field of the full socket, or -1. */
const full = (at: number): readonly asm.AsmItem[] => [
  asm.mov64Imm(R0, -1),
  asm.ldx("u64", R1, R6, u.__sk_buff.fields.sk.offset),
  asm.jmpImm("jeq", R1, 0, 4),
  asm.call(u.BPF_FUNC_sk_fullsock),
  asm.jmpImm("jne", R0, 0, 1),
  asm.exit(),
  asm.ldx("u32", R0, R0, at),
];
const { fields: sock } = u.bpf_sock;

export const redirectCases: readonly SkbCase[] = [
  ...[0, 1, 99].flatMap((ifindex) =>
    [0, 1, 2, -1].flatMap((flags): SkbCase[] => [
      { id: `redirect.cls.${ifindex}.${flags}`, code: sent(u.BPF_FUNC_redirect, ifindex, flags) },
      { id: `redirect.xmit.${ifindex}.${flags}`, type: XMIT, code: sent(u.BPF_FUNC_redirect, ifindex, flags) },
      { id: `redirect.peer.${ifindex}.${flags}`, code: sent(u.BPF_FUNC_redirect_peer, ifindex, flags) },
      { id: `redirect.neigh.${ifindex}.${flags}`, code: sent(u.BPF_FUNC_redirect_neigh, ifindex, 0, 0, flags) },
      xdp(`redirect.xdp.${ifindex}.${flags}`, sent(u.BPF_FUNC_redirect, ifindex, flags)),
    ]),
  ),
  ...[4, 19, 20, 24].map(
    (size): SkbCase => ({
      id: `redirect.next-hop.${size}`,
      code: report([
        [
          asm.mov64Imm(R1, 1),
          asm.mov64(R2, R10),
          asm.alu64Imm("add", R2, -64),
          asm.mov64Imm(R3, size),
          asm.mov64Imm(R4, 0),
          asm.call(u.BPF_FUNC_redirect_neigh),
        ],
      ]),
    }),
  ),
  ...[
    [99, 0],
    [1, 2],
    [-1, 1],
  ].map(
    ([ifindex, flags]): SkbCase => ({
      id: `clone.${ifindex}.${flags}`,
      code: report([call(u.BPF_FUNC_clone_redirect, ifindex!, flags!)]),
    }),
  ),
  { id: "realm", code: report([call(u.BPF_FUNC_get_route_realm)]) },
  ...[0, 1, 99].flatMap((ifindex) =>
    [0, 100, 1500, 65487, 65488, 65489, 70000, -30].flatMap((diff): SkbCase[] => [
      ...[0, 1, 2].map(
        (flags): SkbCase => ({
          id: `mtu.${ifindex}.${diff}.${flags}`,
          code: report(mtu(ifindex, 0, diff, flags)),
        }),
      ),
      { id: `mtu.segments.${ifindex}.${diff}`, ctx: { gso_size: 100 }, code: report(mtu(ifindex, 0, diff, 0)) },
      { id: `mtu.given.${ifindex}.${diff}`, code: report(mtu(ifindex, 65536 - 1500, diff, 0)) },
    ]),
  ),
  ...[64, 65536, 65537].flatMap((length) =>
    [0, 1].map((flags): SkbCase => ({ id: `mtu.length.${length}.${flags}`, code: report(mtu(1, length, 0, flags)) })),
  ),
  ...[0, 2, 10, 3].flatMap((family) =>
    [4, 63, 64].flatMap((size) =>
      [0, 1, 64, -1].map(
        (flags): SkbCase => ({
          id: `fib.${family}.${size}.${flags}`,
          code: report([fib(family, 0, size, flags), fib(family, 99, size, flags)]),
        }),
      ),
    ),
  ),
  ...[u.BPF_FUNC_sk_lookup_tcp, u.BPF_FUNC_skc_lookup_tcp, u.BPF_FUNC_sk_lookup_udp].flatMap((helper) =>
    [1, 11, 12, 36, 37].map(
      (size): SkbCase => ({
        id: `lookup.${helper}.${size}`,
        code: report([lookup(helper, size, -1, 0), lookup(helper, size, -1, 1), lookup(helper, size, 1n << 31n, 0)]),
      }),
    ),
  ),
  { id: "lookup.cgroup", type: CGROUP, code: report([lookup(u.BPF_FUNC_sk_lookup_tcp, 12, -1, 0)]) },
  ...[ipv4, ipv6].flatMap((data, i): SkbCase[] => [
    {
      id: `full.${i}.type`,
      data,
      code: report([sock.type, sock.protocol, sock.mark, sock.priority].map(({ offset }) => full(offset))),
    },
    { id: `full.${i}.cgroup`, type: CGROUP, data, code: report([full(sock.family.offset), load("len")]) },
  ]),
  { id: "owner.cls", code: report([call(u.BPF_FUNC_get_socket_uid)]) },
  {
    id: "owner.cookie",
    code: report([
      [
        ...call(u.BPF_FUNC_get_socket_cookie),
        asm.mov64Imm(R1, 1),
        asm.jmpImm("jne", R0, 0, 1),
        asm.mov64Imm(R1, 0),
        asm.mov64(R0, R1),
      ],
    ]),
  },
  { id: "owner.socket", type: SOCKET, code: report([call(u.BPF_FUNC_get_socket_uid)]) },
  {
    id: "listener",
    code: report([
      [
        asm.mov64Imm(R0, -1),
        asm.ldx("u64", R1, R6, u.__sk_buff.fields.sk.offset),
        asm.jmpImm("jeq", R1, 0, 5),
        asm.call(u.BPF_FUNC_get_listener_sock),
        asm.mov64Imm(R1, 1),
        asm.jmpImm("jne", R0, 0, 1),
        asm.mov64Imm(R1, 0),
        asm.mov64(R0, R1),
      ],
    ]),
  },
];
