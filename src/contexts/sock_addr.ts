/** Programs of cgroups that see and change the address of bind, connect, sendmsg and the like. */

import * as uapi from "../uapi/index.ts";
import { accessTable, type FieldRule, narrow, stores, tableAllows, whole } from "./fields.ts";
import { cgroupHelpers, sockAddrHelpers } from "./helper_groups.ts";
import type { ContextFamily } from "./table.ts";

const { fields, size: SIZE } = uapi.bpf_sock_addr;

const common: readonly FieldRule[] = [
  whole(fields.user_family),
  narrow(fields.user_port),
  stores(fields.user_port),
  whole(fields.family),
  whole(fields.type),
  whole(fields.protocol),
  whole(fields.sk),
];
/** Also two words of an address at once, where they lie at a multiple of 8. */
const ip4: readonly FieldRule[] = [narrow(fields.user_ip4), stores(fields.user_ip4)];
const ip6: readonly FieldRule[] = [narrow(fields.user_ip6, 15), stores(fields.user_ip6, 4 | 8)];
const source4: readonly FieldRule[] = [narrow(fields.msg_src_ip4), stores(fields.msg_src_ip4)];
const source6: readonly FieldRule[] = [narrow(fields.msg_src_ip6, 15), stores(fields.msg_src_ip6, 4 | 8)];

const v4: Uint8Array = accessTable(SIZE, [...common, ...ip4]);
const v6: Uint8Array = accessTable(SIZE, [...common, ...ip6]);
const unix: Uint8Array = accessTable(SIZE, common);

const tables: Readonly<Record<number, Uint8Array>> = {
  [uapi.BPF_CGROUP_INET4_BIND]: v4,
  [uapi.BPF_CGROUP_INET6_BIND]: v6,
  [uapi.BPF_CGROUP_INET4_CONNECT]: v4,
  [uapi.BPF_CGROUP_INET6_CONNECT]: v6,
  [uapi.BPF_CGROUP_UNIX_CONNECT]: unix,
  [uapi.BPF_CGROUP_UDP4_SENDMSG]: accessTable(SIZE, [...common, ...ip4, ...source4]),
  [uapi.BPF_CGROUP_UDP6_SENDMSG]: accessTable(SIZE, [...common, ...ip6, ...source6]),
  [uapi.BPF_CGROUP_UNIX_SENDMSG]: unix,
  [uapi.BPF_CGROUP_UDP4_RECVMSG]: v4,
  [uapi.BPF_CGROUP_UDP6_RECVMSG]: v6,
  [uapi.BPF_CGROUP_UNIX_RECVMSG]: unix,
  [uapi.BPF_CGROUP_INET4_GETPEERNAME]: v4,
  [uapi.BPF_CGROUP_INET6_GETPEERNAME]: v6,
  [uapi.BPF_CGROUP_UNIX_GETPEERNAME]: unix,
  [uapi.BPF_CGROUP_INET4_GETSOCKNAME]: v4,
  [uapi.BPF_CGROUP_INET6_GETSOCKNAME]: v6,
  [uapi.BPF_CGROUP_UNIX_GETSOCKNAME]: unix,
};

/** Where a program's word refuses a system call, so that it may also say the errno. */
const deciding: readonly number[] = [
  uapi.BPF_CGROUP_INET4_BIND,
  uapi.BPF_CGROUP_INET6_BIND,
  uapi.BPF_CGROUP_INET4_CONNECT,
  uapi.BPF_CGROUP_INET6_CONNECT,
  uapi.BPF_CGROUP_UNIX_CONNECT,
  uapi.BPF_CGROUP_UDP4_SENDMSG,
  uapi.BPF_CGROUP_UDP6_SENDMSG,
  uapi.BPF_CGROUP_UNIX_SENDMSG,
];

export const sockAddrContext: ContextFamily = {
  size: SIZE,
  whole: true,
  access: (offset, size, write, attachType) => tableAllows(tables[attachType]!, offset, size, write),
  helpers: [...cgroupHelpers, ...sockAddrHelpers],
  onlyFor: {
    [uapi.BPF_FUNC_get_retval]: deciding,
    [uapi.BPF_FUNC_set_retval]: deciding,
    [uapi.BPF_FUNC_bind]: [uapi.BPF_CGROUP_INET4_CONNECT, uapi.BPF_CGROUP_INET6_CONNECT],
  },
  packetLoads: false,
  attachTypes: Object.keys(tables).map(Number),
  sleepable: false,
  kernelPointers: true,
  pointers: { sock: fields.sk.offset },
};
