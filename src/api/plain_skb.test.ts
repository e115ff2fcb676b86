/** Runs of programs that see an skb without attributes, against BPF_PROG_TEST_RUN: the same, whatever they do to it. */
import { expect, test, vi } from "vitest";
import { outcome, packet, pairs } from "../../test/plain_runs.ts";
import { randomOf } from "../../test/random.ts";
import { EmbeddedHost } from "../host/embedded.ts";
import * as asm from "../insn/index.ts";
import * as u from "../uapi/index.ts";
import type { Program } from "./index.ts";

const { R0, R1, R2, R3, R4, R5, R6, R7, R10 } = asm;
const types = ["sched_cls", "sched_act", "socket_filter", "cgroup_skb", "lwt_in", "lwt_out", "lwt_xmit"];
const { fields } = u.__sk_buff;

/** Sums up all words of the context that may be read, and of its socket. */
const reads = (names: readonly (keyof typeof fields)[]): asm.AsmItem[] => [
  names.flatMap((name) => [
    asm.alu64Imm("mul", R7, 31),
    asm.ldx("u32", R1, R6, fields[name].offset),
    asm.alu64("add", R7, R1),
  ]),
];
const sockFields = u.bpf_sock.fields;
const sockReads = (offsets: readonly number[]): asm.AsmItem[] => [
  asm.ldx("u64", R1, R6, fields.sk.offset),
  asm.jmpImm("jeq", R1, 0, "no socket"),
  offsets.flatMap((offset) => [asm.alu64Imm("mul", R7, 31), asm.ldx("u32", R2, R1, offset), asm.alu64("add", R7, R2)]),
  asm.label("no socket"),
];
const begin: asm.AsmItem[] = [asm.mov64(R6, R1), asm.mov64Imm(R7, 0)];
const end: asm.AsmItem[] = [asm.mov64(R0, R7), asm.exit()];
const plain = ["len", "pkt_type", "mark", "queue_mapping", "protocol", "vlan_present", "priority", "ifindex"] as const;
const more = ["hash", "tc_index", "tc_classid", "napi_id"] as const;
const addresses = ["family", "remote_ip4", "local_ip4", "remote_port", "local_port"] as const;
const call = (helper: number, ...args: readonly asm.Insn[]): asm.AsmItem[] => [
  asm.mov64(R1, R6),
  ...args,
  asm.call(helper),
  asm.alu64Imm("mul", R7, 31),
  asm.alu64("add", R7, R0),
];

