/**
 * Helpers by number that kinds of programs have beside what every kind has, as Linux 6.18 gives them to programs that
 * may do everything; of programs that see packets in packet_helpers.ts. Numbers that this host does not serve yet are refused by name when a program is loaded.
 */
import * as u from "../uapi/index.ts";

/** Sockets of the kernel's, told apart. */
export const socketCasts: readonly number[] = [
  u.BPF_FUNC_skc_to_tcp6_sock,
  u.BPF_FUNC_skc_to_tcp_sock,
  u.BPF_FUNC_skc_to_tcp_timewait_sock,
  u.BPF_FUNC_skc_to_tcp_request_sock,
  u.BPF_FUNC_skc_to_udp6_sock,
  u.BPF_FUNC_skc_to_unix_sock,
  u.BPF_FUNC_skc_to_mptcp_sock,
];
const socketStorage: readonly number[] = [u.BPF_FUNC_sk_storage_get, u.BPF_FUNC_sk_storage_delete];
const socketOptions: readonly number[] = [u.BPF_FUNC_setsockopt, u.BPF_FUNC_getsockopt];
/** Of programs around a system call: what it is going to return. */
const retvalHelpers: readonly number[] = [u.BPF_FUNC_get_retval, u.BPF_FUNC_set_retval];

const probing: readonly number[] = [
  u.BPF_FUNC_probe_read,
  u.BPF_FUNC_probe_read_str,
  u.BPF_FUNC_probe_write_user,
  u.BPF_FUNC_perf_event_output,
  u.BPF_FUNC_get_stackid,
  u.BPF_FUNC_get_stack,
];

/** kprobe, tracepoint, raw tracepoint. */
export const tracingHelpers: readonly number[] = [...probing, u.BPF_FUNC_get_attach_cookie];

export const kprobeHelpers: readonly number[] = [u.BPF_FUNC_get_func_ip, u.BPF_FUNC_override_return];

export const perfEventHelpers: readonly number[] = [u.BPF_FUNC_perf_prog_read_value, u.BPF_FUNC_read_branch_records];

/** Programs with typed arguments. */
export const typedHelpers: readonly number[] = [
  ...probing,
  ...socketStorage,
  ...socketCasts,
  u.BPF_FUNC_get_socket_cookie,
  u.BPF_FUNC_skb_output,
  u.BPF_FUNC_xdp_output,
  u.BPF_FUNC_d_path,
  u.BPF_FUNC_sock_from_file,
  u.BPF_FUNC_xdp_get_buff_len,
];

/** What the kernel calls through a trampoline: functions' beginnings and ends. */
export const trampolineHelpers: readonly number[] = [
  u.BPF_FUNC_get_func_ip,
  u.BPF_FUNC_get_attach_cookie,
  u.BPF_FUNC_get_func_arg,
  u.BPF_FUNC_get_func_ret,
  u.BPF_FUNC_get_func_arg_cnt,
];

export const iterHelpers: readonly number[] = [u.BPF_FUNC_seq_printf, u.BPF_FUNC_seq_write, u.BPF_FUNC_seq_printf_btf];

export const lsmHelpers: readonly number[] = [
  ...retvalHelpers,
  u.BPF_FUNC_inode_storage_get,
  u.BPF_FUNC_inode_storage_delete,
  u.BPF_FUNC_bprm_opts_set,
  u.BPF_FUNC_ima_inode_hash,
  u.BPF_FUNC_ima_file_hash,
];

/** Of struct tcp_congestion_ops, the one struct that has any. */
export const structOpsHelpers: readonly number[] = [
  ...socketOptions,
  ...socketStorage,
  u.BPF_FUNC_tcp_send_ack,
  u.BPF_FUNC_ktime_get_coarse_ns,
];

