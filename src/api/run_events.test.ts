/** What programs did to the outside, as a run tells it. */
import { afterAll, expect, test } from "vitest";
import { createTestEmbedded } from "../../test/compiled.ts";
import * as asm from "../insn/index.ts";
import * as u from "../uapi/index.ts";
import type { NetworkOptions, RunEvent, RunOptions, RunResult } from "./index.ts";

const { R0, R1, R2, R3, R4, R5, R6, R7, R10 } = asm;
const hosts = [
  createTestEmbedded({ memory: 16 * 1024 * 1024, seed: 1 }),
  createTestEmbedded({ memory: 16 * 1024 * 1024, seed: 1, shared: true }),
  createTestEmbedded({ memory: 16 * 1024 * 1024, seed: 1, engine: "interp" }),
];
for (const host of hosts) host.addDevice(7);
afterAll(() => {
  for (const host of hosts) {
    expect(host.leaks()).toEqual([]);
    host.close();
  }
});

const data = Uint8Array.from({ length: 64 }, (_, i) => (i < 12 ? 0 : i));

/** The same on each of the hosts. r6 is the context. */
function run(
  type: string,
  items: readonly asm.AsmItem[],
  options: RunOptions = {},
  network: NetworkOptions = {},
): RunResult {
  const insns = asm.assemble([asm.mov64(R6, R1), ...items, asm.exit()]);
  const results = hosts.map((host) => {
    host.setNetwork(network);
    const program = host.loadProgram({ type, insns, license: "GPL" });
    try {
      return program.run({ data, ...options });
    } finally {
      program.close();
    }
  });
  const [one, other] = results.map((result) => ({ ...result, duration: 0 }));
  expect(other).toEqual(one);
  return results[0]!;
}

const events = (...given: Parameters<typeof run>): readonly RunEvent[] => run(...given).events;
const call = (helper: number, ...args: readonly number[]): readonly asm.AsmItem[] => [
  ...args.map((arg, i) => asm.mov64Imm(([R1, R2, R3, R4, R5] as const)[i]!, arg)),
  asm.call(helper),
];
const withContext = (helper: number, ...args: readonly number[]): readonly asm.AsmItem[] => [
  asm.mov64(R1, R6),
  ...args.map((arg, i) => asm.mov64Imm(([R2, R3, R4, R5] as const)[i]!, arg)),
  asm.call(helper),
];
/** `reg` = stack - 64. */
const stack = (reg: asm.Reg): readonly asm.AsmItem[] => [asm.mov64(reg, R10), asm.alu64Imm("add", reg, -64)];

test("bpf_redirect and its kin", () => {
  const plain = { kind: "redirect", ifindex: 7, ingress: false, nextHop: undefined };
  expect(run("xdp", call(u.BPF_FUNC_redirect, 7, 0))).toMatchObject({ retval: u.XDP_REDIRECT, events: [plain] });
  expect(events("sched_cls", call(u.BPF_FUNC_redirect, 7, 0))).toEqual([plain]);
  expect(events("sched_cls", call(u.BPF_FUNC_redirect, 7, u.BPF_F_INGRESS))).toEqual([{ ...plain, ingress: true }]);
  const peer = { ...plain, kind: "redirect_peer", ingress: true };
  expect(events("sched_cls", call(u.BPF_FUNC_redirect_peer, 7, 0))).toEqual([peer]);
  const hop = [asm.st("u32", R10, -64, u.AF_INET), asm.st("u32", R10, -60, 0x0100_000a), ...zeros(-56, 12)];
  const neigh = [...hop, asm.mov64Imm(R1, 7), ...stack(R2), asm.mov64Imm(R3, 20), asm.mov64Imm(R4, 0)];
  const nextHop = Uint8Array.of(u.AF_INET, 0, 0, 0, 10, 0, 0, 1, ...new Array<number>(12).fill(0));
  expect(events("sched_cls", [...neigh, asm.call(u.BPF_FUNC_redirect_neigh)])).toEqual([
    { ...plain, kind: "redirect_neigh", nextHop },
  ]);
});

