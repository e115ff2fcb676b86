/** Every helper called by programs, on the embedded hosts and on the kernel at hand: r0 whole, and what it left behind. */
import { afterAll, expect, test } from "vitest";
import type { Host } from "../../src/host/host.ts";
import * as asm from "../../src/insn/index.ts";
import * as u from "../../src/uapi/index.ts";
import { closeHosts, embeddedOf, openHosts, placesOf } from "./hosts.ts";
import { loadProgram, readResults, resultMap, testRun } from "./programs.ts";

const { R0, R1, R2, R3, R4, R5, R6, R7, R8, R9, R10 } = asm;
const hosts = openHosts();
const places = placesOf(hosts);
let compared = 0;
afterAll(() => {
  expect(hosts.exclusive.openFds()).toEqual([]);
  closeHosts(hosts);
  console.log(`helpers: ${compared} programs, ${hosts.kernel === undefined ? hosts.kernelNote : "also on the kernel"}`);
});

/** The words that a program may leave. */
const WORDS = 16;

interface MapSpec {
  readonly type: number;
  readonly key: number;
  readonly value: number;
  readonly max: number;
  readonly flags?: number;
}

/** Helper calls keep a result in the n-th word. */
const keep = (n: number): asm.AsmItem => asm.stx("u64", R9, R0, n * 8);
/** r2 = a key on the stack. */
const key = (n: number): readonly asm.AsmItem[] => [
  asm.st("u32", R10, -4, n),
  asm.mov64(R2, R10),
  asm.alu64Imm("add", R2, -4),
];
/** `reg` = a value of 8 bytes on the stack. */
const value = (reg: asm.Reg, n: bigint): readonly asm.AsmItem[] => [
  asm.ldImm64(R0, n),
  asm.stx("u64", R10, R0, -16),
  asm.mov64(reg, R10),
  asm.alu64Imm("add", reg, -16),
];
const u64 = (reg: asm.Reg, n: bigint): asm.AsmItem => asm.ldImm64(reg, n);
const errno = (e: number): bigint => BigInt.asUintN(64, BigInt(-e));

type Body = (map: number) => readonly asm.AsmItem[];

/** Runs `body` with r9 at the results and r8 the map's handle; gives the words it left. */
function runOn(host: Host, spec: MapSpec | undefined, body: Body): bigint[] {
  const results = resultMap(host, WORDS * 8);
  const map =
    spec === undefined
      ? -1
      : host.bpf(u.BPF_MAP_CREATE, {
          map_type: spec.type,
          key_size: spec.key,
          value_size: spec.value,
          max_entries: spec.max,
          map_flags: spec.flags ?? 0,
        });
  const items = [
    asm.mov64(R6, R1),
    asm.ldMapValue(R9, results, 0),
    ...(map < 0 ? [] : [asm.ldMapFd(R8, map)]),
    ...body(map),
    asm.mov64Imm(R0, 2),
    asm.exit(),
  ];
  const { fd, log } = loadProgram(host, items);
  if (fd < 0) throw new Error(`PROG_LOAD ${fd}: ${log.slice(-500)}`);
  const { ret } = testRun(host, fd);
  expect(ret).toBe(0);
  const words = [...readResults(host, results, WORDS * 8)];
  for (const open of [fd, map, results]) if (open >= 0) host.close(open);
  compared++;
  return words;
}

function check(spec: MapSpec | undefined, body: Body, expected: readonly bigint[]): void {
  for (const [name, host] of places) {
    const found = runOn(host, spec, body);
    expect(
      found.slice(0, expected.length).map((n) => n.toString(16)),
      name,
    ).toEqual(expected.map((n) => n.toString(16)));
  }
}

const HASH: MapSpec = { type: u.BPF_MAP_TYPE_HASH, key: 4, value: 8, max: 2 };
const call = (helper: number): readonly asm.AsmItem[] => [asm.mov64(R1, R8), asm.call(helper)];
const update = (k: number, v: bigint, flags: bigint): readonly asm.AsmItem[] => [
  value(R3, v),
  key(k),
  u64(R4, flags),
  ...call(u.BPF_FUNC_map_update_elem),
];
const lookup = (k: number): readonly asm.AsmItem[] => [key(k), ...call(u.BPF_FUNC_map_lookup_elem)];
/** The looked-up word, or `none`, in the n-th result. */
const found = (n: number, label: string): readonly asm.AsmItem[] => [
  asm.jmpImm("jeq", R0, 0, label),
  asm.ldx("u64", R0, R0, 0),
  asm.label(label),
  keep(n),
];

