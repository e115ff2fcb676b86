/** Helpers that ask about the machine: time, CPU, random numbers. */
import type { Kernel } from "../kern/kernel.ts";
import { RUN_RESULT_HIGH } from "../kern/run_record.ts";
import { SB_CLOCK, SB_CLOCK_VIRTUAL, SB_RANDOM } from "../mem/layout.ts";
import type { HelperGen } from "../struct/gen.ts";
import {
  BPF_FUNC_get_numa_node_id,
  BPF_FUNC_get_prandom_u32,
  BPF_FUNC_get_smp_processor_id,
  BPF_FUNC_jiffies64,
  BPF_FUNC_ktime_get_boot_ns,
  BPF_FUNC_ktime_get_coarse_ns,
  BPF_FUNC_ktime_get_ns,
  BPF_FUNC_ktime_get_tai_ns,
} from "../uapi/index.ts";
import { const32, local32 } from "../wasm/expr.ts";
import type { Helper, HelperFn } from "./types.ts";

/** The host's one clock, as a u64. No BigInt: the virtual clock's halves are taken as they stand. */
function now(kernel: Kernel): number {
  const { u32 } = kernel.mem;
  const high = (kernel.run + RUN_RESULT_HIGH) >>> 2;
  if (u32[SB_CLOCK_VIRTUAL >>> 2] === 1) {
    u32[high] = u32[(SB_CLOCK >>> 2) + 1]!;
    return u32[SB_CLOCK >>> 2]!;
  }
  const time = kernel.nowNumber();
  u32[high] = time / 2 ** 32;
  return (time % 2 ** 32) | 0;
}

/** 250 a second, as most kernels have them. */
const NS_PER_JIFFY = 4_000_000n;

function jiffies(kernel: Kernel): number {
  const count = kernel.now() / NS_PER_JIFFY;
  kernel.mem.u32[(kernel.run + RUN_RESULT_HIGH) >>> 2] = Number(count >> 32n);
  return Number(BigInt.asUintN(32, count));
}

/** A virtual clock is a word of memory. */
const genNow: HelperGen = {
  inline: false,
  emit: ({ code, mem, run, helper }) => {
    if (mem.u32[SB_CLOCK_VIRTUAL >>> 2] !== 1) return helper;
    const clock = const32(code, SB_CLOCK);
    run.store(RUN_RESULT_HIGH, clock.load(4));
    return clock.load();
  },
};

/** As `random32`. */
const genRandom: HelperGen = {
  inline: false,
  emit: ({ code }) => {
    const state = const32(code, SB_RANDOM);
    const s0 = local32(code, state.load(0));
    const s1 = local32(code, state.load(4));
    const s2 = local32(code, state.load(8).xor(s0));
    const s3 = local32(code, state.load(12).xor(s1));
    state.store(4, s1.xor(s2));
    state.store(0, s0.xor(s3));
    state.store(8, s2.xor(s1.shl(9)));
    state.store(12, s3.rotl(11));
    return s1.mul(5).rotl(7).mul(9);
  },
};

function clock(name: string, since: string, gplOnly: boolean): Helper {
  return { name, since, gplOnly, args: [], result: "u64", fn: now, gen: genNow };
}

function number(name: string, since: string, fn: HelperFn, gen: HelperGen): Helper {
  return { name, since, gplOnly: false, args: [], result: "u32", fn, gen };
}

export const machineHelpers: Readonly<Record<number, Helper>> = {
  [BPF_FUNC_ktime_get_ns]: clock("bpf_ktime_get_ns", "4.1", false),
  [BPF_FUNC_ktime_get_boot_ns]: clock("bpf_ktime_get_boot_ns", "5.8", false),
  [BPF_FUNC_ktime_get_coarse_ns]: clock("bpf_ktime_get_coarse_ns", "5.11", false),
  [BPF_FUNC_ktime_get_tai_ns]: clock("bpf_ktime_get_tai_ns", "6.1", false),
  [BPF_FUNC_jiffies64]: { name: "bpf_jiffies64", since: "5.6", gplOnly: false, args: [], result: "u64", fn: jiffies },
  [BPF_FUNC_get_prandom_u32]: number("bpf_get_prandom_u32", "4.1", (kernel) => kernel.random32(), genRandom),
  [BPF_FUNC_get_smp_processor_id]: number("bpf_get_smp_processor_id", "4.1", (kernel) => kernel.cpu, {
    inline: true,
    emit: ({ cpu }) => cpu,
  }),
  // This host has one NUMA node.
  [BPF_FUNC_get_numa_node_id]: number("bpf_get_numa_node_id", "4.10", () => 0, { inline: true, emit: () => 0 }),
};
