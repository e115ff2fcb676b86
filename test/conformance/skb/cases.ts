/** Runs of programs that see an skb: what is called, what the packet and the context are. */
import type { AttrObject } from "../../../src/host/host.ts";
import * as asm from "../../../src/insn/index.ts";
import * as u from "../../../src/uapi/index.ts";

const { R0, R1, R2, R3, R4, R5, R6, R7, R10 } = asm;
const { fields } = u.__sk_buff;
export type SkbField = keyof typeof u.__sk_buff.fields;

export interface SkbCase {
  readonly id: string;
  /** Default: sched_cls. */
  readonly type?: number;
  readonly attachType?: number;
  readonly code: readonly asm.AsmItem[];
  /** Default: the IPv4 packet. */
  readonly data?: Uint8Array;
  readonly ctx?: Partial<Record<SkbField, number>>;
  readonly attr?: AttrObject;
}

type Arg = number | bigint | "stack";
const argRegs: readonly asm.Reg[] = [R2, R3, R4, R5];
const STACK = 64;
const SLOTS = 5;

/** r0 = helper(ctx, ...); `stack` is the address of 64 bytes: 0x11, 0x22, ... */
export function call(helper: number, ...args: readonly Arg[]): readonly asm.AsmItem[] {
  return [
    asm.mov64(R1, R6),
    ...args.flatMap((arg, i): asm.AsmItem[] => {
      const reg = argRegs[i]!;
      if (arg === "stack") return [asm.mov64(reg, R10), asm.alu64Imm("add", reg, -STACK)];
      return typeof arg === "bigint" ? [asm.ldImm64(reg, arg)].flat() : [asm.mov64Imm(reg, arg)];
    }),
    asm.call(helper),
  ];
}

/** r0 = the field. */
export function load(name: SkbField, size: "u8" | "u16" | "u32" | "u64" = "u32", at = 0): readonly asm.AsmItem[] {
  return [asm.ldx(size, R0, R6, fields[name].offset + at)];
}

export function store(
  name: SkbField,
  value: number,
  size: "u8" | "u16" | "u32" | "u64" = "u32",
): readonly asm.AsmItem[] {
  return [asm.mov64Imm(R0, value), asm.stx(size, R6, R0, fields[name].offset)];
}

/** r0 = bytes of the stack at `call`'s address. */
export function fromStack(at = 0): readonly asm.AsmItem[] {
  return [asm.ldx("u32", R0, R10, at - STACK)];
}

/** r0 = data_end - data. */
export const linear: readonly asm.AsmItem[] = [
  asm.ldx("u32", R0, R6, fields.data_end.offset),
  asm.ldx("u32", R2, R6, fields.data.offset),
  asm.alu64("sub", R0, R2),
];

/** r0 = a word of the packet, read directly; -1 where it is too short. */
export function direct(at: number): readonly asm.AsmItem[] {
  return [
    asm.mov64Imm(R0, -1),
    asm.ldx("u32", R2, R6, fields.data.offset),
    asm.ldx("u32", R3, R6, fields.data_end.offset),
    asm.mov64(R4, R2),
    asm.alu64Imm("add", R4, at + 4),
    asm.jmp("jgt", R4, R3, 1),
    asm.ldx("u32", R0, R2, at),
  ];
}

/** Writes a word of the packet directly; r0 = 0, or -1 where it is too short. */
export function write(at: number, value: number): readonly asm.AsmItem[] {
  return [
    asm.mov64Imm(R0, -1),
    asm.ldx("u32", R2, R6, fields.data.offset),
    asm.ldx("u32", R3, R6, fields.data_end.offset),
    asm.mov64(R4, R2),
    asm.alu64Imm("add", R4, at + 4),
    asm.jmp("jgt", R4, R3, 2),
    asm.st("u32", R2, at, value),
    asm.mov64Imm(R0, 0),
  ];
}

/** What each part leaves in r0 goes to cb[0], cb[1], ...; the program returns `retval`. At most five parts. */
export function report(parts: readonly (readonly asm.AsmItem[])[], retval = 1): readonly asm.AsmItem[] {
  if (parts.length > SLOTS) throw new Error(`${parts.length} parts, there is room for ${SLOTS}`);
  return [
    asm.mov64(R6, R1),
    ...[0, 8, 16, 24, 32, 40, 48, 56]
      .flatMap((at) => [
        asm.ldImm64(R1, 0x8877_6655_4433_2211n + BigInt(at) * 0x0101_0101_0101_0101n),
        asm.stx("u64", R10, R1, at - STACK),
      ])
      .flat(),
    ...parts.flatMap((part, i) => [...part, asm.stx("u32", R6, R0, fields.cb.offset + 4 * i)]),
    asm.mov64Imm(R0, retval),
    asm.exit(),
  ];
}

