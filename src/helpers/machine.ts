/** Helpers that ask about the machine: time, CPU, random numbers. */
import type { Kernel } from "../kern/kernel.ts";
import { RUN_RESULT_HIGH } from "../kern/run_record.ts";
import { SB_CLOCK, SB_CLOCK_VIRTUAL } from "../mem/layout.ts";
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
import type { Helper, HelperFn } from "./types.ts";

/** The host's one clock, as a u64. The virtual clock's halves are taken as they stand: no BigInt. */
function now(kernel: Kernel): number {
  const { u32 } = kernel.mem;
  const high = (kernel.run + RUN_RESULT_HIGH) >>> 2;
  if (u32[SB_CLOCK_VIRTUAL >>> 2] === 1) {
    u32[high] = u32[(SB_CLOCK >>> 2) + 1]!;
    return u32[SB_CLOCK >>> 2]!;
  }
  const time = kernel.now();
  u32[high] = Number(time >> 32n);
  return Number(BigInt.asUintN(32, time));
}

/** 250 a second, as most kernels have them. */
const NS_PER_JIFFY = 4_000_000n;

function jiffies(kernel: Kernel): number {
  const count = kernel.now() / NS_PER_JIFFY;
  kernel.mem.u32[(kernel.run + RUN_RESULT_HIGH) >>> 2] = Number(count >> 32n);
  return Number(BigInt.asUintN(32, count));
}

function clock(name: string, since: string, gplOnly: boolean): Helper {
  return { name, since, gplOnly, args: [], result: "u64", fn: now };
}

function number(name: string, since: string, fn: HelperFn): Helper {
  return { name, since, gplOnly: false, args: [], result: "u32", fn };
}

export const machineHelpers: Readonly<Record<number, Helper>> = {
  [BPF_FUNC_ktime_get_ns]: clock("bpf_ktime_get_ns", "4.1", false),
  [BPF_FUNC_ktime_get_boot_ns]: clock("bpf_ktime_get_boot_ns", "5.8", false),
  [BPF_FUNC_ktime_get_coarse_ns]: clock("bpf_ktime_get_coarse_ns", "5.11", false),
  [BPF_FUNC_ktime_get_tai_ns]: clock("bpf_ktime_get_tai_ns", "6.1", false),
  [BPF_FUNC_jiffies64]: { ...clock("bpf_jiffies64", "5.6", false), fn: jiffies },
  [BPF_FUNC_get_prandom_u32]: number("bpf_get_prandom_u32", "4.1", (kernel) => kernel.random32()),
  [BPF_FUNC_get_smp_processor_id]: number("bpf_get_smp_processor_id", "4.1", (kernel) => kernel.cpu),
  // This host has one NUMA node.
  [BPF_FUNC_get_numa_node_id]: number("bpf_get_numa_node_id", "4.10", () => 0),
};
