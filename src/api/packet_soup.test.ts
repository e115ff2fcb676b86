/** Random programs on random frames, alone and in batches, against BPF_PROG_TEST_RUN of the same on a host of its own. */
import { expect, test } from "vitest";
import { createTestHost } from "../../test/compiled.ts";
import { type PacketType, packetSoup, packetTypes, type SoupFds } from "../../test/packet_soup.ts";
import { hostOptions, outcome, packet } from "../../test/plain_runs.ts";
import { randomOf } from "../../test/random.ts";
import * as asm from "../insn/index.ts";
import * as u from "../uapi/index.ts";
import { EmbeddedBpfHost, type Program } from "./index.ts";

const words = (...of: readonly number[]): Uint8Array => new Uint8Array(Uint32Array.from(of).buffer);

interface Side {
  readonly host: EmbeddedBpfHost;
  on(cpu: number, run: () => unknown): unknown;
  create(type: number, key: number, value: number, entries: number, inner?: number): number;
  put(map: number, key: number, value: number): void;
  readonly maps: Omit<SoupFds, "programs">;
}

/** The same as all others, to the numbers that helpers draw: `plain`, or by the command alone. */
function sideOf(shared: boolean, plain: boolean): Side {
  const seam = createTestHost({ ...hostOptions, shared, runBudget: 3000, memory: 48 << 20 });
  if (!plain) seam.plainRun = () => () => undefined;
  const host = new EmbeddedBpfHost(seam);
  host.setNetwork({
    devices: [{ ifindex: 7, mtu: 1400 }],
    sockets: [
      { protocol: "tcp", local: "0.0.0.0:4", mark: 1 },
      { protocol: "udp", local: "0.0.0.0:1", mark: 2 },
    ],
    tunnel: { id: 5, from: "1.2.3.4", to: "1.2.3.5" },
  });
  const create = (type: number, key: number, value: number, entries: number, inner = 0): number => {
    const attr = { map_type: type, key_size: key, value_size: value, max_entries: entries, inner_map_fd: inner };
    const fd = seam.bpf(u.BPF_MAP_CREATE, attr);
    expect(fd).toBeGreaterThan(0);
    return fd;
  };
  const put = (map: number, key: number, value: number): void => {
    expect(seam.bpf(u.BPF_MAP_UPDATE_ELEM, { map_fd: map, key: words(key), value: words(value) })).toBe(0);
  };
  const array = create(u.BPF_MAP_TYPE_ARRAY, 4, 16, 16);
  const maps = {
    hash: create(u.BPF_MAP_TYPE_HASH, 8, 16, 16),
    lru: create(u.BPF_MAP_TYPE_LRU_HASH, 8, 16, 16),
    array,
    ring: create(u.BPF_MAP_TYPE_RINGBUF, 0, 0, 4096),
    queue: create(u.BPF_MAP_TYPE_QUEUE, 0, 16, 8),
    devices: create(u.BPF_MAP_TYPE_DEVMAP, 4, 4, 8),
    inner: create(u.BPF_MAP_TYPE_ARRAY_OF_MAPS, 4, 4, 4, array),
  };
  put(maps.devices, 0, 7);
  put(maps.inner, 0, array);
  return { host, on: (cpu, run) => (cpu === 0 ? run() : seam.onCpu(cpu, run)), create, put, maps };
}

const frame = (length: number, ...behind: readonly number[]): Uint8Array => {
  const bytes = packet(length);
  bytes.set(behind, 12);
  return bytes;
};
const toOurs = packet(64);
toOurs.fill(0, 0, 6);
const frames: readonly Uint8Array[] = [
  ...[14, 15, 64, 511, 512, 513, 3520, 3521, 3648, 3712].map((length) => packet(length)),
  ...[34, 35, 64, 74, 700].map((length) => frame(length, 8, 0, 0x45, 0, 0, length - 14, 0, 0, 0, 0, 64, 6)),
  ...[54, 64, 94, 1500].map((length) => frame(length, 0x86, 0xdd, 0x60, 0, 0, 0, 0, length - 54, 6, 64)),
  toOurs,
  frame(64, 0x81, 0, 0, 5, 8, 0),
  frame(64, 0x81, 0, 0, 5, 0x81, 0, 0, 7),
  frame(64, 5, 0xff, 0xff, 0xff),
];

