/** Kernel functions around sections in which nothing is freed or scheduled away: a run here is such a section as a whole. */
import type { Kfunc } from "./types.ts";

function section(name: string, since: string): Kfunc {
  return { name, since, args: [], result: "void", fn: () => 0 };
}

/** The flags are the kernel's: nothing stands in them here. */
function irq(name: string): Kfunc {
  return { name, since: "6.14", args: [{ stack: 8 }], result: "void", fn: () => 0 };
}

/** An assertion that failed: see `vm/exception.ts`. */
const throwKfunc: Kfunc = { name: "bpf_throw", since: "6.7", args: ["u64"], result: "throw", fn: () => 0 };

export const sectionKfuncs: readonly Kfunc[] = [
  section("bpf_rcu_read_lock", "6.2"),
  section("bpf_rcu_read_unlock", "6.2"),
  section("bpf_preempt_disable", "6.10"),
  section("bpf_preempt_enable", "6.10"),
  irq("bpf_local_irq_save"),
  irq("bpf_local_irq_restore"),
  throwKfunc,
];