/** LD_IND of bytes of the packet at `index` + `offset`. */
export function indirect(size: "u8" | "u16" | "u32", index: number, offset: number): readonly asm.AsmItem[] {
  return [asm.mov64Imm(R7, index), asm.ldInd(size, R7, offset)];
}

const ETHER = [0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0, 1];
const IPV4 = [0x45, 0x00, 0x00, 0x3c, 0x12, 0x34, 0x40, 0x00, 0x40, 0x06, 0x5b, 0xd0, 10, 0, 0, 1, 10, 9, 8, 7];
const TCP = [
  0x12, 0x34, 0x00, 0x50, 1, 2, 3, 4, 0, 0, 0, 0, 0x50, 0x02, 0x20, 0x00, 0xab, 0xcd, 0, 0, 5, 6, 7, 8, 9, 10, 11, 12,
];
const IPV6 = [0x60, 0x10, 0, 0, 0, 28, 6, 64, ...Array.from({ length: 32 }, (_, i) => 0x20 + i)];

const packet = (...parts: readonly (readonly number[])[]): Uint8Array => Uint8Array.from(parts.flat());
export const ipv4: Uint8Array = packet(ETHER, [0x08, 0x00], IPV4, TCP);
export const ipv6: Uint8Array = packet(ETHER, [0x86, 0xdd], IPV6, TCP);
export const tagged: Uint8Array = packet(ETHER, [0x81, 0x00, 0x20, 0x05, 0x08, 0x00], IPV4, TCP);
export const twiceTagged: Uint8Array = packet(
  ETHER,
  [0x88, 0xa8, 0x00, 0x07, 0x81, 0x00, 0x20, 0x05, 0x08, 0x00],
  IPV4,
  TCP,
);
/** Bytes without a meaning. */
export const noise: Uint8Array = Uint8Array.from({ length: 64 }, (_, i) => (i * 7 + 1) & 255);

/** A tos of 0, 1, 2, 3 in the IPv4 or IPv6 packet. */
export function ecn(of: Uint8Array, value: number): Uint8Array {
  const changed = of.slice();
  if (of === ipv4) changed[15] = value;
  else changed[15] = (changed[15]! & 0xcf) | (value << 4);
  return changed;
}

export const SOCKET: number = u.BPF_PROG_TYPE_SOCKET_FILTER;
export const CGROUP: number = u.BPF_PROG_TYPE_CGROUP_SKB;
export const XMIT: number = u.BPF_PROG_TYPE_LWT_XMIT;
export const types: readonly (readonly [string, number])[] = [
  ["cls", u.BPF_PROG_TYPE_SCHED_CLS],
  ["act", u.BPF_PROG_TYPE_SCHED_ACT],
  ["socket", SOCKET],
  ["cgroup", CGROUP],
  ["in", u.BPF_PROG_TYPE_LWT_IN],
  ["out", u.BPF_PROG_TYPE_LWT_OUT],
  ["xmit", XMIT],
  ["seg6", u.BPF_PROG_TYPE_LWT_SEG6LOCAL],
];
export const packets: readonly (readonly [string, Uint8Array])[] = [
  ["ipv4", ipv4],
  ["ipv6", ipv6],
  ["vlan", tagged],
  ["vlan2", twiceTagged],
  ["noise", noise],
  ["short", ipv4.subarray(0, 14)],
  ["802.3", Uint8Array.of(...ipv4.subarray(0, 12), 0, 20, 0xff, 0xff, ...new Array<number>(30).fill(3))],
  ["802.2", Uint8Array.of(...ipv4.subarray(0, 12), 0, 20, 0x42, 0x42, ...new Array<number>(30).fill(3))],
  ["multicast", Uint8Array.of(1, ...ipv4.subarray(1))],
  ["broadcast", Uint8Array.of(255, 255, 255, 255, 255, 255, ...ipv4.subarray(6))],
  ["other-host", Uint8Array.of(2, ...ipv4.subarray(1))],
];

export const pass: readonly asm.AsmItem[] = report([]);
export const RELATIVE: number = u.BPF_FUNC_skb_load_bytes_relative;
export const TAIL: number = u.BPF_FUNC_skb_change_tail;
export const COMPLETE: AttrObject = { flags: u.BPF_F_TEST_SKB_CHECKSUM_COMPLETE };