test("lookup, update and delete: values, and errors over all 64 bits", () => {
  check(
    HASH,
    () => [
      update(1, 0x8877_6655_4433_2211n, 0n),
      keep(0),
      lookup(1),
      found(1, "a"),
      update(1, 5n, BigInt(u.BPF_NOEXIST)),
      keep(2),
      update(2, 5n, BigInt(u.BPF_EXIST)),
      keep(3),
      update(2, 6n, 0n),
      keep(4),
      update(3, 7n, 0n),
      keep(5),
      key(1),
      ...call(u.BPF_FUNC_map_delete_elem),
      keep(6),
      key(1),
      ...call(u.BPF_FUNC_map_delete_elem),
      keep(7),
      lookup(1),
      keep(8),
    ],
    [0n, 0x8877_6655_4433_2211n, errno(u.EEXIST), errno(u.ENOENT), 0n, errno(u.E2BIG), 0n, errno(u.ENOENT), 0n],
  );
});

test.each([
  ["HASH", u.BPF_MAP_TYPE_HASH, 0],
  ["PERCPU_HASH", u.BPF_MAP_TYPE_PERCPU_HASH, 0],
  ["LRU_HASH", u.BPF_MAP_TYPE_LRU_HASH, 0],
  ["LRU_HASH, lists by CPU", u.BPF_MAP_TYPE_LRU_HASH, u.BPF_F_NO_COMMON_LRU],
  ["LRU_PERCPU_HASH", u.BPF_MAP_TYPE_LRU_PERCPU_HASH, 0],
  ["LRU_PERCPU_HASH, lists by CPU", u.BPF_MAP_TYPE_LRU_PERCPU_HASH, u.BPF_F_NO_COMMON_LRU],
])("%s: a value outlives its element, as key and as value of the one that takes its place", (_, type, flags) => {
  // r7 is the value of element `k`, which is no more.
  const outlived = (k: number): readonly asm.AsmItem[] => [
    lookup(k),
    asm.jmpImm("jeq", R0, 0, "out"),
    asm.mov64(R7, R0),
    key(k),
    ...call(u.BPF_FUNC_map_delete_elem),
  ];
  const word = 0x2222_2222_0000_0002n;
  const other = 0x4444_4444_3333_3333n;
  check(
    { ...HASH, type, flags, max: 64 },
    () => [
      update(1, word, 0n),
      outlived(1),
      value(R3, other),
      asm.mov64(R2, R7),
      u64(R4, 0n),
      ...call(u.BPF_FUNC_map_update_elem),
      keep(0),
      lookup(2),
      found(1, "a"),
      outlived(2),
      asm.mov64(R3, R7),
      key(3),
      u64(R4, 0n),
      ...call(u.BPF_FUNC_map_update_elem),
      keep(2),
      lookup(3),
      found(3, "b"),
      asm.label("out"),
    ],
    [0n, other, 0n, other],
  );
});

test("flags of an update are 64 bits", () => {
  const flags = [3n, 1n << 31n, 1n << 32n, 1n << 63n, ~0n & 0xffff_ffff_ffff_ffffn];
  check(
    HASH,
    () => flags.flatMap((f, i) => [...update(1, 1n, f), keep(i)]),
    flags.map(() => errno(u.EINVAL)),
  );
});

test("BPF_F_LOCK on maps without a bpf_spin_lock", () => {
  const flags = [4n, 5n, 6n, 7n, (1n << 32n) | 4n];
  const { EINVAL, EEXIST, E2BIG } = u;
  const inArray = [EINVAL, EEXIST, EINVAL, EINVAL, EINVAL, E2BIG, E2BIG, E2BIG, EINVAL, EINVAL];
  const rows: readonly (readonly [type: number, errnos: readonly number[], flags?: number])[] = [
    [u.BPF_MAP_TYPE_HASH, inArray.map(() => EINVAL)],
    [u.BPF_MAP_TYPE_PERCPU_HASH, inArray.map(() => EINVAL)],
    [u.BPF_MAP_TYPE_LRU_HASH, inArray.map(() => EINVAL)],
    [u.BPF_MAP_TYPE_LRU_PERCPU_HASH, inArray.map(() => EINVAL)],
    [u.BPF_MAP_TYPE_ARRAY, inArray],
    [u.BPF_MAP_TYPE_PERCPU_ARRAY, inArray],
  ];
  for (const [type, errnos] of rows) {
    check(
      { type, key: 4, value: 8, max: 2 },
      // A key that is there in arrays, and one that is not.
      () => [1, 7].flatMap((k, j) => flags.flatMap((f, i) => [...update(k, 1n, f), keep(j * flags.length + i)])),
      errnos.map(errno),
    );
  }
});