/** Where things lie is not the same on all hosts. */
const show = (seen: unknown): string =>
  JSON.stringify(seen, (_, value) => (typeof value === "bigint" ? `${value}n` : value))
    .replaceAll(/0x[0-9a-f]{5,}/g, "somewhere")
    .replaceAll(/"address":"\d{6,}n"/g, "somewhere");

type Seen = Readonly<Record<string, unknown>>;
const faultOf = ({ message, log, stopped, events }: Seen): string => show({ message, log, stopped, events });

/** The same of packets of a batch. */
function batch(program: Program, list: readonly Uint8Array[], packets: boolean): string[] {
  const many = program.runMany(list, { packets });
  const failed = new Map(many.failures.map(({ packet: at, error }) => [at, error]));
  return list.map((_, i) => {
    const error = failed.get(i);
    if (error !== undefined) return faultOf({ ...error, message: error.message });
    const data = packets ? Buffer.from(many.packets!.at(i)!).toString("base64") : undefined;
    const events = many.events.filter(({ packet: at }) => at === i).map(({ event }) => event);
    return show({ retval: many.retvals[i], data, events });
  });
}

const asInBatch = (seen: Seen, packets: boolean): string =>
  "message" in seen
    ? faultOf(seen)
    : show({ retval: seen.retval, data: packets ? seen.data : undefined, events: seen.events });

test.each([false, true])("random programs of all types in random order, on two CPUs: shared %s", (shared) => {
  const sides = [sideOf(shared, true), sideOf(shared, false), sideOf(shared, true)];
  const names = Object.keys(packetTypes) as PacketType[];
  const tables = sides.map(({ create }) => names.map(() => create(u.BPF_MAP_TYPE_PROG_ARRAY, 4, 4, 4)));
  const random = randomOf(shared ? 11 : 12);
  const loaded = Array.from({ length: 24 }, (_, n) => {
    const which = random(names.length);
    const type = names[which]!;
    const seed = random(0x7fff_ffff);
    const isTarget = random(3) === 0;
    const programs = sides.map(({ host, maps, put }, side) => {
      const table = tables[side]![which]!;
      const insns = packetSoup(randomOf(seed), packetTypes[type], { ...maps, programs: table });
      const program = host.loadProgram({ type, name: "soup", insns, license: "GPL" });
      if (isTarget) put(table, n % 4, program.fd);
      return program;
    });
    return { what: `${type}, seed ${seed}`, programs };
  });
  const idle = sides.map(({ host }) =>
    host.loadProgram({ type: "raw_tracepoint", insns: [asm.mov64Imm(0, 3), asm.exit()], license: "GPL" }),
  );
  for (let turn = 0; turn < 90; turn++) {
    const { what, programs } = loaded[random(loaded.length)]!;
    const list = Array.from({ length: 1 + random(5) }, () => frames[random(frames.length)]!);
    const cpu = random(4) === 0 ? 1 : 0;
    const packets = random(3) > 0;
    if (random(10) === 0) for (const [side, program] of idle.entries()) sides[side]!.on(cpu, () => program.run({}));
    const alone = (side: number): Seen[] =>
      list.map((data) => sides[side]!.on(cpu, () => outcome(programs[side]!, { data })) as Seen);
    const commands = alone(1);
    expect(alone(0).map(show), what).toEqual(commands.map(show));
    const inBatch = sides[2]!.on(cpu, () => batch(programs[2]!, list, packets));
    expect(inBatch, what).toEqual(commands.map((seen) => asInBatch(seen, packets)));
  }
  for (const program of [...loaded.flatMap(({ programs }) => programs), ...idle]) program.close();
  for (const { host } of sides) host.close();
});