test("what is refused is no event, and events are those of the last run", () => {
  expect(events("sched_cls", call(u.BPF_FUNC_redirect, 7, 2))).toEqual([]);
  expect(events("xdp", call(u.BPF_FUNC_redirect, 7, 1))).toEqual([]);
  expect(events("sched_cls", withContext(u.BPF_FUNC_clone_redirect, 99, 0))).toEqual([]);
  const [host] = hosts;
  const insns = asm.assemble([...call(u.BPF_FUNC_redirect, 7, 0), asm.exit()]);
  const program = host!.loadProgram({ type: "xdp", insns });
  const before = program.run({ data }).events;
  const after = program.run({ data }).events;
  expect([before.length, after.length]).toEqual([1, 1]);
  program.close();
});

test("bpf_clone_redirect: the packet as it was then", () => {
  const items = [
    asm.st("u8", R10, -64, 0xee),
    ...withContext(u.BPF_FUNC_clone_redirect, 7, 0),
    asm.mov64(R1, R6),
    asm.mov64Imm(R2, 20),
    ...stack(R3),
    asm.mov64Imm(R4, 1),
    asm.mov64Imm(R5, 0),
    asm.call(u.BPF_FUNC_skb_store_bytes),
    ...withContext(u.BPF_FUNC_clone_redirect, 1, u.BPF_F_INGRESS),
  ];
  const changed = data.slice();
  changed[20] = 0xee;
  expect(run("sched_cls", items)).toMatchObject({ retval: 0, data: changed });
  expect(events("sched_cls", items)).toEqual([
    { kind: "clone_redirect", ifindex: 7, ingress: false, data },
    { kind: "clone_redirect", ifindex: 1, ingress: true, data: changed },
  ]);
});

test("bpf_redirect_map: which map, which key", () => {
  const [host] = hosts;
  const map = host!.createMap({ type: "devmap", maxEntries: 4 });
  map.set(2, 7);
  const code = (key: number, flags: number): asm.AsmItem[] => [
    ...[asm.ldMapFd(R1, map.fd)].flat(),
    asm.mov64Imm(R2, key),
    asm.mov64Imm(R3, flags),
    asm.call(u.BPF_FUNC_redirect_map),
    asm.exit(),
  ];
  const told = (key: number, flags: number): RunResult => {
    const program = host!.loadProgram({ type: "xdp", insns: asm.assemble(code(key, flags)) });
    const result = program.run({ data });
    program.close();
    return result;
  };
  expect(told(2, u.XDP_DROP)).toMatchObject({
    retval: u.XDP_REDIRECT,
    events: [{ kind: "redirect_map", map: map.id, key: 2, flags: u.XDP_DROP }],
  });
  expect(told(1, u.XDP_DROP)).toMatchObject({ retval: u.XDP_DROP, events: [] });
  map.close();
});

test("live frames: each with its verdict and bytes", () => {
  // The frame's first byte is written, and the next frame begins anew.
  const items = [
    asm.ldx("u32", R2, R6, u.xdp_md.fields.data.offset),
    asm.ldx("u32", R3, R6, u.xdp_md.fields.data_end.offset),
    asm.mov64(R7, R2),
    asm.alu64Imm("add", R7, 1),
    asm.jmp("jgt", R7, R3, 3),
    asm.ldx("u8", R1, R2, 0),
    asm.alu64Imm("add", R1, 9),
    asm.stx("u8", R2, R1, 0),
    asm.mov64Imm(R0, u.XDP_TX),
  ];
  const frame = data.slice();
  frame[0] = 9;
  const live = events("xdp", items, { flags: u.BPF_F_TEST_XDP_LIVE_FRAMES, repeat: 3 });
  expect(live).toEqual(new Array(3).fill({ kind: "xdp_frame", verdict: u.XDP_TX, data: frame }));
});

