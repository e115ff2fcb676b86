/** Calls that programs make, of what does little: bench/programs/calls.bpf.c. */
import type { BpfHost, LoadedObject } from "../src/index.ts";
import * as u from "../src/uapi/index.ts";
import { compiled } from "./hosts.ts";
import type { ProgramBench } from "./program_bench.ts";
import { FOLDER } from "./program_compute.ts";
import { ProgramSide } from "./program_side.ts";

const GROUP = "Calls inside of programs";
/** Of a run, and the elements of a map. */
const CALLS = 512;
/** Tail calls of a run: the kernel's limit, and the program that is run. */
const HOPS = 34;

/** By program: what a call of it is. */
const calls: readonly (readonly [program: string, what: string, operations?: number])[] = [
  ["loop", "a turn of bpf_loop"],
  ["each_of_array", "an element of bpf_for_each_map_elem, ARRAY"],
  ["each_of_hash", "an element of bpf_for_each_map_elem, HASH"],
  ["hop", "bpf_tail_call", HOPS],
  ["iterator", "a turn of bpf_for (bpf_iter_num_next)"],
  ["function", "a function of the program"],
  ["ktime", "bpf_ktime_get_ns"],
  ["processor", "bpf_get_smp_processor_id"],
  ["prandom", "bpf_get_prandom_u32"],
  ["checksum", "bpf_csum_diff, 20 bytes"],
  ["probe", "bpf_probe_read_kernel, 8 bytes of the stack"],
  ["xdp_bytes", "bpf_xdp_load_bytes, 8 bytes"],
  ["skb_bytes", "bpf_skb_load_bytes, 8 bytes"],
  ["spin", "bpf_spin_lock and bpf_spin_unlock"],
  ["dynptr_bytes", "bpf_dynptr_read, 4 bytes"],
  ["dynptr_slices", "bpf_dynptr_slice, 8 bytes of the packet"],
];

function fill(object: LoadedObject, host: BpfHost): void {
  for (const name of ["numbers", "keyed"]) {
    const { fd } = object.map(name);
    for (let i = 0; i < CALLS; i++) {
      const key = new Uint8Array(Uint32Array.of(i).buffer);
      const value = new Uint8Array(BigUint64Array.of(BigInt(i) * 0x9e37_79b9n).buffer);
      const ret = host.bpf(u.BPF_MAP_UPDATE_ELEM, { map_fd: fd, key, value });
      if (ret !== 0) throw new Error(`storing element ${i} of ${name} gave ${ret}`);
    }
  }
}

/** `object`: the bytes of calls.bpf.o. */
export function benchTurns(bench: ProgramBench, object: Uint8Array): void {
  const wanted = calls.filter(([, what]) => bench.wants(`${GROUP}: ${what}`));
  if (wanted.length === 0) return;
  bench.report.note(
    `Calls, in ${FOLDER}/calls.bpf.c: a run makes ${CALLS} of them (of tail calls as many as there may be) and sums up what they give; nothing is subtracted.`,
  );
  const loaded = bench.hosts.map(({ host }) => host.loadObject(object, { name: "calls" }));
  for (const [i, { host }] of bench.hosts.entries()) fill(loaded[i]!, host);
  for (const [program, what, operations = CALLS] of wanted) {
    const sides = bench.hosts.map((on, i) => {
      compiled(on, loaded[i]!.program(program));
      return new ProgramSide(on.name, loaded[i]!.program(program), on.host.kind === "kernel", operations);
    });
    const retvals = sides.map((side) => side.retval());
    if (new Set(retvals).size > 1) throw new Error(`${what}: the hosts return ${retvals.join(", ")}`);
    bench.compare(GROUP, what, sides);
  }
  for (const each of loaded) each.close();
}