const programs: Readonly<Record<string, readonly asm.AsmItem[]>> = {
  "the fields": [...begin, ...reads(plain), ...end],
  "more fields": [...begin, ...reads(more), ...end],
  "addresses of the socket": [...begin, ...reads(addresses), ...end],
  "the socket": [
    ...begin,
    ...sockReads((["family", "state", "src_ip4", "dst_ip4"] as const).map((name) => sockFields[name].offset)),
    ...end,
  ],
  "addresses of IPv6": [
    ...begin,
    ...sockReads([0, 4, 8, 12].flatMap((at) => [sockFields.src_ip6.offset + at, sockFields.dst_ip6.offset + at])),
    [0, 4, 8, 12].flatMap((at) => [
      asm.alu64Imm("mul", R7, 31),
      asm.ldx("u32", R1, R6, fields.remote_ip6.offset + at),
      asm.alu64("add", R7, R1),
      asm.alu64Imm("mul", R7, 31),
      asm.ldx("u32", R1, R6, fields.local_ip6.offset + at),
      asm.alu64("add", R7, R1),
    ]),
    ...end,
  ],
  "addresses of IPv6 in the socket": [
    ...begin,
    ...sockReads([0, 4, 8, 12].flatMap((at) => [sockFields.src_ip6.offset + at, sockFields.dst_ip6.offset + at])),
    ...end,
  ],
  "control block, written and read": [
    ...begin,
    asm.ldx("u32", R7, R6, fields.cb.offset + 4),
    asm.st("u32", R6, fields.cb.offset + 4, 77),
    ...end,
  ],
  "fields, written and read": [
    ...begin,
    ...reads(["mark", "queue_mapping", "tc_index", "priority"]),
    asm.mov64Imm(R1, 0x1_2345),
    (["mark", "queue_mapping", "tc_index", "priority"] as const).map((name) =>
      asm.stx("u32", R6, R1, fields[name].offset),
    ),
    ...reads(["mark", "queue_mapping", "tc_index", "priority"]),
    ...end,
  ],
  "the bytes": [
    ...begin,
    asm.ldx("u32", R1, R6, fields.data.offset),
    asm.ldx("u32", R2, R6, fields.data_end.offset),
    asm.mov64(R3, R1),
    asm.alu64Imm("add", R3, 8),
    asm.jmp("jgt", R3, R2, "short"),
    asm.ldx("u64", R7, R1, 0),
    asm.label("short"),
    ...end,
  ],
  "bytes written straight": [
    ...begin,
    asm.ldx("u32", R1, R6, fields.data.offset),
    asm.ldx("u32", R2, R6, fields.data_end.offset),
    asm.mov64(R3, R1),
    asm.alu64Imm("add", R3, 2),
    asm.jmp("jgt", R3, R2, "short"),
    asm.st("u16", R1, 0, 0x1234),
    asm.label("short"),
    ...end,
  ],
  "packet loads": [...begin, asm.ldAbs("u8", 20), asm.mov64(R7, R0), ...end],
  "bytes by helpers": [
    ...begin,
    ...call(
      u.BPF_FUNC_skb_load_bytes,
      asm.mov64Imm(R2, 3),
      asm.mov64(R3, R10),
      asm.alu64Imm("add", R3, -8),
      asm.mov64Imm(R4, 8),
    ),
    asm.ldx("u64", R1, R10, -8),
    asm.alu64("add", R7, R1),
    ...end,
  ],
  "bytes stored": [
    ...begin,
    asm.st("u64", R10, -8, 0x55),
    ...call(
      u.BPF_FUNC_skb_store_bytes,
      asm.mov64Imm(R2, 1),
      asm.mov64(R3, R10),
      asm.alu64Imm("add", R3, -8),
      asm.mov64Imm(R4, 8),
      asm.mov64Imm(R5, 0),
    ),
    ...end,
  ],
  shorter: [
    ...begin,
    ...call(u.BPF_FUNC_skb_change_tail, asm.mov64Imm(R2, 20), asm.mov64Imm(R3, 0)),
    ...reads(["len"]),
    ...end,
  ],
  longer: [
    ...begin,
    ...call(u.BPF_FUNC_skb_change_tail, asm.mov64Imm(R2, 600), asm.mov64Imm(R3, 0)),
    ...reads(["len"]),
    ...end,
  ],
  "much longer": [...begin, ...call(u.BPF_FUNC_skb_change_tail, asm.mov64Imm(R2, 9000), asm.mov64Imm(R3, 0)), ...end],
  "a head": [
    ...begin,
    ...call(u.BPF_FUNC_skb_change_head, asm.mov64Imm(R2, 14), asm.mov64Imm(R3, 0)),
    ...reads(["len"]),
    ...end,
  ],
  "heads, until there is no room": [
    ...begin,
    ...call(u.BPF_FUNC_skb_change_head, asm.mov64Imm(R2, 60), asm.mov64Imm(R3, 0)),
    ...end,
  ],
  room: [
    ...begin,
    ...call(u.BPF_FUNC_skb_adjust_room, asm.mov64Imm(R2, 8), asm.mov64Imm(R3, 1), asm.mov64Imm(R4, 0)),
    ...reads(["len", "protocol"]),
    ...end,
  ],
  "another protocol": [
    ...begin,
    ...call(u.BPF_FUNC_skb_change_proto, asm.mov64Imm(R2, 0xdd86), asm.mov64Imm(R3, 0)),
    ...end,
  ],
  "another type": [...begin, ...call(u.BPF_FUNC_skb_change_type, asm.mov64Imm(R2, 1)), ...reads(["pkt_type"]), ...end],
  "a tag": [
    ...begin,
    ...reads(["vlan_present", "vlan_tci"]),
    ...call(u.BPF_FUNC_skb_vlan_push, asm.mov64Imm(R2, 0x0081), asm.mov64Imm(R3, 5)),
    ...reads(["vlan_present", "vlan_tci"]),
    ...end,
  ],
  "a hash": [...begin, ...reads(["hash"]), ...call(u.BPF_FUNC_get_hash_recalc), ...reads(["hash"]), ...end],
  "a tunnel": [
    ...begin,
    ...call(
      u.BPF_FUNC_skb_get_tunnel_key,
      asm.mov64(R2, R10),
      asm.alu64Imm("add", R2, -48),
      asm.mov64Imm(R3, 44),
      asm.mov64Imm(R4, 0),
    ),
    asm.st("u64", R10, -48, 9),
    asm.st("u64", R10, -40, 9),
    ...call(
      u.BPF_FUNC_skb_set_tunnel_key,
      asm.mov64(R2, R10),
      asm.alu64Imm("add", R2, -48),
      asm.mov64Imm(R3, 16),
      asm.mov64Imm(R4, 0),
    ),
    ...end,
  ],
  "a socket that is kept": [
    ...begin,
    ...call(
      u.BPF_FUNC_sk_lookup_tcp,
      asm.mov64(R2, R10),
      asm.alu64Imm("add", R2, -16),
      asm.mov64Imm(R3, 12),
      asm.mov64Imm(R4, -1),
      asm.mov64Imm(R5, 0),
    ),
    ...end,
  ],
  "a fault": [asm.mov64Imm(R1, 7), asm.ldx("u8", R0, R1, 0), asm.exit()],
};

