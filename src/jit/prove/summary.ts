/**
 * What calls leave as it was. Helpers that are in no list may do anything: move the packet, give records back, write the
 * stack through any argument.
 */
import { kfuncTable } from "../../helpers/kfunc_table.ts";
import { helperTable } from "../../helpers/table.ts";
import type { Callable } from "../../helpers/types.ts";
import * as u from "../../uapi/index.ts";
import type { Func, JitProgram, Op } from "../program.ts";

/** Move or change the packet, but reach memory through arguments that the prototype names as memory only. */
const movers: readonly number[] = [
  u.BPF_FUNC_xdp_adjust_head,
  u.BPF_FUNC_xdp_adjust_meta,
  u.BPF_FUNC_xdp_adjust_tail,
  u.BPF_FUNC_xdp_store_bytes,
  u.BPF_FUNC_skb_store_bytes,
  u.BPF_FUNC_skb_pull_data,
  u.BPF_FUNC_skb_change_tail,
  u.BPF_FUNC_skb_change_head,
  u.BPF_FUNC_skb_change_proto,
  u.BPF_FUNC_skb_adjust_room,
  u.BPF_FUNC_skb_vlan_push,
  u.BPF_FUNC_skb_vlan_pop,
  u.BPF_FUNC_l3_csum_replace,
  u.BPF_FUNC_l4_csum_replace,
  u.BPF_FUNC_clone_redirect,
];

/** As those, and they leave the packet's bounds alone. */
const quiet: readonly number[] = [
  u.BPF_FUNC_map_lookup_elem,
  u.BPF_FUNC_map_lookup_percpu_elem,
  u.BPF_FUNC_map_update_elem,
  u.BPF_FUNC_map_delete_elem,
  u.BPF_FUNC_map_push_elem,
  u.BPF_FUNC_map_pop_elem,
  u.BPF_FUNC_map_peek_elem,
  u.BPF_FUNC_tail_call,
  u.BPF_FUNC_ktime_get_ns,
  u.BPF_FUNC_ktime_get_boot_ns,
  u.BPF_FUNC_ktime_get_coarse_ns,
  u.BPF_FUNC_ktime_get_tai_ns,
  u.BPF_FUNC_jiffies64,
  u.BPF_FUNC_get_prandom_u32,
  u.BPF_FUNC_get_smp_processor_id,
  u.BPF_FUNC_get_numa_node_id,
  u.BPF_FUNC_get_current_pid_tgid,
  u.BPF_FUNC_get_current_uid_gid,
  u.BPF_FUNC_get_current_cgroup_id,
  u.BPF_FUNC_get_current_comm,
  u.BPF_FUNC_ringbuf_reserve,
  u.BPF_FUNC_ringbuf_submit,
  u.BPF_FUNC_ringbuf_discard,
  u.BPF_FUNC_ringbuf_output,
  u.BPF_FUNC_ringbuf_query,
  u.BPF_FUNC_perf_event_output,
  u.BPF_FUNC_redirect,
  u.BPF_FUNC_redirect_map,
  u.BPF_FUNC_redirect_peer,
  u.BPF_FUNC_fib_lookup,
  u.BPF_FUNC_csum_diff,
  u.BPF_FUNC_xdp_get_buff_len,
  u.BPF_FUNC_xdp_load_bytes,
  u.BPF_FUNC_skb_load_bytes,
  u.BPF_FUNC_skb_load_bytes_relative,
  u.BPF_FUNC_get_hash_recalc,
  u.BPF_FUNC_get_socket_cookie,
  u.BPF_FUNC_get_socket_uid,
  u.BPF_FUNC_spin_lock,
  u.BPF_FUNC_spin_unlock,
];

