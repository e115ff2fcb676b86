/** Kernel functions around sections in which nothing is freed or scheduled away: a run here is such a section as a whole. */
import type { Kfunc } from "./types.ts";

function section(name: string, since: string): Kfunc {
  return { name, since, args: [], result: "void", fn: () => 0 };
}

export const sectionKfuncs: readonly Kfunc[] = [
  section("bpf_rcu_read_lock", "6.2"),
  section("bpf_rcu_read_unlock", "6.2"),
  section("bpf_preempt_disable", "6.10"),
  section("bpf_preempt_enable", "6.10"),
];
