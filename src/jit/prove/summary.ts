/**
 * What calls leave as it was. Helpers that are in no list may do anything: move the packet, give records back, write the
 * stack through any argument.
 */
import {
  DYNPTR_ADJUST,
  DYNPTR_CLONE,
  DYNPTR_FROM_SKB,
  DYNPTR_FROM_XDP,
  DYNPTR_IS_NULL,
  DYNPTR_IS_READ_ONLY,
  DYNPTR_SIZE,
  DYNPTR_SLICE,
  DYNPTR_SLICE_TO_WRITE,
} from "../../helpers/dynptr_kfuncs.ts";
import { INT_SIZE, NUM_DESTROY, NUM_NEW, NUM_NEXT } from "../../helpers/iterators.ts";
import { kfuncTable } from "../../helpers/kfunc_table.ts";
import { helperTable } from "../../helpers/table.ts";
import type { Callable } from "../../helpers/types.ts";
import * as u from "../../uapi/index.ts";
import type { JitProgram, Op } from "../program.ts";

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
  u.BPF_FUNC_dynptr_write,
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
  u.BPF_FUNC_ringbuf_reserve_dynptr,
  u.BPF_FUNC_ringbuf_submit_dynptr,
  u.BPF_FUNC_ringbuf_discard_dynptr,
  u.BPF_FUNC_dynptr_from_mem,
  u.BPF_FUNC_dynptr_read,
  u.BPF_FUNC_dynptr_data,
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
  u.BPF_FUNC_sk_lookup_tcp,
  u.BPF_FUNC_skc_lookup_tcp,
  u.BPF_FUNC_sk_lookup_udp,
  u.BPF_FUNC_sk_fullsock,
  u.BPF_FUNC_get_listener_sock,
  u.BPF_FUNC_sk_release,
  u.BPF_FUNC_get_func_arg,
  u.BPF_FUNC_get_func_arg_cnt,
  u.BPF_FUNC_get_func_ret,
  u.BPF_FUNC_get_func_ip,
  u.BPF_FUNC_get_attach_cookie,
  u.BPF_FUNC_get_retval,
  u.BPF_FUNC_set_retval,
  u.BPF_FUNC_get_stackid,
  u.BPF_FUNC_get_current_task_btf,
  u.BPF_FUNC_check_mtu,
  // A timer's function runs later, and in a run of its own.
  u.BPF_FUNC_timer_init,
  u.BPF_FUNC_timer_set_callback,
  u.BPF_FUNC_timer_start,
  u.BPF_FUNC_timer_cancel,
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

/** Kernel functions that leave as much as `quiet` helpers. */
const quietKfuncs: readonly string[] = [
  NUM_NEW,
  NUM_NEXT,
  NUM_DESTROY,
  DYNPTR_FROM_XDP,
  DYNPTR_FROM_SKB,
  DYNPTR_ADJUST,
  DYNPTR_CLONE,
  DYNPTR_IS_NULL,
  DYNPTR_IS_READ_ONLY,
  DYNPTR_SIZE,
  DYNPTR_SLICE,
  DYNPTR_SLICE_TO_WRITE,
];

/** Call a function of the program, and by themselves do no more than what `quiet` ones do. */
const callers: readonly number[] = [u.BPF_FUNC_loop, u.BPF_FUNC_for_each_map_elem];

/** Give back what the run holds. */
const givers: readonly number[] = [
  u.BPF_FUNC_ringbuf_submit,
  u.BPF_FUNC_ringbuf_discard,
  u.BPF_FUNC_ringbuf_submit_dynptr,
  u.BPF_FUNC_ringbuf_discard_dynptr,
  u.BPF_FUNC_sk_release,
];
const givingKfuncs: readonly string[] = [NUM_DESTROY];

/** Bytes that the run holds for the program to read, where the result says, until they are given back. */
const shownBytes: ReadonlyMap<string, number> = new Map([
  ["bpf_sk_lookup_tcp", u.bpf_sock.size],
  ["bpf_skc_lookup_tcp", u.bpf_sock.size],
  ["bpf_sk_lookup_udp", u.bpf_sock.size],
  // The socket itself, which is none of the context's own or one of a lookup.
  ["bpf_sk_fullsock", u.bpf_sock.size],
  ["bpf_get_listener_sock", u.bpf_sock.size],
  // In the run's table of such objects, not on the stack.
  [NUM_NEXT, INT_SIZE],
]);

/** Bytes at the address that the call returns, if that is not NULL, that the program may read; 0: it is not known. */
export function bytesShown({ name }: Callable): number {
  return shownBytes.get(name) ?? 0;
}

export interface Effects {
  readonly keepsPacket: boolean;
  readonly keepsHeld: boolean;
  /** It writes no memory but what the prototype says. */
  readonly writesByPrototype: boolean;
  /** It reads no memory but what the prototype says. */
  readonly readsByPrototype: boolean;
}

