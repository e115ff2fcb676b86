/** Runs that only embedded hosts have, of programs that see an skb. */
import { afterAll, expect, test } from "vitest";
import { createTestEmbedded } from "../../test/compiled.ts";
import * as asm from "../insn/index.ts";
import * as u from "../uapi/index.ts";
import { BpfError, type RunOptions, type RunResult } from "./index.ts";

const { R0, R1, R2, R3, R4, R6, R10 } = asm;
const { fields } = u.__sk_buff;
const hosts = [
  createTestEmbedded({ memory: 16 * 1024 * 1024, seed: 1 }),
  createTestEmbedded({ memory: 16 * 1024 * 1024, seed: 1, shared: true }),
  createTestEmbedded({ memory: 16 * 1024 * 1024, seed: 1, engine: "interp" }),
];
afterAll(() => {
  for (const host of hosts) {
    expect(host.leaks()).toEqual([]);
    host.close();
  }
});

/** The same on each of the hosts. r6 is the context. */
function run(type: string, attachType: number, items: readonly asm.AsmItem[], options: RunOptions): RunResult {
  const insns = asm.assemble([asm.mov64(R6, R1), ...items, asm.exit()]);
  const results = hosts.map((host) => {
    const program = host.loadProgram({ type, insns, license: "GPL", expectedAttachType: attachType });
    try {
      return program.run(options);
    } finally {
      program.close();
    }
  });
  const [one, other] = results.map((result) => ({ ...result, duration: 0 }));
  expect(other).toEqual(one);
  return results[0]!;
}

/** r0 = the byte of the packet, or -1 where it is too short. */
const byte = (at: number): readonly asm.AsmItem[] => [
  asm.mov64Imm(R0, -1),
  asm.ldx("u32", R2, R6, fields.data.offset),
  asm.ldx("u32", R3, R6, fields.data_end.offset),
  asm.mov64(R4, R2),
  asm.alu64Imm("add", R4, at + 1),
  asm.jmp("jgt", R4, R3, 1),
  asm.ldx("u8", R0, R2, at),
];
const field = (name: keyof typeof fields): readonly asm.AsmItem[] => [asm.ldx("u32", R0, R6, fields[name].offset)];
const MINUS = 0xffff_ffff;

const frame = (protocol: number, ...payload: readonly number[]): Uint8Array =>
  Uint8Array.of(...new Array<number>(12).fill(0), protocol >> 8, protocol & 0xff, ...payload);
const ipv6 = frame(0x86dd, 0x60, 0, 0, 0, 0, 0, 43, 64, ...Array.from({ length: 32 }, (_, i) => i), 9);

test("sk_skb: a parser sees the bytes of the stream and nothing else", () => {
  // Messages begin with their length.
  const parser = [...byte(0), asm.alu64Imm("add", R0, 1)];
  const type = u.BPF_SK_SKB_STREAM_PARSER;
  const data = Uint8Array.of(5, 1, 2, 3, 4, 5, 200);
  const result = run("sk_skb", type, parser, { data });
  expect(result).toMatchObject({ retval: 6, data, events: [], ctx: undefined });
  expect(run("sk_skb", type, field("len"), { data }).retval).toBe(7);
  expect(run("sk_skb", type, byte(6), { data }).retval).toBe(200);
  expect(run("sk_skb", type, byte(7), { data }).retval).toBe(MINUS);
  expect(run("sk_skb", type, byte(0), { data: new Uint8Array(0) }).retval).toBe(MINUS);
});

test("sk_skb: a verdict about a socket that is given, or one of IPv4", () => {
  const type = u.BPF_SK_SKB_STREAM_VERDICT;
  const data = Uint8Array.of(1, 2, 3, 4);
  const sock = new Uint8Array(u.bpf_sock.size);
  const view = new DataView(sock.buffer);
  const { fields: s } = u.bpf_sock;
  view.setUint32(s.family.offset, u.AF_INET6, true);
  view.setUint8(s.dst_ip6.offset, 0xfd);
  view.setUint16(s.dst_port.offset, 443);
  view.setUint32(s.src_port.offset, 8080, true);
  const ask = (name: keyof typeof fields, given: Uint8Array | undefined): number =>
    run("sk_skb", type, field(name), { data, ...(given === undefined ? {} : { sock: given }) }).retval;
  expect(ask("family", undefined)).toBe(u.AF_INET);
  expect(ask("remote_ip4", undefined)).toBe(0);
  expect(ask("protocol", undefined)).toBe(0x0008);
  expect(ask("family", sock)).toBe(u.AF_INET6);
  expect(ask("protocol", sock)).toBe(0xdd86);
  expect(ask("remote_ip6", sock)).toBe(0xfd);
  expect(ask("local_port", sock)).toBe(8080);
  // Port 443 in network byte order, in the upper half.
  expect(ask("remote_port", sock)).toBe(0xbb01_0000);
});

