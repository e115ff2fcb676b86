/** Attributes, and the context given and seen. */
import * as asm from "../../../src/insn/index.ts";
import * as u from "../../../src/uapi/index.ts";
import {
  CGROUP,
  call,
  ipv4,
  ipv6,
  linear,
  load,
  packets,
  pass,
  report,
  type SkbCase,
  type SkbField,
  SOCKET,
  store,
  types,
  XMIT,
} from "./cases.ts";

/** Three fields of every kind of packet, and the length that is linear. */
const seen: readonly SkbField[] = ["len", "protocol", "pkt_type", "hash"];

const attributes: readonly SkbCase[] = [
  ...[0, 13, 14, 3712, 3713, 9000].map((n): SkbCase => ({ id: `size.${n}`, code: pass, data: new Uint8Array(n) })),
  ...[1, 2, 4, 8].map((flags): SkbCase => ({ id: `flags.${flags}`, code: pass, attr: { flags } })),
  { id: "cpu", code: pass, attr: { cpu: 1 } },
  { id: "batch", code: pass, attr: { batch_size: 1 } },
  { id: "data.bad", code: pass, attr: { data_in: 0x1000 } },
  { id: "data.bad-and-context", code: pass, attr: { data_in: 0x1000 }, ctx: { len: 1 } },
  { id: "context.bad", code: pass, attr: { ctx_in: 0x1000 } },
  { id: "context.4097", code: pass, attr: { ctx_in: new Uint8Array(4097), ctx_size_in: 4097 } },
  { id: "context.long", code: pass, attr: { ctx_in: new Uint8Array(200), ctx_size_in: 200 } },
  { id: "context.none", code: pass, attr: { ctx_in: null, ctx_size_in: 0 } },
  { id: "context-out.100", code: pass, attr: { ctx_size_out: 100 } },
  { id: "out.10", code: pass, attr: { data_size_out: 10 } },
  { id: "out.0", code: pass, attr: { data_size_out: 0 } },
  { id: "device.99", code: pass, ctx: { ifindex: 99 } },
  { id: "device.99-and-short", code: pass, data: ipv4.subarray(0, 30), ctx: { ifindex: 99 } },
  { id: "short-and-length", code: pass, data: ipv4.subarray(0, 33), ctx: { len: 1 } },
  { id: "short.34", code: pass, data: ipv4.subarray(0, 34) },
  { id: "short.6.53", code: pass, data: ipv6.subarray(0, 53) },
  { id: "short.6.54", code: pass, data: ipv6.subarray(0, 54) },
  { id: "device.99-and-length", code: pass, ctx: { ifindex: 99, len: 1 } },
  { id: "retval.-1", code: report([], -1) },
  {
    id: "repeat",
    code: [asm.ldx("u32", 0, 1, 8), asm.alu64Imm("add", 0, 1), asm.stx("u32", 1, 0, 8), asm.exit()],
    attr: { repeat: 5 },
  },
  ...Object.keys(u.__sk_buff.fields).flatMap((name): SkbCase[] =>
    [1, 64, 65535, 65536, 70000]
      .filter((value) => value < 256 || u.__sk_buff.fields[name as SkbField].size > 1)
      .map((value) => ({ id: `context.${name}.${value}`, code: report([load("len")]), ctx: { [name]: value } })),
  ),
  {
    id: "context.all",
    code: pass,
    ctx: {
      mark: 1,
      priority: 2,
      ingress_ifindex: 3,
      ifindex: 1,
      cb: 4,
      tstamp: 5,
      wire_len: 90,
      gso_segs: 6,
      gso_size: 7,
      hwtstamp: 8,
    },
  },
];

const fieldsOfPackets: readonly SkbCase[] = packets.flatMap(([name, data]) =>
  types.flatMap(([typeName, type]): SkbCase[] => [
    { id: `packet.${name}.${typeName}`, type, data, code: report(seen.map((field) => load(field))) },
    {
      id: `packet.${name}.${typeName}.more`,
      type,
      data,
      code: report([
        load("vlan_present"),
        load("vlan_tci"),
        load("ifindex"),
        load("ingress_ifindex"),
        ...(type === SOCKET ? [] : [linear]),
      ]),
    },
  ]),
);

