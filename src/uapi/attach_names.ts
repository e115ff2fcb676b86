/** How the kernel's BTF names what programs are attached to by a type of it. */
import { BPF_LSM_CGROUP, BPF_LSM_MAC, BPF_TRACE_ITER, BPF_TRACE_RAW_TP } from "./constants.gen.ts";

/** By expected_attach_type: what stands in front of the target's name. Functions stand there under their own. */
export const attachPrefixes: Readonly<Record<number, string>> = {
  [BPF_TRACE_RAW_TP]: "btf_trace_",
  [BPF_TRACE_ITER]: "bpf_iter_",
  [BPF_LSM_MAC]: "bpf_lsm_",
  [BPF_LSM_CGROUP]: "bpf_lsm_",
};

/** In front of the name of a struct of callbacks: the kernel's own struct around it, with state. */
export const STRUCT_OPS_PREFIX = "bpf_struct_ops_";