test("a value is live: what is written through the pointer stays", () => {
  check(
    { type: u.BPF_MAP_TYPE_ARRAY, key: 4, value: 8, max: 2 },
    () => [
      ...lookup(1),
      asm.jmpImm("jeq", R0, 0, "none"),
      u64(R1, 0xffff_ffff_8000_0000n),
      asm.stx("u64", R0, R1, 0),
      asm.label("none"),
      ...lookup(1),
      ...found(0, "a"),
      ...lookup(2),
      keep(1),
      ...update(2, 1n, 0n),
      keep(2),
      key(0),
      ...call(u.BPF_FUNC_map_delete_elem),
      keep(3),
    ],
    [0xffff_ffff_8000_0000n, 0n, errno(u.E2BIG), errno(u.EINVAL)],
  );
});

test("per-CPU values: this CPU's by lookup, any by number, none beyond the last", () => {
  const percpu = (cpu: bigint): readonly asm.AsmItem[] => [
    key(1),
    u64(R3, cpu),
    ...call(u.BPF_FUNC_map_lookup_percpu_elem),
  ];
  for (const type of [u.BPF_MAP_TYPE_PERCPU_ARRAY, u.BPF_MAP_TYPE_PERCPU_HASH]) {
    check(
      { type, key: 4, value: 8, max: 2 },
      () => [
        ...update(1, 0x1_8000_0000n, 0n),
        ...lookup(1),
        ...found(0, "a"),
        ...percpu(0n),
        ...found(1, "b"),
        ...percpu(1n),
        ...found(2, "c"),
        ...percpu(BigInt(hosts.cpus)),
        keep(3),
        ...percpu(1n << 31n),
        keep(4),
      ],
      [0x1_8000_0000n, 0x1_8000_0000n, 0n, 0n, 0n],
    );
  }
});

const push = (v: bigint, flags: bigint): readonly asm.AsmItem[] => [
  value(R2, v),
  u64(R3, flags),
  ...call(u.BPF_FUNC_map_push_elem),
];
/** pop or peek into a word of ones, which follows the result. */
const take = (helper: number, n: number): readonly asm.AsmItem[] => [
  value(R2, 0xffff_ffff_ffff_ffffn),
  ...call(helper),
  keep(n),
  asm.ldx("u64", R0, R10, -16),
  keep(n + 1),
];

test("push, peek and pop of queue and stack", () => {
  const body: Body = () => [
    ...take(u.BPF_FUNC_map_pop_elem, 0),
    ...push(0xffff_ffff_0000_0001n, 0n),
    ...push(2n, 0n),
    ...push(3n, 0n),
    keep(2),
    ...push(3n, 1n << 32n),
    keep(3),
    ...take(u.BPF_FUNC_map_peek_elem, 4),
    ...take(u.BPF_FUNC_map_pop_elem, 6),
    ...take(u.BPF_FUNC_map_pop_elem, 8),
    ...take(u.BPF_FUNC_map_peek_elem, 10),
  ];
  const expected = (first: bigint, second: bigint): bigint[] => [
    errno(u.ENOENT),
    0n,
    errno(u.E2BIG),
    errno(u.EINVAL),
    ...[0n, first, 0n, first, 0n, second],
    errno(u.ENOENT),
    0n,
  ];
  const shape = { key: 0, value: 8, max: 2 };
  check({ ...shape, type: u.BPF_MAP_TYPE_QUEUE }, body, expected(0xffff_ffff_0000_0001n, 2n));
  check({ ...shape, type: u.BPF_MAP_TYPE_STACK }, body, expected(2n, 0xffff_ffff_0000_0001n));
});

