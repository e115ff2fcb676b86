/** XDP programs that make one call on a map, with what they need in the packet: how sequences use maps from programs. */
import type { Host } from "../../../src/host/host.ts";
import * as asm from "../../../src/insn/index.ts";
import * as u from "../../../src/uapi/index.ts";
import type { ProgramCall } from "./op.ts";

const { R0, R1, R2, R3, R4, R6, R7, R8, R10 } = asm;

interface Sizes {
  readonly keySize: number;
  readonly valueSize: number;
}

/** Where flags (at 0), a number (at 8), key and value are in the packet. */
export interface PacketLayout {
  readonly key: number;
  readonly value: number;
  readonly valueBytes: number;
  readonly size: number;
}

/** What a ring's programs write, at most. */
const RECORD = 64;
/** A value on the stack. */
const STACK = 64;

export function packetLayout({ keySize, valueSize }: Sizes): PacketLayout {
  const value = 16 + Math.ceil(keySize / 8) * 8;
  const valueBytes = Math.max(RECORD, Math.ceil(valueSize / 8) * 8);
  return { key: 16, value, valueBytes, size: value + valueBytes };
}

const helpers = {
  lookup: u.BPF_FUNC_map_lookup_elem,
  update: u.BPF_FUNC_map_update_elem,
  delete: u.BPF_FUNC_map_delete_elem,
  push: u.BPF_FUNC_map_push_elem,
  pop: u.BPF_FUNC_map_pop_elem,
  peek: u.BPF_FUNC_map_peek_elem,
  output: u.BPF_FUNC_ringbuf_output,
} as const satisfies Record<ProgramCall, number>;

/** r7 is the packet. Leaves what the call gave in r0: of a value that was found 256 and its first byte. */
function body(call: ProgramCall, layout: PacketLayout): asm.AsmItem[] {
  const packet = (reg: asm.Reg, at: number): asm.AsmItem[] => [asm.mov64(reg, R7), asm.alu64Imm("add", reg, at)];
  const stack = (reg: asm.Reg): asm.AsmItem[] => [asm.mov64(reg, R10), asm.alu64Imm("add", reg, -STACK)];
  const copied = Array.from({ length: STACK / 8 }, (_, i) => [
    asm.ldx("u64", R0, R7, layout.value + i * 8),
    asm.stx("u64", R10, R0, i * 8 - STACK),
  ]);
  const helper = asm.call(helpers[call]);
  switch (call) {
    case "lookup":
      return [
        ...packet(R2, layout.key),
        helper,
        asm.jmpImm("jeq", R0, 0, "end"),
        asm.ldx("u8", R0, R0, 0),
        asm.alu64Imm("add", R0, 256),
      ];
    case "update":
      return [...packet(R2, layout.key), ...packet(R3, layout.value), asm.ldx("u64", R4, R7, 0), helper];
    case "delete":
      return [...packet(R2, layout.key), helper];
    case "push":
      return [...packet(R2, layout.value), asm.ldx("u64", R3, R7, 0), helper];
    case "pop":
    case "peek":
      return [
        ...copied,
        ...stack(R2),
        helper,
        asm.jmpImm("jne", R0, 0, "end"),
        asm.ldx("u8", R0, R10, -STACK),
        asm.alu64Imm("add", R0, 256),
      ];
    case "output":
      return [
        ...copied,
        ...stack(R2),
        asm.ldx("u8", R3, R7, 8),
        asm.alu64Imm("and", R3, RECORD - 1),
        asm.ldx("u64", R4, R7, 0),
        helper,
      ];
    default: {
      const unknown: never = call;
      throw new Error(`no such call of a program: ${unknown}`);
    }
  }
}

/** Where in a program's bytes the map's fd is: the immediate of its first instruction. */
const MAP_FD_AT = 4;

/** The program, for any map with these sizes: its first instruction names the map. */
export function runnerInsns(call: ProgramCall, sizes: Sizes): Uint8Array {
  const layout = packetLayout(sizes);
  const insns = asm.assemble([
    asm.ldMapFd(R6, 0),
    asm.mov64Imm(R0, 0),
    asm.ldx("u32", R7, R1, 0),
    asm.ldx("u32", R8, R1, 4),
    asm.mov64(R2, R7),
    asm.alu64Imm("add", R2, layout.size),
    asm.jmp("jgt", R2, R8, "end"),
    asm.mov64(R1, R6),
    ...body(call, layout),
    asm.label("end"),
    asm.exit(),
  ]);
  return asm.encodeInsns(insns);
}

/** The fd of the program `insns` for a map. */
export function loadRunner(host: Host, insns: Uint8Array, map: number): number {
  new DataView(insns.buffer, insns.byteOffset).setUint32(MAP_FD_AT, map, true);
  const attr = { prog_type: u.BPF_PROG_TYPE_XDP, insn_cnt: insns.length / 8, insns, license: "GPL" };
  const fd = host.bpf(u.BPF_PROG_LOAD, attr);
  if (fd >= 0) return fd;
  const log = new Uint8Array(1 << 16);
  host.bpf(u.BPF_PROG_LOAD, { ...attr, log_level: 1, log_buf: log, log_size: log.length });
  throw new Error(`PROG_LOAD: ${fd} ${new TextDecoder().decode(log.subarray(0, log.indexOf(0)))}`);
}
