/** Programs of cgroups that decide about sockets, devices, sysctls and socket options. */

import {
  BPF_CGROUP_GETSOCKOPT,
  BPF_CGROUP_INET_SOCK_CREATE,
  BPF_CGROUP_INET_SOCK_RELEASE,
  BPF_CGROUP_INET4_POST_BIND,
  BPF_CGROUP_INET6_POST_BIND,
  BPF_CGROUP_SETSOCKOPT,
  BPF_FUNC_getsockopt,
  BPF_FUNC_setsockopt,
  bpf_cgroup_dev_ctx,
  bpf_sock,
  bpf_sockopt,
  bpf_sysctl,
} from "../uapi/index.ts";
import { accessTable, type FieldRule, front, narrow, stores, tableAllows, whole } from "./fields.ts";
import { cgroupHelpers, sockHelpers, sockoptHelpers, sysctlHelpers } from "./helper_groups.ts";
import type { ContextFamily } from "./table.ts";

const cgroup = { packetLoads: false, kernelPointers: true, sleepable: false } as const;

const { fields: sock } = bpf_sock;
const sockAlways: readonly FieldRule[] = [
  front(sock.family),
  front(sock.type),
  front(sock.protocol),
  // A port of two bytes and padding, loaded as if it were four.
  front({ offset: sock.dst_port.offset, size: 4 }),
  { offset: sock.dst_port.offset + 1, size: 1, read: 1, write: 0, step: 1 },
  narrow(sock.dst_ip4),
  narrow(sock.dst_ip6),
  front(sock.state),
  front(sock.rx_queue_mapping),
];
const created: Uint8Array = accessTable(bpf_sock.size, [
  ...sockAlways,
  ...[sock.bound_dev_if, sock.mark, sock.priority].flatMap((each) => [whole(each), stores(each)]),
]);
const bound4: Uint8Array = accessTable(bpf_sock.size, [...sockAlways, narrow(sock.src_ip4), front(sock.src_port)]);
const bound6: Uint8Array = accessTable(bpf_sock.size, [...sockAlways, narrow(sock.src_ip6), front(sock.src_port)]);
const sockTables: Readonly<Record<number, Uint8Array>> = {
  // A program that names none is one for new sockets.
  0: created,
  [BPF_CGROUP_INET_SOCK_CREATE]: created,
  [BPF_CGROUP_INET_SOCK_RELEASE]: created,
  [BPF_CGROUP_INET4_POST_BIND]: bound4,
  [BPF_CGROUP_INET6_POST_BIND]: bound6,
};

export const cgroupSockContext: ContextFamily = {
  ...cgroup,
  size: bpf_sock.size,
  whole: true,
  access: (offset, size, write, attachType) => tableAllows(sockTables[attachType]!, offset, size, write),
  helpers: [...cgroupHelpers, ...sockHelpers],
  attachTypes: Object.keys(sockTables).map(Number),
};

const { fields: device } = bpf_cgroup_dev_ctx;
const deviceTable: Uint8Array = accessTable(bpf_cgroup_dev_ctx.size, [
  narrow(device.access_type),
  whole(device.major),
  whole(device.minor),
]);

export const cgroupDeviceContext: ContextFamily = {
  ...cgroup,
  size: bpf_cgroup_dev_ctx.size,
  whole: true,
  access: (offset, size, write) => tableAllows(deviceTable, offset, size, write),
  helpers: cgroupHelpers,
};

const { fields: sysctl } = bpf_sysctl;
const sysctlTable: Uint8Array = accessTable(bpf_sysctl.size, [
  narrow(sysctl.write),
  narrow(sysctl.file_pos),
  stores(sysctl.file_pos),
]);

export const cgroupSysctlContext: ContextFamily = {
  ...cgroup,
  size: bpf_sysctl.size,
  whole: true,
  access: (offset, size, write) => tableAllows(sysctlTable, offset, size, write),
  helpers: [...cgroupHelpers, ...sysctlHelpers],
};

const { fields: option } = bpf_sockopt;
const optionAlways: readonly FieldRule[] = [
  whole(option.sk),
  whole(option.optval),
  whole(option.optval_end),
  whole(option.level),
  whole(option.optname),
  whole(option.optlen),
  stores(option.optlen),
];
const optionTables: Readonly<Record<number, Uint8Array>> = {
  [BPF_CGROUP_GETSOCKOPT]: accessTable(bpf_sockopt.size, [
    ...optionAlways,
    whole(option.retval),
    stores(option.retval),
  ]),
  [BPF_CGROUP_SETSOCKOPT]: accessTable(bpf_sockopt.size, [
    ...optionAlways,
    stores(option.level),
    stores(option.optname),
  ]),
};

export const cgroupSockoptContext: ContextFamily = {
  ...cgroup,
  size: bpf_sockopt.size,
  whole: true,
  access: (offset, size, write, attachType) => tableAllows(optionTables[attachType]!, offset, size, write),
  helpers: [...cgroupHelpers, ...sockoptHelpers],
  onlyFor: { [BPF_FUNC_setsockopt]: [BPF_CGROUP_SETSOCKOPT], [BPF_FUNC_getsockopt]: [BPF_CGROUP_SETSOCKOPT] },
  attachTypes: [BPF_CGROUP_GETSOCKOPT, BPF_CGROUP_SETSOCKOPT],
  pointers: { sock: option.sk.offset, data: [option.optval.offset, option.optval_end.offset], dataWritable: true },
};
