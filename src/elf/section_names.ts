/** What the name of a program's section (`SEC("...")`) says of its type and attach type. Names are libbpf's (1.5). */
import * as uapi from "../uapi/index.ts";

export interface SectionKind {
  readonly type: number;
  readonly expectedAttachType?: number;
  /** prog_flags. */
  readonly flags: number;
  /** What follows the name, as "do_exit" in "kprobe/do_exit". */
  readonly attachTo?: string;
}

/**
 * Section name, program type, attach type (when the kernel wants one), prog_flags.
 * A name that ends in "/*" stands alone as well as before a slash and a target; the others match as they are.
 */
type Row = readonly [name: string, type: number, attachType?: number | undefined, flags?: number];

const rows: readonly Row[] = [
  ["socket", uapi.BPF_PROG_TYPE_SOCKET_FILTER],
  ["xdp", uapi.BPF_PROG_TYPE_XDP, uapi.BPF_XDP],
  ["xdp.frags", uapi.BPF_PROG_TYPE_XDP, uapi.BPF_XDP, uapi.BPF_F_XDP_HAS_FRAGS],
  ["xdp/devmap", uapi.BPF_PROG_TYPE_XDP, uapi.BPF_XDP_DEVMAP],
  ["xdp.frags/devmap", uapi.BPF_PROG_TYPE_XDP, uapi.BPF_XDP_DEVMAP, uapi.BPF_F_XDP_HAS_FRAGS],
  ["xdp/cpumap", uapi.BPF_PROG_TYPE_XDP, uapi.BPF_XDP_CPUMAP],
  ["xdp.frags/cpumap", uapi.BPF_PROG_TYPE_XDP, uapi.BPF_XDP_CPUMAP, uapi.BPF_F_XDP_HAS_FRAGS],
  ["tc", uapi.BPF_PROG_TYPE_SCHED_CLS],
  ["classifier", uapi.BPF_PROG_TYPE_SCHED_CLS],
  ["action", uapi.BPF_PROG_TYPE_SCHED_ACT],
  ["tc/ingress", uapi.BPF_PROG_TYPE_SCHED_CLS, uapi.BPF_TCX_INGRESS],
  ["tc/egress", uapi.BPF_PROG_TYPE_SCHED_CLS, uapi.BPF_TCX_EGRESS],
  ["tcx/ingress", uapi.BPF_PROG_TYPE_SCHED_CLS, uapi.BPF_TCX_INGRESS],
  ["tcx/egress", uapi.BPF_PROG_TYPE_SCHED_CLS, uapi.BPF_TCX_EGRESS],
  ["netkit/primary", uapi.BPF_PROG_TYPE_SCHED_CLS, uapi.BPF_NETKIT_PRIMARY],
  ["netkit/peer", uapi.BPF_PROG_TYPE_SCHED_CLS, uapi.BPF_NETKIT_PEER],
  ["kprobe/*", uapi.BPF_PROG_TYPE_KPROBE],
  ["kretprobe/*", uapi.BPF_PROG_TYPE_KPROBE],
  ["uprobe/*", uapi.BPF_PROG_TYPE_KPROBE],
  ["uprobe.s/*", uapi.BPF_PROG_TYPE_KPROBE, undefined, uapi.BPF_F_SLEEPABLE],
  ["uretprobe/*", uapi.BPF_PROG_TYPE_KPROBE],
  ["uretprobe.s/*", uapi.BPF_PROG_TYPE_KPROBE, undefined, uapi.BPF_F_SLEEPABLE],
  ["kprobe.multi/*", uapi.BPF_PROG_TYPE_KPROBE, uapi.BPF_TRACE_KPROBE_MULTI],
  ["kretprobe.multi/*", uapi.BPF_PROG_TYPE_KPROBE, uapi.BPF_TRACE_KPROBE_MULTI],
  ["kprobe.session/*", uapi.BPF_PROG_TYPE_KPROBE, uapi.BPF_TRACE_KPROBE_SESSION],
  ["uprobe.multi/*", uapi.BPF_PROG_TYPE_KPROBE, uapi.BPF_TRACE_UPROBE_MULTI],
  ["uprobe.multi.s/*", uapi.BPF_PROG_TYPE_KPROBE, uapi.BPF_TRACE_UPROBE_MULTI, uapi.BPF_F_SLEEPABLE],
  ["uretprobe.multi/*", uapi.BPF_PROG_TYPE_KPROBE, uapi.BPF_TRACE_UPROBE_MULTI],
  ["uretprobe.multi.s/*", uapi.BPF_PROG_TYPE_KPROBE, uapi.BPF_TRACE_UPROBE_MULTI, uapi.BPF_F_SLEEPABLE],
  ["uprobe.session/*", uapi.BPF_PROG_TYPE_KPROBE, uapi.BPF_TRACE_UPROBE_SESSION],
  ["uprobe.session.s/*", uapi.BPF_PROG_TYPE_KPROBE, uapi.BPF_TRACE_UPROBE_SESSION, uapi.BPF_F_SLEEPABLE],
  ["ksyscall/*", uapi.BPF_PROG_TYPE_KPROBE],
  ["kretsyscall/*", uapi.BPF_PROG_TYPE_KPROBE],
  ["usdt/*", uapi.BPF_PROG_TYPE_KPROBE],
  ["usdt.s/*", uapi.BPF_PROG_TYPE_KPROBE, undefined, uapi.BPF_F_SLEEPABLE],
  ["tracepoint/*", uapi.BPF_PROG_TYPE_TRACEPOINT],
  ["tp/*", uapi.BPF_PROG_TYPE_TRACEPOINT],
  ["raw_tracepoint/*", uapi.BPF_PROG_TYPE_RAW_TRACEPOINT],
  ["raw_tp/*", uapi.BPF_PROG_TYPE_RAW_TRACEPOINT],
  ["raw_tracepoint.w/*", uapi.BPF_PROG_TYPE_RAW_TRACEPOINT_WRITABLE],
  ["raw_tp.w/*", uapi.BPF_PROG_TYPE_RAW_TRACEPOINT_WRITABLE],
  ["tp_btf/*", uapi.BPF_PROG_TYPE_TRACING, uapi.BPF_TRACE_RAW_TP],
  ["fentry/*", uapi.BPF_PROG_TYPE_TRACING, uapi.BPF_TRACE_FENTRY],
  ["fentry.s/*", uapi.BPF_PROG_TYPE_TRACING, uapi.BPF_TRACE_FENTRY, uapi.BPF_F_SLEEPABLE],
  ["fexit/*", uapi.BPF_PROG_TYPE_TRACING, uapi.BPF_TRACE_FEXIT],
  ["fexit.s/*", uapi.BPF_PROG_TYPE_TRACING, uapi.BPF_TRACE_FEXIT, uapi.BPF_F_SLEEPABLE],
  ["fmod_ret/*", uapi.BPF_PROG_TYPE_TRACING, uapi.BPF_MODIFY_RETURN],
  ["fmod_ret.s/*", uapi.BPF_PROG_TYPE_TRACING, uapi.BPF_MODIFY_RETURN, uapi.BPF_F_SLEEPABLE],
  ["iter/*", uapi.BPF_PROG_TYPE_TRACING, uapi.BPF_TRACE_ITER],
  ["iter.s/*", uapi.BPF_PROG_TYPE_TRACING, uapi.BPF_TRACE_ITER, uapi.BPF_F_SLEEPABLE],
  ["freplace/*", uapi.BPF_PROG_TYPE_EXT],
  ["lsm/*", uapi.BPF_PROG_TYPE_LSM, uapi.BPF_LSM_MAC],
  ["lsm.s/*", uapi.BPF_PROG_TYPE_LSM, uapi.BPF_LSM_MAC, uapi.BPF_F_SLEEPABLE],
  ["lsm_cgroup/*", uapi.BPF_PROG_TYPE_LSM, uapi.BPF_LSM_CGROUP],
  ["syscall", uapi.BPF_PROG_TYPE_SYSCALL, undefined, uapi.BPF_F_SLEEPABLE],
  ["perf_event", uapi.BPF_PROG_TYPE_PERF_EVENT],
  ["lwt_in", uapi.BPF_PROG_TYPE_LWT_IN],
  ["lwt_out", uapi.BPF_PROG_TYPE_LWT_OUT],
  ["lwt_xmit", uapi.BPF_PROG_TYPE_LWT_XMIT],
  ["lwt_seg6local", uapi.BPF_PROG_TYPE_LWT_SEG6LOCAL],
  ["sockops", uapi.BPF_PROG_TYPE_SOCK_OPS, uapi.BPF_CGROUP_SOCK_OPS],
  ["sk_skb", uapi.BPF_PROG_TYPE_SK_SKB],
  ["sk_skb/stream_parser", uapi.BPF_PROG_TYPE_SK_SKB, uapi.BPF_SK_SKB_STREAM_PARSER],
  ["sk_skb/stream_verdict", uapi.BPF_PROG_TYPE_SK_SKB, uapi.BPF_SK_SKB_STREAM_VERDICT],
  ["sk_skb/verdict", uapi.BPF_PROG_TYPE_SK_SKB, uapi.BPF_SK_SKB_VERDICT],
  ["sk_msg", uapi.BPF_PROG_TYPE_SK_MSG, uapi.BPF_SK_MSG_VERDICT],
  ["sk_lookup", uapi.BPF_PROG_TYPE_SK_LOOKUP, uapi.BPF_SK_LOOKUP],
  ["sk_reuseport", uapi.BPF_PROG_TYPE_SK_REUSEPORT, uapi.BPF_SK_REUSEPORT_SELECT],
  ["sk_reuseport/migrate", uapi.BPF_PROG_TYPE_SK_REUSEPORT, uapi.BPF_SK_REUSEPORT_SELECT_OR_MIGRATE],
  ["lirc_mode2", uapi.BPF_PROG_TYPE_LIRC_MODE2, uapi.BPF_LIRC_MODE2],
  ["flow_dissector", uapi.BPF_PROG_TYPE_FLOW_DISSECTOR, uapi.BPF_FLOW_DISSECTOR],
  ["netfilter", uapi.BPF_PROG_TYPE_NETFILTER, uapi.BPF_NETFILTER],
  ["struct_ops/*", uapi.BPF_PROG_TYPE_STRUCT_OPS],
  ["struct_ops.s/*", uapi.BPF_PROG_TYPE_STRUCT_OPS, undefined, uapi.BPF_F_SLEEPABLE],
  ["cgroup_skb/ingress", uapi.BPF_PROG_TYPE_CGROUP_SKB, uapi.BPF_CGROUP_INET_INGRESS],
  ["cgroup_skb/egress", uapi.BPF_PROG_TYPE_CGROUP_SKB, uapi.BPF_CGROUP_INET_EGRESS],
  ["cgroup/skb", uapi.BPF_PROG_TYPE_CGROUP_SKB],
  ["cgroup/sock", uapi.BPF_PROG_TYPE_CGROUP_SOCK, uapi.BPF_CGROUP_INET_SOCK_CREATE],
  ["cgroup/sock_create", uapi.BPF_PROG_TYPE_CGROUP_SOCK, uapi.BPF_CGROUP_INET_SOCK_CREATE],
  ["cgroup/sock_release", uapi.BPF_PROG_TYPE_CGROUP_SOCK, uapi.BPF_CGROUP_INET_SOCK_RELEASE],
  ["cgroup/post_bind4", uapi.BPF_PROG_TYPE_CGROUP_SOCK, uapi.BPF_CGROUP_INET4_POST_BIND],
  ["cgroup/post_bind6", uapi.BPF_PROG_TYPE_CGROUP_SOCK, uapi.BPF_CGROUP_INET6_POST_BIND],
  ["cgroup/bind4", uapi.BPF_PROG_TYPE_CGROUP_SOCK_ADDR, uapi.BPF_CGROUP_INET4_BIND],
  ["cgroup/bind6", uapi.BPF_PROG_TYPE_CGROUP_SOCK_ADDR, uapi.BPF_CGROUP_INET6_BIND],
  ["cgroup/connect4", uapi.BPF_PROG_TYPE_CGROUP_SOCK_ADDR, uapi.BPF_CGROUP_INET4_CONNECT],
  ["cgroup/connect6", uapi.BPF_PROG_TYPE_CGROUP_SOCK_ADDR, uapi.BPF_CGROUP_INET6_CONNECT],
  ["cgroup/connect_unix", uapi.BPF_PROG_TYPE_CGROUP_SOCK_ADDR, uapi.BPF_CGROUP_UNIX_CONNECT],
  ["cgroup/sendmsg4", uapi.BPF_PROG_TYPE_CGROUP_SOCK_ADDR, uapi.BPF_CGROUP_UDP4_SENDMSG],
  ["cgroup/sendmsg6", uapi.BPF_PROG_TYPE_CGROUP_SOCK_ADDR, uapi.BPF_CGROUP_UDP6_SENDMSG],
  ["cgroup/sendmsg_unix", uapi.BPF_PROG_TYPE_CGROUP_SOCK_ADDR, uapi.BPF_CGROUP_UNIX_SENDMSG],
  ["cgroup/recvmsg4", uapi.BPF_PROG_TYPE_CGROUP_SOCK_ADDR, uapi.BPF_CGROUP_UDP4_RECVMSG],
  ["cgroup/recvmsg6", uapi.BPF_PROG_TYPE_CGROUP_SOCK_ADDR, uapi.BPF_CGROUP_UDP6_RECVMSG],
  ["cgroup/recvmsg_unix", uapi.BPF_PROG_TYPE_CGROUP_SOCK_ADDR, uapi.BPF_CGROUP_UNIX_RECVMSG],
  ["cgroup/getpeername4", uapi.BPF_PROG_TYPE_CGROUP_SOCK_ADDR, uapi.BPF_CGROUP_INET4_GETPEERNAME],
  ["cgroup/getpeername6", uapi.BPF_PROG_TYPE_CGROUP_SOCK_ADDR, uapi.BPF_CGROUP_INET6_GETPEERNAME],
  ["cgroup/getpeername_unix", uapi.BPF_PROG_TYPE_CGROUP_SOCK_ADDR, uapi.BPF_CGROUP_UNIX_GETPEERNAME],
  ["cgroup/getsockname4", uapi.BPF_PROG_TYPE_CGROUP_SOCK_ADDR, uapi.BPF_CGROUP_INET4_GETSOCKNAME],
  ["cgroup/getsockname6", uapi.BPF_PROG_TYPE_CGROUP_SOCK_ADDR, uapi.BPF_CGROUP_INET6_GETSOCKNAME],
  ["cgroup/getsockname_unix", uapi.BPF_PROG_TYPE_CGROUP_SOCK_ADDR, uapi.BPF_CGROUP_UNIX_GETSOCKNAME],
  ["cgroup/sysctl", uapi.BPF_PROG_TYPE_CGROUP_SYSCTL, uapi.BPF_CGROUP_SYSCTL],
  ["cgroup/getsockopt", uapi.BPF_PROG_TYPE_CGROUP_SOCKOPT, uapi.BPF_CGROUP_GETSOCKOPT],
  ["cgroup/setsockopt", uapi.BPF_PROG_TYPE_CGROUP_SOCKOPT, uapi.BPF_CGROUP_SETSOCKOPT],
  ["cgroup/dev", uapi.BPF_PROG_TYPE_CGROUP_DEVICE, uapi.BPF_CGROUP_DEVICE],
];

/** The kind of program that a section holds, or undefined for a name without meaning. A leading "?" (load on demand) is dropped. */
export function kindOfSection(name: string): SectionKind | undefined {
  const wanted = name.startsWith("?") ? name.slice(1) : name;
  const slash = wanted.indexOf("/");
  const prefix = slash < 0 ? wanted : wanted.slice(0, slash);
  for (const [pattern, type, expectedAttachType, flags = 0] of rows) {
    const open = pattern.endsWith("/*");
    if (open ? pattern.slice(0, -2) !== prefix : pattern !== wanted) continue;
    const kind: SectionKind = { type, flags, ...(expectedAttachType === undefined ? {} : { expectedAttachType }) };
    return open && slash >= 0 ? { ...kind, attachTo: wanted.slice(slash + 1) } : kind;
  }
  return undefined;
}