const ip4 = (bytes: Uint8Array): Uint8Array => {
  bytes.set([0x08, 0x00, 0x45], 12);
  return bytes;
};
const ip6 = (bytes: Uint8Array): Uint8Array => {
  bytes.set([0x86, 0xdd, 0x60], 12);
  return bytes;
};
const typed = (...type: readonly number[]): Uint8Array => {
  const bytes = packet(64);
  bytes.set(type, 12);
  return bytes;
};
const toOurs = packet(64);
toOurs.fill(0, 0, 6);
const toMany = packet(64);
toMany[0] = 1;
const frames: readonly (Uint8Array | undefined)[] = [
  undefined,
  ...[13, 14, 15, 16, 64, 3711, 3712, 3713].map((length) => packet(length)),
  ...[33, 34, 64, 700].map((length) => ip4(packet(length))),
  ...[53, 54, 64, 1500].map((length) => ip6(packet(length))),
  toOurs,
  toMany,
  typed(0x81, 0, 0, 5, 8, 0),
  typed(0x06, 0x00),
  typed(0x05, 0xff, 0xff, 0xff),
  typed(0x00, 0x30, 0xaa),
  Buffer.from(ip4(packet(60))),
];

const replacer = (_: string, value: unknown): unknown => (typeof value === "bigint" ? `${value}n` : value);

/** All programs on all types that take them, each as two objects: see `pairs`. */
function loadAll(
  load: (type: string, insns: readonly asm.Insn[]) => readonly Program[],
): { readonly what: string; readonly way: readonly Program[] }[] {
  return types.flatMap((type) =>
    Object.entries(programs).flatMap(([name, items]) => {
      try {
        return [{ what: `${type}, ${name}`, way: load(type, asm.assemble(items)) }];
      } catch {
        // A helper or a field that this type has not.
        return [];
      }
    }),
  );
}

test.each([false, true])("programs of all types on all kinds of frames, one after the other; shared %s", (shared) => {
  const { host, load } = pairs({ shared });
  host.addDevice(7);
  const all = loadAll(load);
  expect(all.length).toBeGreaterThan(90);
  // All of the plain way, then all by the command: what a run leaves is nothing that the next one finds.
  const sequence = (way: number): string[] => {
    const random = randomOf(3);
    return Array.from({ length: 2500 }, () => {
      const { what, way: programsOf } = all[random(all.length)]!;
      const data = frames[random(frames.length)];
      return `${what}, ${data?.length}: ${JSON.stringify(outcome(programsOf[way]!, data === undefined ? {} : { data }), replacer)}`;
    });
  };
  const commands = vi.spyOn(EmbeddedHost.prototype, "bpf");
  const plain = sequence(0);
  // Frames that are refused, or there are none; and the first frame behind what could not be closed.
  expect(commands.mock.calls.length).toBeLessThan(plain.length / 3);
  commands.mockRestore();
  expect(plain).toEqual(sequence(1));
  for (const { way } of all) for (const program of way) program.close();
  expect(host.leaks()).toEqual([]);
  host.close();
});

test.each([false, true])("batches of frames, beside the command for each; shared %s", (shared) => {
  const { host, load } = pairs({ shared });
  host.addDevice(7);
  const all = loadAll(load);
  const list = frames.filter((data) => data !== undefined);
  for (const { what, way } of all) {
    const [batched, single] = way;
    for (const wanted of [true, false]) {
      const many = batched!.runMany([...list, ...list], { packets: wanted });
      expect(many.engine).toBe("jit");
      const failed = new Map(many.failures.map(({ packet: at, error }) => [at, error.message]));
      const found = [...many.retvals].map((retval, i) => ({
        failed: failed.get(i),
        retval,
        data: wanted && !failed.has(i) ? Buffer.from(many.packets!.at(i)!).toString("base64") : undefined,
        events: failed.has(i) ? undefined : many.events.filter(({ packet: at }) => at === i).map(({ event }) => event),
      }));
      const expected = [...list, ...list].map((data) => {
        const {
          message,
          retval = 0,
          data: after,
          events,
        } = outcome(single!, { data }) as Partial<Record<string, unknown>>;
        return {
          failed: message,
          retval,
          data: wanted ? after : undefined,
          events: message === undefined ? events : undefined,
        };
      });
      expect(JSON.stringify(found, replacer), what).toBe(JSON.stringify(expected, replacer));
    }
    for (const program of way) program.close();
  }
  expect(host.leaks()).toEqual([]);
  host.close();
});