export const syscallHelpers: readonly number[] = [
  ...probing,
  ...socketStorage,
  ...socketCasts,
  u.BPF_FUNC_get_socket_cookie,
  u.BPF_FUNC_skb_output,
  u.BPF_FUNC_xdp_output,
  u.BPF_FUNC_sock_from_file,
  u.BPF_FUNC_sys_bpf,
  u.BPF_FUNC_btf_find_by_name_kind,
  u.BPF_FUNC_sys_close,
  u.BPF_FUNC_kallsyms_lookup_name,
  u.BPF_FUNC_xdp_get_buff_len,
];

/** What all programs of cgroups have. */
export const cgroupHelpers: readonly number[] = [
  ...retvalHelpers,
  u.BPF_FUNC_perf_event_output,
  u.BPF_FUNC_get_local_storage,
];

export const sockHelpers: readonly number[] = [
  ...socketStorage,
  u.BPF_FUNC_get_socket_cookie,
  u.BPF_FUNC_get_netns_cookie,
  u.BPF_FUNC_ktime_get_coarse_ns,
];

export const sysctlHelpers: readonly number[] = [
  u.BPF_FUNC_sysctl_get_name,
  u.BPF_FUNC_sysctl_get_current_value,
  u.BPF_FUNC_sysctl_get_new_value,
  u.BPF_FUNC_sysctl_set_new_value,
  u.BPF_FUNC_ktime_get_coarse_ns,
];

export const sockoptHelpers: readonly number[] = [
  ...socketStorage,
  ...socketOptions,
  u.BPF_FUNC_tcp_sock,
  u.BPF_FUNC_get_netns_cookie,
];

export const sockAddrHelpers: readonly number[] = [
  ...socketStorage,
  ...socketOptions,
  ...socketCasts,
  u.BPF_FUNC_get_socket_cookie,
  u.BPF_FUNC_get_netns_cookie,
  u.BPF_FUNC_bind,
  u.BPF_FUNC_sk_lookup_tcp,
  u.BPF_FUNC_sk_lookup_udp,
  u.BPF_FUNC_skc_lookup_tcp,
  u.BPF_FUNC_sk_release,
  u.BPF_FUNC_ktime_get_coarse_ns,
];

export const sockOpsHelpers: readonly number[] = [
  ...socketStorage,
  ...socketOptions,
  ...socketCasts,
  u.BPF_FUNC_perf_event_output,
  u.BPF_FUNC_get_socket_cookie,
  u.BPF_FUNC_get_netns_cookie,
  u.BPF_FUNC_get_local_storage,
  u.BPF_FUNC_sock_map_update,
  u.BPF_FUNC_sock_hash_update,
  u.BPF_FUNC_sock_ops_cb_flags_set,
  u.BPF_FUNC_tcp_sock,
  u.BPF_FUNC_load_hdr_opt,
  u.BPF_FUNC_store_hdr_opt,
  u.BPF_FUNC_reserve_hdr_opt,
  u.BPF_FUNC_ktime_get_coarse_ns,
];

export const skMsgHelpers: readonly number[] = [
  ...socketStorage,
  ...socketCasts,
  u.BPF_FUNC_perf_event_output,
  u.BPF_FUNC_msg_redirect_map,
  u.BPF_FUNC_msg_redirect_hash,
  u.BPF_FUNC_msg_apply_bytes,
  u.BPF_FUNC_msg_cork_bytes,
  u.BPF_FUNC_msg_pull_data,
  u.BPF_FUNC_msg_push_data,
  u.BPF_FUNC_msg_pop_data,
  u.BPF_FUNC_get_netns_cookie,
  u.BPF_FUNC_ktime_get_coarse_ns,
];

export const skLookupHelpers: readonly number[] = [
  ...socketCasts,
  u.BPF_FUNC_perf_event_output,
  u.BPF_FUNC_sk_release,
  u.BPF_FUNC_sk_assign,
  u.BPF_FUNC_ktime_get_coarse_ns,
];

export const skReuseportHelpers: readonly number[] = [
  u.BPF_FUNC_skb_load_bytes,
  u.BPF_FUNC_skb_load_bytes_relative,
  u.BPF_FUNC_get_socket_cookie,
  u.BPF_FUNC_sk_select_reuseport,
  u.BPF_FUNC_ktime_get_coarse_ns,
];