test("push and peek of a bloom filter", () => {
  check(
    { type: u.BPF_MAP_TYPE_BLOOM_FILTER, key: 0, value: 8, max: 100 },
    () => [
      ...push(7n, 0n),
      keep(0),
      ...push(7n, 1n),
      keep(1),
      value(R2, 7n),
      ...call(u.BPF_FUNC_map_peek_elem),
      keep(2),
      value(R2, 8n),
      ...call(u.BPF_FUNC_map_peek_elem),
      keep(3),
    ],
    [0n, errno(u.EINVAL), 0n, errno(u.ENOENT)],
  );
});

test("what a bloom filter is asked about is read: it may lie where programs cannot write", () => {
  const bloom: MapSpec = { type: u.BPF_MAP_TYPE_BLOOM_FILTER, key: 0, value: 8, max: 100 };
  for (const [name, host] of places) {
    const array = host.bpf(u.BPF_MAP_CREATE, {
      map_type: u.BPF_MAP_TYPE_ARRAY,
      key_size: 4,
      value_size: 8,
      max_entries: 1,
      map_flags: u.BPF_F_RDONLY_PROG,
    });
    const peek = [asm.ldMapValue(R2, array, 0), ...call(u.BPF_FUNC_map_peek_elem)];
    const words = runOn(host, bloom, () => [...peek, keep(0), ...push(0n, 0n), ...peek, keep(1)]);
    expect(words.slice(0, 2), name).toEqual([errno(u.ENOENT), 0n]);
    host.close(array);
  }
});

const RING: MapSpec = { type: u.BPF_MAP_TYPE_RINGBUF, key: 0, value: 0, max: 4096 };
const query = (what: bigint, n: number): readonly asm.AsmItem[] => [
  u64(R2, what),
  ...call(u.BPF_FUNC_ringbuf_query),
  keep(n),
];
const output = (size: number, flags: bigint): readonly asm.AsmItem[] => [
  value(R2, 5n),
  asm.mov64Imm(R3, size),
  u64(R4, flags),
  ...call(u.BPF_FUNC_ringbuf_output),
];
const reserve = (size: number, flags: bigint): readonly asm.AsmItem[] => [
  asm.mov64Imm(R2, size),
  u64(R3, flags),
  ...call(u.BPF_FUNC_ringbuf_reserve),
];
const commit = (helper: number, label: string, flags: bigint): readonly asm.AsmItem[] => [
  asm.jmpImm("jeq", R0, 0, label),
  u64(R1, 0x1_0000_0002n),
  asm.stx("u64", R0, R1, 0),
  asm.mov64(R1, R0),
  u64(R2, flags),
  asm.call(helper),
  asm.label(label),
];

test("ring buffers: output, reserve, submit, discard, query", () => {
  check(
    RING,
    () => [
      ...output(8, 0n),
      keep(0),
      ...output(8, 4n),
      keep(1),
      ...output(8, 1n << 32n),
      keep(2),
      ...reserve(16, 0n),
      ...commit(u.BPF_FUNC_ringbuf_submit, "a", 1n),
      ...reserve(24, 0n),
      ...commit(u.BPF_FUNC_ringbuf_discard, "b", 1n << 40n),
      ...query(BigInt(u.BPF_RB_AVAIL_DATA), 3),
      ...query(BigInt(u.BPF_RB_RING_SIZE), 4),
      ...query(BigInt(u.BPF_RB_CONS_POS), 5),
      ...query(BigInt(u.BPF_RB_PROD_POS), 6),
      ...query(4n, 7),
      ...query(1n << 32n, 8),
    ],
    [0n, errno(u.EINVAL), errno(u.EINVAL), 72n, 4096n, 0n, 72n, 0n, 0n],
  );
});

test("ring buffers: what is too large, or asks for flags, gives NULL", () => {
  const attempt = (size: number, flags: bigint, n: number): readonly asm.AsmItem[] => [
    ...reserve(size, flags),
    asm.jmpImm("jne", R0, 0, `some${n}`),
    asm.st("u64", R9, n * 8, 1),
    asm.label(`some${n}`),
    ...commit(u.BPF_FUNC_ringbuf_discard, `none${n}`, 0n),
  ];
  check(
    RING,
    () => [...attempt(4080, 0n, 0), ...attempt(4088, 0n, 1), ...attempt(8, 1n, 2), ...attempt(8, 1n << 32n, 3)],
    [0n, 1n, 1n, 1n],
  );
});