test("sk_skb: bytes and context that a verdict changes come back", () => {
  const items = [
    asm.st("u32", R6, fields.priority.offset, 7),
    asm.st("u16", R10, -8, 0x4241),
    asm.mov64(R1, R6),
    asm.mov64Imm(R2, 1),
    asm.mov64(R3, R10),
    asm.alu64Imm("add", R3, -8),
    asm.mov64Imm(R4, 2),
    asm.mov64Imm(asm.R5, 0),
    asm.call(u.BPF_FUNC_skb_store_bytes),
    asm.mov64(R1, R6),
    asm.mov64Imm(R2, 3),
    asm.mov64Imm(R3, 0),
    asm.call(u.BPF_FUNC_skb_change_tail),
  ];
  const data = Uint8Array.of(1, 2, 3, 4, 5);
  const ctx = new Uint8Array(u.__sk_buff.size);
  const result = run("sk_skb", u.BPF_SK_SKB_STREAM_VERDICT, items, { data, ctx });
  expect(result.retval).toBe(0);
  expect(result.data).toEqual(Uint8Array.of(1, 0x41, 0x42));
  expect(new DataView(result.ctx!.buffer).getUint32(fields.priority.offset, true)).toBe(7);
  expect(data).toEqual(Uint8Array.of(1, 2, 3, 4, 5));
  expect(ctx.every((each) => each === 0)).toBe(true);
});

test("lwt_seg6local: a packet from its network header on, as other tunnels", () => {
  const result = run("lwt_seg6local", 0, byte(6), { data: ipv6 });
  expect(result.retval).toBe(43);
  // The link header is an empty one afterwards.
  expect(result.data).toEqual(Uint8Array.of(...new Array<number>(14).fill(0), ...ipv6.subarray(14)));
  expect(run("lwt_seg6local", 0, byte(40), { data: ipv6 }).retval).toBe(9);
  expect(run("lwt_seg6local", 0, byte(41), { data: ipv6 }).retval).toBe(MINUS);
  const ctx = new Uint8Array(u.__sk_buff.size);
  new DataView(ctx.buffer).setUint32(fields.mark.offset, 77, true);
  expect(run("lwt_seg6local", 0, field("mark"), { data: ipv6, ctx }).retval).toBe(77);
});

test("what does not go with such a run is refused", () => {
  const pass = [asm.mov64Imm(R0, 1)];
  const wrong: readonly (readonly [string, RunOptions, RegExp])[] = [
    ["sk_skb", {}, /it wants a packet as `data`/],
    ["lwt_seg6local", { data: ipv6.subarray(0, 13) }, /at least 14/],
    ["lwt_seg6local", { data: ipv6.subarray(0, 40) }, /EINVAL/],
    ["sk_skb", { data: new Uint8Array(5000) }, /EINVAL/],
    ["sk_skb", { data: ipv6, ctx: new Uint8Array(u.__sk_buff.size + 8) }, /E2BIG/],
    ["sk_skb", { data: ipv6, ctx: new Uint8Array(8).fill(1) }, /EINVAL/],
  ];
  for (const [type, options, words] of wrong) {
    expect(() => run(type, 0, pass, options)).toThrow(words);
    expect(() => run(type, 0, pass, options)).toThrow(BpfError);
  }
});

test("a store beyond the stream's bytes is a fault", () => {
  const items = [asm.ldx("u32", R2, R6, fields.data.offset), asm.st("u8", R2, 4, 1), asm.mov64Imm(R0, 0)];
  expect(() => run("sk_skb", 0, items, { data: Uint8Array.of(1, 2, 3, 4) })).toThrow(/did what it must not do/);
});
