/**
 * Random programs that run on a packet: a few calls of the helpers that their type may call, with arguments that are mostly
 * good, between loads and stores of context and packet; with tail calls, functions that helpers call, exceptions. What
 * helpers return, and what the context says, is summed up in r7, which the program returns; no address is.
 */
import { parseBtf } from "../src/btf/index.ts";
import { contextOf } from "../src/contexts/table.ts";
import { kernelBtf } from "../src/helpers/kernel_btf.ts";
import { helperTable } from "../src/helpers/table.ts";
import type { Helper, HelperArg } from "../src/helpers/types.ts";
import * as asm from "../src/insn/index.ts";
import * as u from "../src/uapi/index.ts";

type Rnd = (n: number) => number;
const { R0, R1, R2, R3, R6, R7, R8, R9, R10 } = asm;

/** fds of maps of all types that helpers of these programs take. */
export type SoupFds = Readonly<
  Record<"hash" | "lru" | "array" | "ring" | "queue" | "devices" | "programs" | "inner", number>
>;

export type PacketType =
  | "xdp"
  | "sched_cls"
  | "sched_act"
  | "socket_filter"
  | "cgroup_skb"
  | "lwt_in"
  | "lwt_out"
  | "lwt_xmit";

export const packetTypes: Readonly<Record<PacketType, number>> = {
  xdp: u.BPF_PROG_TYPE_XDP,
  sched_cls: u.BPF_PROG_TYPE_SCHED_CLS,
  sched_act: u.BPF_PROG_TYPE_SCHED_ACT,
  socket_filter: u.BPF_PROG_TYPE_SOCKET_FILTER,
  cgroup_skb: u.BPF_PROG_TYPE_CGROUP_SKB,
  lwt_in: u.BPF_PROG_TYPE_LWT_IN,
  lwt_out: u.BPF_PROG_TYPE_LWT_OUT,
  lwt_xmit: u.BPF_PROG_TYPE_LWT_XMIT,
};

const everywhere: readonly number[] = [
  u.BPF_FUNC_map_lookup_elem,
  u.BPF_FUNC_map_update_elem,
  u.BPF_FUNC_map_delete_elem,
  u.BPF_FUNC_map_push_elem,
  u.BPF_FUNC_map_pop_elem,
  u.BPF_FUNC_ringbuf_output,
  u.BPF_FUNC_ringbuf_reserve,
  u.BPF_FUNC_ringbuf_reserve_dynptr,
  u.BPF_FUNC_ringbuf_submit_dynptr,
  u.BPF_FUNC_ringbuf_query,
  u.BPF_FUNC_get_smp_processor_id,
  u.BPF_FUNC_get_prandom_u32,
  u.BPF_FUNC_trace_printk,
  u.BPF_FUNC_tail_call,
  u.BPF_FUNC_loop,
  u.BPF_FUNC_dynptr_from_mem,
  u.BPF_FUNC_ktime_get_ns,
];
const mapOf: Readonly<Record<number, readonly (keyof SoupFds)[]>> = {
  [u.BPF_FUNC_map_lookup_elem]: ["hash", "lru", "array", "inner"],
  [u.BPF_FUNC_map_update_elem]: ["hash", "lru", "array"],
  [u.BPF_FUNC_map_delete_elem]: ["hash", "lru"],
  [u.BPF_FUNC_map_push_elem]: ["queue"],
  [u.BPF_FUNC_map_pop_elem]: ["queue"],
  [u.BPF_FUNC_ringbuf_output]: ["ring"],
  [u.BPF_FUNC_ringbuf_reserve]: ["ring"],
  [u.BPF_FUNC_ringbuf_reserve_dynptr]: ["ring"],
  [u.BPF_FUNC_ringbuf_query]: ["ring"],
  [u.BPF_FUNC_tail_call]: ["programs"],
  [u.BPF_FUNC_redirect_map]: ["devices"],
};

const NUMBERS = [
  0, 0, 0, 0, 1, 1, 2, 3, 4, 5, 7, 8, 12, 14, 16, 18, 20, 22, 34, 36, 38, 44, 60, 64, 100, 600, 3600, 0x81, 0x0081,
  0xa888, 0xdd86, 0x0008, 0xffff, -1, -2, -4, -8, -14, -18, -20, 0x7fff_ffff, 256, 512, 0x10, 0x20, 0x40,
] as const;

const { types: kernelTypes } = parseBtf(kernelBtf());
const kfunc = (wanted: string): asm.Insn =>
  asm.callKfunc(kernelTypes.findIndex((type) => type.kind === "func" && type.name === wanted));

/** Bytes below r10: what is read, what is written, objects. */
const READ = -128;
const WRITE = -256;
const OBJECT = -288;