const NONE: Effects = { keepsPacket: true, keepsHeld: true, writesByPrototype: true, readsByPrototype: true };
const ALL: Effects = { keepsPacket: false, keepsHeld: false, writesByPrototype: false, readsByPrototype: false };

const helperEffects: ReadonlyMap<number, Effects> = new Map(
  [...movers, ...quiet, ...readers].map((id) => [
    id,
    {
      keepsPacket: !movers.includes(id),
      keepsHeld: !givers.includes(id),
      writesByPrototype: true,
      readsByPrototype: !readers.includes(id),
    },
  ]),
);

const kfuncEffects: ReadonlyMap<string, Effects> = new Map(
  quietKfuncs.map((name) => [name, { ...NONE, keepsHeld: !givingKfuncs.includes(name) }]),
);

/** The helper or kernel function that is called, or undefined: a function of the program. */
export function callableOf(op: Op): Callable | undefined {
  if (op.variant?.op === "local") return undefined;
  return op.variant?.op === "kfunc" ? kfuncTable[op.imm] : helperTable[op.imm];
}

export function isHelper(op: Op, id: number): boolean {
  return op.variant?.op === "helper" && op.imm === id;
}

export function isTailCall(op: Op): boolean {
  return isHelper(op, u.BPF_FUNC_tail_call);
}

interface FunctionEffects {
  keepsPacket: boolean;
  keepsHeld: boolean;
  /** The functions that it calls. */
  readonly callees: ReadonlySet<number>;
}

/** What the functions of a program leave as it was, whatever they are given. */
export class Summary {
  readonly #functions: readonly FunctionEffects[];
  readonly #program: JitProgram;
  /** All dynptrs in the program's frames are its own, and none is made of a map's value. */
  readonly ownDynptrs: boolean;

  constructor(program: JitProgram) {
    this.#program = program;
    this.#functions = program.functions.map(({ calls }, _, all) => {
      const callees = new Set<number>();
      const known = { keepsPacket: true, keepsHeld: true, callees };
      for (const op of calls) {
        const callee = this.#calleeOf(op);
        if (callee !== undefined) callees.add(callee);
        else if (callsBack(op)) for (const i of all.keys()) callees.add(i);
        // Another program goes on, and returns to the function's caller.
        const effects = callee !== undefined || callsBack(op) ? NONE : isTailCall(op) ? ALL : helperEffectsOf(op);
        known.keepsPacket &&= effects.keepsPacket;
        known.keepsHeld &&= effects.keepsHeld;
      }
      return known;
    });
    const calls = program.functions.flatMap((func) => func.calls);
    const inner = program.functions.slice(1).flatMap((func) => func.calls);
    const firstIsCalled = this.#functions.some(({ callees }) => callees.has(0));
    // Where another program comes back from has the frames of this one in reach.
    const comesBack = (firstIsCalled ? calls : inner).some(isTailCall);
    this.ownDynptrs = !comesBack && !calls.some((op) => isHelper(op, u.BPF_FUNC_dynptr_from_mem));
    for (let again = true; again; ) {
      again = false;
      for (const known of this.#functions) if (this.#spread(known)) again = true;
    }
  }

  /** Takes over what the callees do. True: that is more than was known. */
  #spread(known: FunctionEffects): boolean {
    const { keepsPacket, keepsHeld, callees } = known;
    for (const callee of callees) {
      const effects = this.#functions[callee]!;
      known.keepsPacket &&= effects.keepsPacket;
      known.keepsHeld &&= effects.keepsHeld;
    }
    return keepsPacket !== known.keepsPacket || keepsHeld !== known.keepsHeld;
  }

  #calleeOf(op: Op): number | undefined {
    return op.variant?.op === "local" ? this.#program.functionAt.get(op.index + 1 + op.imm) : undefined;
  }

  /** Of one call. */
  effectsOf(op: Op): Effects {
    if (op.variant?.op === "local") {
      const callee = this.#calleeOf(op);
      if (callee === undefined) return ALL;
      const { keepsPacket, keepsHeld } = this.#functions[callee]!;
      return { ...ALL, keepsPacket, keepsHeld };
    }
    if (!callsBack(op)) return helperEffectsOf(op);
    // The functions, as far as they are concerned: any of them.
    const plain = callers.includes(op.imm);
    return {
      writesByPrototype: plain,
      readsByPrototype: plain,
      keepsPacket: this.#functions.every((each) => each.keepsPacket),
      keepsHeld: this.#functions.every((each) => each.keepsHeld),
    };
  }
}

/** Whether the helper calls functions of the program while it runs. */
function callsBack(op: Op): boolean {
  return op.variant?.op === "helper" && helperTable[op.imm]?.callback !== undefined;
}

function helperEffectsOf(op: Op): Effects {
  if (op.variant?.op === "helper") return helperEffects.get(op.imm) ?? ALL;
  return kfuncEffects.get(callableOf(op)?.name ?? "") ?? ALL;
}