const given: Partial<Record<SkbField, number>> = {
  mark: 0x1234_5678,
  priority: 9,
  cb: 0x8765_4321,
  gso_segs: 3,
  gso_size: 70000,
  ingress_ifindex: 5,
  wire_len: 300,
};
/** Parts of all fields that have parts: where the kernel's own field is shorter, some are shifted and some are not. */
const parts: readonly SkbCase[] = [
  ...(
    [
      "len",
      "pkt_type",
      "mark",
      "queue_mapping",
      "protocol",
      "vlan_present",
      "vlan_tci",
      "vlan_proto",
      "priority",
      "ingress_ifindex",
      "ifindex",
      "tc_index",
      "hash",
      "tc_classid",
      "napi_id",
      "wire_len",
      "gso_segs",
      "gso_size",
    ] as const
  ).flatMap((name) =>
    [0].map(
      (): SkbCase => ({
        id: `parts.${name}`,
        data: Uint8Array.of(2, ...ipv4.subarray(1)),
        ctx: given,
        code: report([
          [
            ...store("queue_mapping", 0x1234),
            ...store("tc_index", 0x2345),
            ...store("tc_classid", 0x3456),
            ...call(u.BPF_FUNC_skb_vlan_push, 0xa888, 0x789),
            ...call(u.BPF_FUNC_set_hash, 0x1234_5678),
            ...load(name, "u8"),
          ],
          load(name, "u8", 1),
          load(name, "u8", 2),
          load(name, "u16", 0),
          load(name, "u16", 2),
        ]),
      }),
    ),
  ),
  ...(["family", "remote_port", "local_port"] as const).map(
    (name): SkbCase => ({
      id: `parts.${name}`,
      type: CGROUP,
      code: report([
        load(name, "u8"),
        load(name, "u8", 1),
        load(name, "u8", 2),
        load(name, "u16", 0),
        load(name, "u16", 2),
      ]),
    }),
  ),
];
const narrow: readonly SkbCase[] = (["mark", "priority", "protocol", "len", "gso_size", "wire_len"] as const).flatMap(
  (name) => [
    {
      id: `narrow.${name}`,
      code: report([load(name), load(name, "u8"), load(name, "u8", 1), load(name, "u16", 2), load(name, "u8", 3)]),
      ctx: given,
    },
  ],
);
const written: readonly SkbCase[] = [
  ...(["mark", "priority", "tc_index", "queue_mapping", "tc_classid"] as const).flatMap((name) =>
    [7, 65534, 65535, 70000, -1].map(
      (value): SkbCase => ({
        id: `store.${name}.${value}`,
        code: report([
          [...store(name, 3), ...store(name, value), ...load(name)],
          load(name, "u8"),
          load(name, "u16", 2),
        ]),
      }),
    ),
  ),
  { id: "store.tstamp", code: report([[...store("tstamp", -5, "u64"), ...load("tstamp", "u64")]]) },
  { id: "store.cb", code: report([[...store("cb", -1, "u64"), ...load("cb", "u8", 4)], [...load("cb", "u16", 2)]]) },
  { id: "store.mark.cgroup", type: CGROUP, code: report([store("mark", 77), store("priority", 4)]) },
  { id: "store.mark.xmit", type: XMIT, code: report([store("mark", 77), store("priority", 4)]) },
];

/** The fields of the socket behind the context. */
const socketWord = (at: number): readonly asm.AsmItem[] => [
  asm.mov64Imm(0, -1),
  asm.ldx("u64", 2, 6, u.__sk_buff.fields.sk.offset),
  asm.jmpImm("jeq", 2, 0, 1),
  asm.ldx("u32", 0, 2, at),
];
const words = (at: number, count: number): (readonly asm.AsmItem[])[] =>
  Array.from({ length: count }, (_, i) => socketWord(at + 4 * i));
const { fields: sock } = u.bpf_sock;
const sockets: readonly SkbCase[] = packets.slice(0, 4).flatMap(([name, data]) => [
  {
    id: `sk.${name}.family`,
    data,
    code: report(
      [sock.bound_dev_if, sock.family, sock.src_ip4, sock.dst_ip4, sock.state].map((field) => socketWord(field.offset)),
    ),
  },
  {
    id: `sk.${name}.ports`,
    data,
    code: report([sock.src_port, sock.rx_queue_mapping].map((field) => socketWord(field.offset))),
  },
  { id: `sk.${name}.src`, data, code: report(words(sock.src_ip6.offset, 4)) },
  { id: `sk.${name}.dst`, data, code: report(words(sock.dst_ip6.offset, 4)) },
  {
    id: `sk.${name}.fields`,
    type: CGROUP,
    data,
    code: report(
      (["family", "remote_ip4", "local_ip4", "remote_port", "local_port"] as const).map((field) => load(field)),
    ),
  },
  ...(["remote_ip6", "local_ip6"] as const).map(
    (field): SkbCase => ({
      id: `sk.${name}.${field}`,
      type: CGROUP,
      data,
      code: report([0, 4, 8, 12].map((at) => load(field, "u32", at))),
    }),
  ),
]);

export const contextCases: readonly SkbCase[] = [
  ...attributes,
  ...fieldsOfPackets,
  ...narrow,
  ...parts,
  ...written,
  ...sockets,
];
