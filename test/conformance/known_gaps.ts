/**
 * Cases that the embedded host does not pass yet. A case that begins to pass fails the run until its line is gone.
 */
export interface KnownGap {
  readonly id: string;
  readonly reason: string;
  readonly since: string;
}

export const knownGaps: readonly KnownGap[] = [];

/** What is not built at all yet, so that no case could stand for it. */
export const notBuilt: readonly string[] = [
  "bpf_skb_adjust_room on a packet that was cut shorter than its headers is -ENOMEM; the kernel moves bytes from behind the packet's end",
  "bpf_skb_change_head never refuses for want of room; the kernel does (-ENOMEM) after 760 to 960 bytes in steps of 40, for a reason not looked into",
  "perf events: rings and counters of the embedded host stand for them (PerfEventArray.open), no fd is one; the kernel host opens none; bpf_skb_output, bpf_xdp_output and bpf_perf_prog_read_value are load errors",
  "events of a PERF_EVENT_ARRAY go with the last fd and pin of the map, not with the file that put them in; files have no build ids in stacks",
  "verifier: PROG_LOAD refuses only what is structurally wrong; every access is checked while a program runs",
  "where several things are wrong in one program, which of their errnos comes first can differ from the kernel's",
  "kfuncs beyond docs/helpers.md; exception callbacks of programs that call bpf_throw (without one it works)",
  "bpf_cast_to_kern_ctx: contexts are those of user space alone here, a load error that names it; sets of CPUs have as many bits as there are CPUs, in whole longs",
  "loads with acquire and stores with release semantics run on contexts and packets here; the kernel refuses them at load (EACCES)",
  "may_goto: a frame has 8,388,608 turns, as in the kernel without a JIT; where that can tell time, its loops end after a quarter of a second",
  "what the verifier alone sees to is not asked for: that a list or tree is changed with its lock held, and no helper is called while one is",
  "an object that was dropped faults at once on an exclusive host; on a shared one it can be read as the kernel's RCU lets it, though the run may be over",
  "a timer that a client started runs in that client, or in whoever looks next; cancelling does not wait for a function that another thread runs",
  "a client killed inside a change of a list or tree of objects can lose objects of it until their BTF goes",
  "netfilter programs; tunnel options, transform states, encapsulation of LWT (lwt_push_encap, lwt_seg6_store_bytes, _adjust_srh, _action), syncookies (tcp_check_, tcp_gen_, tcp_raw_*), skb_under_cgroup, tcp_sock, skc_to_*, sk_storage_*, sk_redirect_*, perf_event_output: a load error that names them",
  "sk_assign takes a socket that was looked up, as for a packet that came in, and tells of it; the kernel's test runs answer -EOPNOTSUPP, since theirs came from nowhere",
  "sk_skb and lwt_seg6local programs run on embedded hosts alone (Program.run): BPF_PROG_TEST_RUN is -ENOTSUPP for them, as on the kernel; nothing moves between sockets",
  "live frames go nowhere: frames and verdicts are events of the run, and each frame is fresh, where the kernel uses a page again",
  "an skb's hash has no secret of the boot in it; the socket of a test run always has cookie 1",
  "bpf_skb_change_tail cuts no header off; the kernel does once a packet has outgrown its buffer (its transport header is lost then)",
  "program types ext and lirc_mode2",
  "sk_reuseport: sk_select_reuseport and maps for it are a load error; the headers before the data are not given (bpf_skb_load_bytes_relative is -EFAULT), and nothing lies behind migrating_sk",
  "cgroup programs around socket options, sysctls and devices: Program.run gives what they returned and left; what the kernel makes of it (EPERM, EFAULT for an optlen that is too large) is not worked out",
  "PROG_TEST_RUN of raw_tracepoint and syscall programs with less context than they read: the kernel refuses the run (EINVAL), here the load faults",
  "links: those of fentry, fexit, fmod_ret, lsm, tp_btf and raw_tracepoint programs; other kinds, and links to functions of other programs, are -ENOTSUPP. PROG_TEST_RUN calls the kernel's test functions, nothing else of the kernel's BTF is ever called, nor the tracepoint bpf_test_finish hit; no LINK_UPDATE, no ITER_CREATE",
  "fmod_ret and sleepable fentry: every function of the kernel's BTF counts as one that allows it; struct_ops: every member may sleep",
  "helpers with sockmaps, local storage, TCP and socket options; bpf_get_func_ip where a kind of program has none is EINVAL, not ENOTSUPP",
  "%p shows the address itself, %pS and %pB have no symbols: formats of the kernel hash the one and name the other",
  "iterator programs over anything but the elements of maps",
  "variables of the kernel (__ksym with a type) have an address, and reading there is a fault; kfuncs of modules are not looked up; struct_ops maps are not attached",
  "CO-RE: types of kernel modules are not searched, on either host; access paths that overflow 32 bits, or begin with a space, are refused where the kernel wraps and skips",
  "calls: chains through callbacks, and stacks of more than 512 bytes in a chain, are found by running, not at load; what a helper misses is only passed over behind constants in registers and frozen maps, not on the stack",
  "bpffs: links, permissions of files, and the files that the kernel puts into it (maps.debug, progs.debug)",
  "a page of an arena that user space only read is not allocated by that; SEGV_ON_FAULT cannot make a view fault",
  "pointers into an arena that went through 32-bit arithmetic are none any more, and NULL of an arena faults in place of reading 0",
  "two threads that map one arena at the same moment can both be served: the kernel gives one of them EBUSY",
  "a ring's second half is no mirror of the first: records are contiguous past max_entries, as libbpf reads them",
  "BTF_LOAD refuses ints of other than 1, 2, 4, 8 or 16 bytes, which the kernel takes; its log has other words",
  "kptrs to structs of the kernel: only those that it can release are known by name, any other counts as the program's own",
  "bpf_list_head reads as zero; the kernel shows addresses of its own",
  "per-CPU hashes: the padding behind value_size that a new element has from what was in its memory before, when a program made it",
  "a client killed inside a command keeps what it holds beside the map in use (of commands on one object by its fd: the object) until the host goes; one killed in a change of an LPM_TRIE can leak a node",
  "a client killed while it takes an object away can leave an id that MAP_GET_NEXT_ID shows and nobody can open",
  "nothing is open at the fds 0 to 2 (-EBADF); on Linux they are files that are no maps (-EINVAL) as a rule",
  "OBJ_GET_INFO_BY_FD's lists, logs, streams and data_out are written whole or not at all where the caller's memory ends too soon; the kernel writes up to there",
  "memory that was mapped serves nothing else while the host is open, unless the caller said that it drops its views",
  "readers' epochs: values of deleted elements can be reused under a running program, as in the kernel's preallocated maps",
];