/** Read through any address, but write by their prototype only, and leave the packet's bounds alone. */
const readers: readonly number[] = [
  u.BPF_FUNC_trace_printk,
  u.BPF_FUNC_trace_vprintk,
  u.BPF_FUNC_snprintf,
  u.BPF_FUNC_probe_read,
  u.BPF_FUNC_probe_read_str,
  u.BPF_FUNC_probe_read_kernel,
  u.BPF_FUNC_probe_read_kernel_str,
  u.BPF_FUNC_probe_read_user,
  u.BPF_FUNC_probe_read_user_str,
  u.BPF_FUNC_get_current_task,
];

/** Call a function of the program, and by themselves do no more than what `quiet` ones do. */
const callers: readonly number[] = [u.BPF_FUNC_loop, u.BPF_FUNC_for_each_map_elem];

/** Give a ring's record back. */
const givers: readonly number[] = [u.BPF_FUNC_ringbuf_submit, u.BPF_FUNC_ringbuf_discard];

export interface Effects {
  readonly keepsPacket: boolean;
  readonly keepsRings: boolean;
  /** It writes no memory but what the prototype says. */
  readonly writesByPrototype: boolean;
  /** It reads no memory but what the prototype says. */
  readonly readsByPrototype: boolean;
}

const ALL: Effects = { keepsPacket: false, keepsRings: false, writesByPrototype: false, readsByPrototype: false };

const helperEffects: ReadonlyMap<number, Effects> = new Map(
  [...movers, ...quiet, ...readers].map((id) => [
    id,
    {
      keepsPacket: !movers.includes(id),
      keepsRings: !givers.includes(id),
      writesByPrototype: true,
      readsByPrototype: !readers.includes(id),
    },
  ]),
);

/** The helper or kernel function that is called, or undefined: a function of the program. */
export function callableOf(op: Op): Callable | undefined {
  if (op.variant?.op === "local") return undefined;
  return op.variant?.op === "kfunc" ? kfuncTable[op.imm] : helperTable[op.imm];
}

export function isTailCall(op: Op): boolean {
  return op.variant?.op === "helper" && op.imm === u.BPF_FUNC_tail_call;
}

interface FunctionEffects {
  keepsPacket: boolean;
  keepsRings: boolean;
}

/** What the functions of a program leave as it was, whatever they are given. */
export class Summary {
  readonly #functions: FunctionEffects[];
  readonly #program: JitProgram;

  constructor(program: JitProgram) {
    this.#program = program;
    this.#functions = program.functions.map(() => ({ keepsPacket: true, keepsRings: true }));
    for (let again = true; again; ) {
      again = false;
      for (const [i, func] of program.functions.entries()) if (this.#look(func, this.#functions[i]!)) again = true;
    }
  }

  /** True: the function does more than was known. */
  #look(func: Func, known: FunctionEffects): boolean {
    const { keepsPacket, keepsRings } = known;
    for (const block of func.blocks) {
      for (const op of block.ops) {
        if (op.row.kind !== "call") continue;
        // Another program goes on, and returns to the function's caller.
        const effects = isTailCall(op) ? ALL : this.effectsOf(op);
        known.keepsPacket &&= effects.keepsPacket;
        known.keepsRings &&= effects.keepsRings;
      }
    }
    return keepsPacket !== known.keepsPacket || keepsRings !== known.keepsRings;
  }

  /** Of one call. */
  effectsOf(op: Op): Effects {
    if (op.variant?.op === "local") {
      const index = this.#program.functionAt.get(op.index + 1 + op.imm);
      return index === undefined ? ALL : { ...ALL, ...this.#functions[index]! };
    }
    if (op.variant?.op !== "helper") return ALL;
    if (helperTable[op.imm]?.callback === undefined) return helperEffects.get(op.imm) ?? ALL;
    // The functions, as far as they are concerned: any of them.
    const plain = callers.includes(op.imm);
    return {
      writesByPrototype: plain,
      readsByPrototype: plain,
      keepsPacket: this.#functions.every((each) => each.keepsPacket),
      keepsRings: this.#functions.every((each) => each.keepsRings),
    };
  }
}