test("numbers of the machine are zero-extended", () => {
  check(
    undefined,
    () => [
      asm.call(u.BPF_FUNC_get_prandom_u32),
      asm.alu64Imm("rsh", R0, 32),
      keep(0),
      asm.call(u.BPF_FUNC_get_smp_processor_id),
      keep(1),
      asm.call(u.BPF_FUNC_get_numa_node_id),
      keep(2),
    ],
    [0n, 0n, 0n],
  );
});

test("random numbers have all 32 bits", () => {
  for (const [name, host] of places) {
    const words = runOn(host, undefined, () =>
      Array.from({ length: WORDS }, (_, i) => [asm.call(u.BPF_FUNC_get_prandom_u32), keep(i)]),
    );
    expect(
      words.some((w) => w > 0x7fff_ffffn),
      name,
    ).toBe(true);
    expect(new Set(words).size, name).toBe(WORDS);
  }
});

test("clocks are 64 bits and do not run backwards", () => {
  const clocks = [u.BPF_FUNC_ktime_get_ns, u.BPF_FUNC_ktime_get_boot_ns, u.BPF_FUNC_ktime_get_coarse_ns];
  const body: Body = () => clocks.flatMap((id, i) => [asm.call(id), keep(i), asm.call(id), keep(i + 4)]);
  const time = 0x1_8000_0001n;
  for (const [, host] of embeddedOf(hosts)) host.advance(time);
  for (const [name, host] of places) {
    const words = runOn(host, undefined, body);
    for (let i = 0; i < clocks.length; i++) expect(words[i + 4]! >= words[i]!, name).toBe(true);
    if (name !== "kernel") expect(words.slice(0, 3), name).toEqual([time, time, time]);
  }
});

test("csum_diff: what the kernel says, for any data, sizes and seed", () => {
  let state = 12345;
  const random = (): bigint => {
    state = (Math.imul(state, 1103515245) + 12345) & 0x7fff_ffff;
    return BigInt(state) * 0x9e37_79b9n;
  };
  const csum = (from: number, to: number, seed: bigint): readonly asm.AsmItem[] => [
    ...(from === 0 ? [asm.mov64Imm(R1, 0)] : [asm.mov64(R1, R10), asm.alu64Imm("add", R1, -64)]),
    asm.mov64Imm(R2, from),
    ...(to === 0 ? [asm.mov64Imm(R3, 0)] : [asm.mov64(R3, R10), asm.alu64Imm("add", R3, -32)]),
    asm.mov64Imm(R4, to),
    u64(R5, seed),
    asm.call(u.BPF_FUNC_csum_diff),
  ];
  const shapes = [
    [0, 0],
    [0, 4],
    [4, 0],
    [4, 4],
    [32, 32],
    [8, 32],
    [2, 4],
    [32, 0],
    [1, 0],
    [0, 3],
    [5, 7],
    [31, 30],
  ] as const;
  for (const fill of [(): bigint => 0n, (): bigint => 0xffff_ffff_ffff_ffffn, random, random, random]) {
    const data = Array.from({ length: 8 }, () => BigInt.asUintN(64, fill()));
    for (const seed of [0n, 0xffff_ffffn, random() & 0xffff_ffffn]) {
      const body: Body = () => [
        ...data.flatMap((word, i) => [u64(R0, word), asm.stx("u64", R10, R0, -64 + i * 8)]),
        ...shapes.flatMap(([from, to], i) => [...csum(from, to, seed), keep(i)]),
      ];
      const answers = places.map(([, host]) => runOn(host, undefined, body).map((n) => n.toString(16)));
      expect(answers[1]).toEqual(answers[0]);
      if (hosts.kernel !== undefined) expect(answers[0]).toEqual(answers[2]);
    }
  }
});

test("csum_diff of the example in RFC 1071", () => {
  // 00 01 f2 03 f4 f5 f6 f7: the sum is ddf2, in network byte order.
  check(
    undefined,
    () => [
      u64(R0, 0xf7f6_f5f4_03f2_0100n),
      asm.stx("u64", R10, R0, -8),
      asm.mov64Imm(R1, 0),
      asm.mov64Imm(R2, 0),
      asm.mov64(R3, R10),
      asm.alu64Imm("add", R3, -8),
      asm.mov64Imm(R4, 8),
      asm.mov64Imm(R5, 0),
      asm.call(u.BPF_FUNC_csum_diff),
      keep(0),
    ],
    [0xf2ddn],
  );
});