test("bpf_skb_set_tunnel_key, and bpf_skb_get_tunnel_key of a packet that came through one", () => {
  const flags = u.BPF_F_TUNINFO_IPV6 | u.BPF_F_SEQ_NUMBER;
  const set = [...zeros(-64, 44), asm.st("u32", R10, -64, 77), asm.st("u8", R10, -60, 0xfd), asm.st("u8", R10, -44, 3)];
  const items = [...set, asm.mov64(R1, R6), ...stack(R2), asm.mov64Imm(R3, 44), asm.mov64Imm(R4, flags)];
  const destination = Uint8Array.of(0xfd, ...new Array<number>(15).fill(0));
  expect(events("sched_cls", [...items, asm.call(u.BPF_FUNC_skb_set_tunnel_key)])).toEqual([
    {
      kind: "tunnel_key",
      key: { id: 77, source: new Uint8Array(16), destination, tos: 3, ttl: 0, label: 0, flags: 0x200d },
    },
  ]);
  const get = (at: number): readonly asm.AsmItem[] => [
    asm.mov64(R1, R6),
    ...stack(R2),
    asm.mov64Imm(R3, 44),
    asm.mov64Imm(R4, u.BPF_F_TUNINFO_FLAGS),
    asm.call(u.BPF_FUNC_skb_get_tunnel_key),
    asm.jmpImm("jne", R0, 0, 1),
    asm.ldx("u32", R0, R10, at - 64),
  ];
  const tunnel = { from: "192.0.2.1", to: "192.0.2.2", id: 5, tos: 1, ttl: 64, flags: 4 };
  const { fields } = u.bpf_tunnel_key;
  const words = [fields.tunnel_id, fields.remote_ipv4, fields.tunnel_tos, fields.local_ipv4];
  expect(words.map(({ offset }) => run("sched_cls", get(offset), {}, { tunnel }).retval)).toEqual([
    5, 0xc000_0201, 0x0400_4001, 0xc000_0202,
  ]);
  expect(run("sched_cls", get(0)).retval).toBe(0xffff_ffea);
});

test("bpf_sk_assign: which socket of the network gets the packet", () => {
  // struct bpf_sock_tuple: from 10.0.0.9:999 to 10.0.0.1:80
  const tuple = [
    asm.st("u32", R10, -64, 0x0900_000a),
    asm.st("u32", R10, -60, 0x0100_000a),
    asm.st("u16", R10, -56, 0xe703 - 0x10000),
    asm.st("u16", R10, -54, 0x5000),
  ];
  const items = [
    ...tuple,
    asm.mov64(R1, R6),
    ...stack(R2),
    asm.mov64Imm(R3, 12),
    asm.mov64Imm(R4, -1),
    asm.mov64Imm(R5, 0),
    asm.call(u.BPF_FUNC_sk_lookup_tcp),
    asm.jmpImm("jeq", R0, 0, 8),
    asm.mov64(R7, R0),
    asm.mov64(R1, R6),
    asm.mov64(R2, R7),
    asm.mov64Imm(R3, 0),
    asm.call(u.BPF_FUNC_sk_assign),
    asm.mov64(R6, R0),
    asm.mov64(R1, R7),
    asm.call(u.BPF_FUNC_sk_release),
    asm.mov64(R0, R6),
  ];
  const sockets = [
    { protocol: "udp", local: "10.0.0.1:80" },
    { protocol: "tcp", local: "10.0.0.1:80" },
  ] as const;
  expect(events("sched_cls", items, {}, { sockets })).toEqual([{ kind: "sk_assign", socket: 1 }]);
});

test("who sends: cgroups, class and network namespace", () => {
  const task = { cgroups: [1n, 0x1_0000_0007n], classId: 0x10_0001 };
  const ask = (items: readonly asm.AsmItem[]): number =>
    run("sched_cls", items, { task }, { cookie: 0x7_0000_0009n }).retval;
  const high = (items: readonly asm.AsmItem[]): readonly asm.AsmItem[] => [...items, asm.alu64Imm("rsh", R0, 32)];
  expect(ask(withContext(u.BPF_FUNC_skb_cgroup_id))).toBe(7);
  expect(ask(high(withContext(u.BPF_FUNC_skb_cgroup_id)))).toBe(1);
  expect(ask(withContext(u.BPF_FUNC_skb_ancestor_cgroup_id, 0))).toBe(1);
  expect(ask(withContext(u.BPF_FUNC_skb_ancestor_cgroup_id, 2))).toBe(0);
  expect(ask(withContext(u.BPF_FUNC_skb_cgroup_classid))).toBe(0x10_0001);
  expect(ask(withContext(u.BPF_FUNC_get_cgroup_classid))).toBe(0x10_0001);
  expect(ask(withContext(u.BPF_FUNC_get_netns_cookie))).toBe(9);
  expect(ask(high(withContext(u.BPF_FUNC_get_netns_cookie)))).toBe(7);
});

function zeros(at: number, bytes: number): readonly asm.AsmItem[] {
  return Array.from({ length: bytes / 4 }, (_, i) => asm.st("u32", R10, at + 4 * i, 0));
}