class Writer {
  readonly #rnd: Rnd;
  readonly #type: number;
  readonly #fds: SoupFds;
  readonly #helpers: readonly number[];
  #labels = 0;

  constructor(rnd: Rnd, type: number, fds: SoupFds) {
    this.#rnd = rnd;
    this.#type = type;
    this.#fds = fds;
    const own = contextOf(type)!.helpers;
    this.#helpers = [...own, ...own, ...everywhere].filter((id) => helperTable[id] !== undefined);
  }

  items(): asm.AsmItem[] {
    const rnd = this.#rnd;
    const steps = Array.from({ length: 1 + rnd(6) }, () => this.#step(true));
    const inLoop = Array.from({ length: 1 + rnd(2) }, () => this.#step(false));
    return [
      asm.mov64(R6, R1),
      // Functions that nothing refers to are refused.
      asm.ldFunc(R8, "turn"),
      asm.mov64Imm(R7, rnd(9)),
      asm.mov64Imm(R8, 0),
      asm.mov64Imm(R9, 0),
      this.#fill(),
      steps,
      asm.label("end"),
      asm.mov64(R0, R7),
      asm.exit(),
      asm.label("turn"),
      asm.mov64(R6, R2),
      asm.mov64Imm(R7, 0),
      asm.mov64Imm(R8, 0),
      asm.mov64Imm(R9, 0),
      inLoop,
      asm.mov64Imm(R0, rnd(8) === 0 ? 1 : 0),
      asm.exit(),
    ];
  }

  #pick<T>(of: readonly T[]): T {
    return of[this.#rnd(of.length)]!;
  }

  #label(): string {
    return `l${this.#labels++}`;
  }

  /** The bytes that helpers read. */
  #fill(): asm.AsmItem[] {
    return Array.from({ length: 1 + this.#rnd(8) }, (_, i) => asm.st("u64", R10, READ + 8 * i, this.#pick(NUMBERS)));
  }

  #sum(): asm.AsmItem[] {
    return [asm.alu64Imm("mul", R7, 31), asm.alu64("add", R7, R0)];
  }

  #step(main: boolean): asm.AsmItem[] {
    const rnd = this.#rnd;
    switch (rnd(14)) {
      case 12:
        return main ? this.#control() : [];
      case 13:
        return this.#dynptr();
      case 0:
      case 1:
        return this.#readContext();
      case 2:
        return this.#writeContext();
      case 3:
        return this.#packet();
      case 4:
        if (!contextOf(this.#type)!.packetLoads) return [];
        return [asm.ldAbs(this.#pick(["u8", "u16", "u32"]), rnd(40)), this.#sum()];
      case 5:
        return rnd(4) === 0 ? [this.#fill()] : [this.#readWritten()];
      case 6:
        return main && rnd(6) === 0 ? [asm.mov64Imm(R1, 9), asm.ldx("u8", R0, R1, rnd(2))] : [];
      default:
        return this.#call(main);
    }
  }

  #control(): asm.AsmItem[] {
    const around = this.#label();
    switch (this.#rnd(6)) {
      case 0:
        return [asm.jmpImm("jset", R7, 3, around), asm.mov64(R1, R7), kfunc("bpf_throw"), asm.label(around)];
      case 1: {
        const again = this.#label();
        return [
          asm.label(again),
          asm.alu64Imm("add", R7, 3),
          asm.jmpImm("jset", R7, 64, around),
          asm.mayGoto(again),
          asm.label(around),
        ];
      }
      case 2:
        return [asm.mov64(R1, R6), asm.mov64(R2, R6), asm.callRel("turn"), this.#sum()];
      case 3:
        // More than there is of the budget, at times.
        return [
          asm.mov64Imm(R8, this.#pick([10, 700, 1100])),
          asm.label(around),
          asm.alu64Imm("sub", R8, 1),
          asm.jmpImm("jne", R8, 0, around),
        ];
      default:
        return [];
    }
  }

  #dynptr(): asm.AsmItem[] {
    const none = this.#label();
    const below = (reg: asm.Reg, offset: number): asm.AsmItem[] => [
      asm.mov64(reg, R10),
      asm.alu64Imm("add", reg, offset),
    ];
    const write = this.#rnd(2) === 0;
    return [
      asm.mov64(R1, R6),
      asm.mov64Imm(R2, 0),
      below(R3, OBJECT),
      kfunc(this.#type === u.BPF_PROG_TYPE_XDP ? "bpf_dynptr_from_xdp" : "bpf_dynptr_from_skb"),
      this.#sum(),
      below(R1, OBJECT),
      asm.mov64Imm(R2, this.#pick([0, 3, 14, 40])),
      below(R3, WRITE),
      asm.mov64Imm(asm.R4, 8),
      kfunc(write ? "bpf_dynptr_slice_rdwr" : "bpf_dynptr_slice"),
      asm.jmpImm("jeq", R0, 0, none),
      write && this.#rnd(2) === 0 ? asm.st("u32", R0, 0, 0x99) : [],
      asm.ldx("u64", R0, R0, 0),
      this.#sum(),
      asm.label(none),
    ];
  }

  #readWritten(): asm.AsmItem[] {
    return Array.from({ length: 4 }, () => [asm.ldx("u64", R0, R10, WRITE + 8 * this.#rnd(16)), this.#sum()]);
  }

  #readContext(): asm.AsmItem[] {
    const isXdp = this.#type === u.BPF_PROG_TYPE_XDP;
    const { data, data_end, data_meta } = u.__sk_buff.fields;
    for (;;) {
      const offset = 4 * this.#rnd((isXdp ? u.xdp_md.size : u.__sk_buff.size) / 4);
      if (isXdp ? offset < 12 : [data, data_end, data_meta].some((field) => field.offset === offset)) continue;
      if (offset === u.__sk_buff.fields.sk.offset || offset === u.__sk_buff.fields.flow_keys.offset) continue;
      if (!contextOf(this.#type)!.access(offset, 4, false, 0, 0)) continue;
      return [asm.ldx("u32", R0, R6, offset), this.#sum()];
    }
  }

  #writeContext(): asm.AsmItem[] {
    if (this.#type === u.BPF_PROG_TYPE_XDP) return [];
    for (;;) {
      const offset = 4 * this.#rnd(u.__sk_buff.size / 4);
      if (!contextOf(this.#type)!.access(offset, 4, true, 0, 0)) {
        if (this.#rnd(50) === 0) return [];
        continue;
      }
      return [asm.st("u32", R6, offset, this.#pick(NUMBERS))];
    }
  }

  #packet(): asm.AsmItem[] {
    const isXdp = this.#type === u.BPF_PROG_TYPE_XDP;
    const fields = isXdp ? u.xdp_md.fields : u.__sk_buff.fields;
    if (!contextOf(this.#type)!.access(fields.data.offset, 4, false, 0, 0)) return [];
    const out = this.#label();
    const at = this.#pick([0, 4, 12, 14, 20, 30]);
    const meta = this.#rnd(4) === 0 && contextOf(this.#type)!.access(fields.data_meta.offset, 4, false, 0, 0);
    const from = meta ? fields.data_meta : fields.data;
    const to = meta ? fields.data : fields.data_end;
    return [
      asm.ldx("u32", R2, R6, from.offset),
      asm.ldx("u32", R3, R6, to.offset),
      asm.mov64(R1, R2),
      asm.alu64Imm("add", R1, at + 4),
      asm.jmp("jgt", R1, R3, out),
      asm.ldx("u32", R0, R2, at),
      this.#sum(),
      this.#rnd(2) === 0 ? [asm.st("u16", R2, at + 2, 0x1234 + this.#rnd(9))] : [],
      asm.label(out),
    ];
  }

  #call(main: boolean): asm.AsmItem[] {
    const rnd = this.#rnd;
    const id = this.#pick(this.#helpers);
    if (!main && (id === u.BPF_FUNC_loop || id === u.BPF_FUNC_tail_call)) return [];
    const helper = helperTable[id]!;
    const out = this.#label();
    const args: asm.AsmItem[] = [];
    for (const [i, arg] of helper.args.entries()) {
      const items = this.#arg(id, helper, arg, i, (i + 1) as asm.Reg, out);
      if (items === undefined) return [];
      args.push(items);
    }
    const after: asm.AsmItem[] = [];
    if (helper.result === "pointer") {
      const none = this.#label();
      after.push(asm.jmpImm("jeq", R0, 0, none), asm.alu64Imm("add", R7, 1));
      if (id === u.BPF_FUNC_map_lookup_elem) {
        if (!args.some((item) => Array.isArray(item) && JSON.stringify(item).includes(`:${this.#fds.inner}`))) {
          after.push(
            asm.ldx("u32", R1, R0, 0),
            asm.alu64("add", R7, R1),
            asm.alu64Imm("add", R1, 1),
            asm.stx("u32", R0, R1, 0),
          );
        }
      } else if (id === u.BPF_FUNC_ringbuf_reserve) after.push(asm.mov64(R9, R0));
      else if (/sk_lookup|skc_lookup|get_listener/.test(helper.name)) {
        after.push(
          asm.ldx("u32", R1, R0, 4 * rnd(10)),
          asm.alu64("add", R7, R1),
          rnd(2) === 0 ? [asm.mov64(R8, R0)] : [],
        );
      }
      after.push(asm.label(none));
    } else if (helper.result !== "void" && helper.result !== "program") after.push(this.#sum());
    return [args, asm.call(id), after, asm.label(out)];
  }

  #arg(id: number, { name }: Helper, arg: HelperArg, i: number, reg: asm.Reg, out: string): asm.AsmItem[] | undefined {
    const rnd = this.#rnd;
    const below = (offset: number): asm.AsmItem[] => [asm.mov64(reg, R10), asm.alu64Imm("add", reg, offset)];
    if (typeof arg === "object") {
      if ("fixed" in arg) return below(arg.write ? WRITE : READ);
      if ("object" in arg) return below(OBJECT);
      if ("stack" in arg) return below(OBJECT);
      return undefined;
    }
    switch (arg) {
      case "ctx":
      case "ctxOrNull":
        return [asm.mov64(reg, R6)];
      case "map": {
        const maps = mapOf[id];
        return maps === undefined ? undefined : [asm.ldMapFd(reg, this.#fds[this.#pick(maps)])];
      }
      case "key":
        return below(READ + 8 * rnd(8));
      case "value":
      case "mem":
      case "memOrNull":
      case "cstring":
        return below(READ);
      case "valueOut":
      case "memOut":
      case "memOutOrNull":
      case "buffer":
        return below(WRITE);
      case "size":
      case "sizeOrZero": {
        if (/tunnel_key/.test(name)) return [asm.mov64Imm(reg, this.#pick([16, 24, 28, 40, 44, 44, 44]))];
        if (/lookup_tcp|lookup_udp/.test(name)) return [asm.mov64Imm(reg, this.#pick([12, 36]))];
        if (/fib_lookup/.test(name)) return [asm.mov64Imm(reg, 64)];
        if (/perf_event_output|ringbuf_output/.test(name)) return [asm.mov64Imm(reg, this.#pick([1, 8, 16, 60]))];
        return [asm.mov64Imm(reg, this.#pick([1, 2, 4, 6, 8, 8, 12, 16, 20, 40, 64, 100, 128]))];
      }
      case "record":
        return [asm.jmpImm("jeq", R9, 0, out), asm.mov64(reg, R9), asm.mov64Imm(R9, 0)];
      case "socket":
      case "socketOrNull":
        return [asm.ldx("u64", reg, R6, u.__sk_buff.fields.sk.offset), asm.jmpImm("jeq", reg, 0, out)];
      case "lookedUp":
        return [asm.jmpImm("jeq", R8, 0, out), asm.mov64(reg, R8), asm.mov64Imm(R8, 0)];
      case "callback":
        return id === u.BPF_FUNC_loop ? [asm.ldFunc(reg, "turn")] : undefined;
      default: {
        if (id === u.BPF_FUNC_loop)
          return i === 0 ? [asm.mov64Imm(reg, rnd(4))] : i === 2 ? [asm.mov64(reg, R6)] : [asm.mov64Imm(reg, 0)];
        if (id === u.BPF_FUNC_tail_call) return [asm.mov64Imm(reg, rnd(5))];
        if (/ringbuf_reserve/.test(name) && i === 1) return [asm.mov64Imm(reg, 8 * (1 + rnd(8)))];
        if (/ringbuf/.test(name)) return [asm.mov64Imm(reg, this.#pick([0, 0, 0, 1, 2]))];
        if (/perf_event_output/.test(name)) return [asm.ldImm64(reg, 0xffff_ffffn)];
        if (/redirect|clone/.test(name)) return [asm.mov64Imm(reg, this.#pick([0, 1, 1, 7, 7, 3]))];
        if (/lookup_tcp|lookup_udp/.test(name)) return [asm.mov64Imm(reg, i === 3 ? -1 : 0)];
        if (/adjust_room/.test(name) && i === 2) return [asm.mov64Imm(reg, rnd(2))];
        if (/store_bytes|change_|tunnel/.test(name) && i >= 2 && rnd(4) > 0)
          return [asm.mov64Imm(reg, this.#pick([0, 0, 0, 1, 2, 3]))];
        if (/csum_replace/.test(name) && rnd(2) > 0) return [asm.mov64Imm(reg, this.#pick([0, 2, 4, 24, 36, 40]))];
        return [asm.mov64Imm(reg, this.#pick(NUMBERS))];
      }
    }
  }
}

export function packetSoup(rnd: Rnd, type: number, fds: SoupFds): asm.Insn[] {
  return asm.assemble(new Writer(rnd, type, fds).items());
}
