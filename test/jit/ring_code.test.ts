/** Producers of ring buffers: generated code against the helpers' own functions. */
import { expect, test } from "vitest";
import * as asm from "../../src/insn/index.ts";
import { markOf, RING_LEFT, RING_LOCK, RING_PENDING, RING_PROD } from "../../src/struct/ring.ts";
import { mappingSize, RING_BASE } from "../../src/struct/ring_map.ts";
import * as u from "../../src/uapi/index.ts";
import { randomOf } from "../random.ts";
import { COMMAND, type Command, callWithData, DEAD, Side } from "./map_code.ts";

const { R0, R1, R2, R3, R4, R6, R7, R9 } = asm;
const ENTRIES = 4096;
const PAGE = 4096;
const SIZE_MASK = 127;
const attr = { map_type: u.BPF_MAP_TYPE_RINGBUF, key_size: 0, value_size: 0, max_entries: ENTRIES };

/** A record of the command's size, whatever that is, is in the register; NULL: to the end. */
const reserve = (map: number, to: asm.Reg): asm.AsmItem[] => [
  asm.ldMapFd(R1, map),
  asm.ldx("u64", R2, R9, COMMAND.size),
  asm.ldx("u64", R3, R9, COMMAND.more),
  asm.call(u.BPF_FUNC_ringbuf_reserve),
  asm.jmpImm("jeq", R0, 0, "end"),
  asm.mov64(to, R0),
];

const commit = (record: asm.Reg, helper: number = u.BPF_FUNC_ringbuf_submit): asm.AsmItem[] => [
  asm.mov64(R1, record),
  asm.ldx("u64", R2, R9, COMMAND.flags),
  asm.call(helper),
];

const commitWith = (record: asm.Reg, flags: number, helper: number = u.BPF_FUNC_ringbuf_submit): asm.AsmItem[] => [
  asm.mov64(R1, record),
  asm.mov64Imm(R2, flags),
  asm.call(helper),
];

const ways: Readonly<Record<string, (map: number) => readonly asm.AsmItem[]>> = {
  output: (map) => [
    asm.ldx("u64", R3, R9, COMMAND.size),
    asm.alu64Imm("and", R3, SIZE_MASK),
    ...callWithData(map, u.BPF_FUNC_ringbuf_output, R4),
  ],
  submit: (map) => [...reserve(map, R6), asm.stx("u8", R6, R6, 0), ...commit(R6)],
  discard: (map) => [...reserve(map, R6), ...commit(R6, u.BPF_FUNC_ringbuf_discard)],
  keep: (map) => reserve(map, R6),
  inOrder: (map) => [...reserve(map, R6), ...reserve(map, R7), ...commit(R6), ...commit(R7)],
  inReverse: (map) => [
    ...reserve(map, R6),
    ...reserve(map, R7),
    ...commit(R7),
    ...commit(R6, u.BPF_FUNC_ringbuf_discard),
  ],
  behindBusy: (map) => [
    ...reserve(map, R6),
    ...reserve(map, R7),
    ...commit(R6),
    ...reserve(map, R6),
    ...commit(R7),
    ...commit(R6),
  ],
  noRecord: () => commit(R9),
  twice: (map) => [...reserve(map, R6), ...commit(R6), ...commit(R6)],
  lowerHalfOnly: (map) => [
    ...reserve(map, R6),
    asm.mov64Imm(R1, 1),
    asm.alu64Imm("lsh", R1, 32),
    asm.alu64("add", R6, R1),
    ...commit(R6),
  ],
  // Flags that are known when the code is made.
  wakes: (map) => [...reserve(map, R6), ...commitWith(R6, u.BPF_RB_FORCE_WAKEUP)],
  wakesAllTheSame: (map) => [...reserve(map, R6), ...commitWith(R6, 0x7fff_ffff)],
  wakesNobody: (map) => [...reserve(map, R6), ...commitWith(R6, u.BPF_RB_NO_WAKEUP)],
  wakesNobodyElse: (map) => [...reserve(map, R6), ...commitWith(R6, 0x7fff_fff9, u.BPF_FUNC_ringbuf_discard)],
  wakesWhereDue: (map) => [...reserve(map, R6), ...commitWith(R6, 0, u.BPF_FUNC_ringbuf_discard)],
  wakesWhereDueElse: (map) => [...reserve(map, R6), ...commitWith(R6, 4)],
  noRecordKnown: () => commitWith(R9, 0),
  twiceKnown: (map) => [...reserve(map, R6), ...commitWith(R6, 0), ...commitWith(R6, 0)],
  inOrderKnown: (map) => [...reserve(map, R6), ...reserve(map, R7), ...commitWith(R6, 0), ...commitWith(R7, 1)],
  beside: (map) => [...reserve(map, R6), asm.alu64Imm("add", R6, 8), ...commit(R6, u.BPF_FUNC_ringbuf_discard)],
};
const OPS = Object.keys(ways);
const [OUTPUT, SUBMIT, KEEP] = ["output", "submit", "keep"].map((op) => OPS.indexOf(op)) as [number, number, number];

const program = (map: number): asm.AsmItem[] =>
  OPS.flatMap((name, op) => [
    asm.jmpImm("jne", R1, op, `not ${name}`),
    ...ways[name]!(map),
    asm.ja("end"),
    asm.label(`not ${name}`),
  ]);

/** NO_WAKEUP, FORCE_WAKEUP; the rest is refused by output, and ignored by submit. */
const FLAGS: readonly bigint[] = [0n, 0n, 1n, 1n, 2n, 2n, 3n, 4n, 1n << 32n, 1n << 63n];
const SIZES: readonly bigint[] = [0n, 1n, 4n, 7n, 8n, 24n, 31n, 32n, 100n, 127n];
const SIZES_OF_RESERVE: readonly bigint[] = [
  ...SIZES,
  1000n,
  4080n,
  4088n,
  4089n,
  4096n,
  1n << 29n,
  1n << 30n,
  0xffff_fff8n,
  1n << 32n,
  (1n << 63n) | 8n,
];

class Producer {
  readonly side: Side;
  readonly view: DataView;
  wakes = 0;

  constructor(engine: "jit" | "interp", shared: boolean) {
    this.side = new Side(engine, shared, attr, program);
    const { mem } = this.side.kernel;
    const base = mem.u32[(this.side.map + RING_BASE) >>> 2]!;
    this.view = new DataView(mem.wasm.buffer, base, mappingSize(ENTRIES));
    const wake = this.side.kernel.wake.bind(this.side.kernel);
    this.side.kernel.wake = () => {
      this.wakes++;
      wake();
    };
  }

  set consumed(to: bigint) {
    this.view.setBigUint64(0, to, true);
  }

  get consumed(): bigint {
    return this.view.getBigUint64(0, true);
  }

  get produced(): bigint {
    return this.view.getBigUint64(PAGE, true);
  }

  run(command: Command): string {
    const said = this.side.run(command);
    return `${said} ${this.wakes} ${this.produced}`;
  }

  state(): string {
    return this.side.state(RING_BASE, mappingSize(ENTRIES));
  }
}

/** Consumers that read all, one word, nothing or nonsense; and one that spoils a header. */
function consume(ring: Producer, what: number, random: number): void {
  if (what < 4) ring.consumed = ring.produced;
  else if (what === 4 && ring.consumed < ring.produced) ring.consumed += 8n;
  else if (what === 5 && random % 4 === 0) ring.consumed = BigInt(random) << 30n;
  else if (what === 6 && random % 4 === 0) ring.view.setUint32(2 * PAGE + ((random % ENTRIES) & ~7), random, true);
}

test.each([false, true])("random operations, shared: %s", (shared) => {
  const rnd = randomOf(shared ? 2 : 1);
  const [jit, interp] = (["jit", "interp"] as const).map((engine) => new Producer(engine, shared)) as [
    Producer,
    Producer,
  ];
  const { plans } = jit.side;
  expect(plans.get(u.BPF_FUNC_ringbuf_output)).toBe("gen");
  expect(plans.get(u.BPF_FUNC_ringbuf_reserve)).toBe("gen");
  expect(plans.get(u.BPF_FUNC_ringbuf_submit)).toBe("attempt");
  expect(plans.get(u.BPF_FUNC_ringbuf_discard)).toBe("attempt");
  for (let i = 0; i < 1500; i++) {
    const op = rnd(3) === 0 ? rnd(OPS.length) : rnd(4);
    const sizes = op === OUTPUT || rnd(4) > 0 ? SIZES : SIZES_OF_RESERVE;
    const command: Command = {
      op,
      flags: FLAGS[rnd(FLAGS.length)]!,
      more: rnd(20) === 0 ? 1n << BigInt(rnd(64)) : 0n,
      size: sizes[rnd(sizes.length)]!,
      data: Uint8Array.from({ length: 128 }, () => rnd(256)),
    };
    expect(jit.run(command), `${i}: ${OPS[op]}`).toBe(interp.run(command));
    const [what, random] = [rnd(8), rnd(2 ** 31)];
    for (const ring of [jit, interp]) consume(ring, what, random);
    if (i % 10 === 0 || OPS[op] === "behindBusy") expect(jit.state(), `${i}`).toBe(interp.state());
  }
  expect(jit.wakes).toBeGreaterThan(100);
  expect(jit.produced).toBeGreaterThan(BigInt(8 * ENTRIES));
  for (const { side } of [jit, interp]) side.close();
});

test("positions beyond 32 bits", () => {
  for (const shared of [false, true]) {
    const rings = (["jit", "interp"] as const).map((engine) => {
      const ring = new Producer(engine, shared);
      const { mem } = ring.side.kernel;
      const start = 0x1_ffff_ff00n;
      ring.consumed = start;
      mem.view.setBigUint64(ring.side.map + RING_PROD, start, true);
      mem.u32[(ring.side.map + RING_PENDING) >>> 2] = Number(start & 0xffff_ffffn);
      return ring;
    }) as [Producer, Producer];
    for (let i = 0; i < 60; i++) {
      const command: Command = { op: i % 3, size: BigInt(8 * (i % 7)), flags: 0n, data: new Uint8Array(64).fill(i) };
      expect(rings[0].run(command)).toBe(rings[1].run(command));
    }
    expect(rings[0].produced).toBeGreaterThan(0x2_0000_0000n);
    expect(rings[0].state()).toBe(rings[1].state());
    for (const { side } of rings) side.close();
  }
});

test("a lock whose owner is gone is taken over", () => {
  const ring = new Producer("jit", true);
  const { mem } = ring.side.kernel;
  const word = (ring.side.map + RING_LOCK) >>> 2;
  for (const op of [OUTPUT, SUBMIT]) {
    mem.u32[word] = DEAD;
    expect(ring.run({ op, size: 8n })).toMatch(/^0 0 /);
    expect(mem.u32[word]).toBe(0);
  }
  expect(ring.produced).toBe(32n);
  ring.side.close();
});

test("what is not seen published is waited for, and shown where that is in vain", () => {
  const ring = new Producer("jit", true);
  const { mem } = ring.side.kernel;
  const fill = { op: KEEP, size: 4080n };
  for (const op of [OUTPUT, SUBMIT]) {
    ring.consumed = ring.produced;
    ring.run(fill);
    const end = ring.produced;
    // The ring is full: nothing is published that would hide it.
    ring.consumed = end - 4088n;
    ring.view.setBigUint64(PAGE, end - 8n, true);
    ring.run({ op, size: 8n });
    expect(ring.produced).toBe(end);
    expect(mem.u32[(ring.side.map + RING_LOCK) >>> 2]).toBe(0);
  }
  ring.side.close();
});

test("a mark that is not seen is waited for, and put down where that is in vain", () => {
  const ring = new Producer("jit", true);
  const { mem } = ring.side.kernel;
  const place = (): number => 2 * PAGE + (Number(ring.produced) % ENTRIES);
  const look = (): void => expect(ring.view.getUint32(place(), true)).toBe(markOf(Number(ring.produced)));
  for (const op of [OUTPUT, SUBMIT, KEEP, OUTPUT]) {
    ring.run({ op, size: 24n });
    look();
    // No room: nothing but the wait puts it down again.
    ring.view.setUint32(place(), 8, true);
    ring.consumed = ring.produced - 4088n;
    ring.run({ op: SUBMIT, size: 8n });
    look();
    ring.consumed = ring.produced;
    // The next one to take the lock believes it only behind the true position.
    mem.u32[(ring.side.map + RING_LEFT) >>> 2] = Number(ring.produced) - 8;
    expect(ring.run({ op, size: 24n })).toMatch(/^0 /);
    look();
  }
  ring.side.close();
});

test("a length that user space spoiled leads no further than the producer", () => {
  const rings = (["jit", "interp"] as const).map((engine) => new Producer(engine, false)) as [Producer, Producer];
  for (const length of [1000, 0x4000_0ff0, 0x3fff_ffff]) {
    const states = rings.map((ring) => {
      const first = Number(ring.produced) % ENTRIES;
      ring.run({ op: SUBMIT, size: 8n });
      ring.view.setUint32(2 * PAGE + first, length, true);
      return `${ring.run({ op: OUTPUT, size: 8n })} ${ring.state()}`;
    });
    expect(states[0]).toBe(states[1]);
  }
  for (const { side } of rings) side.close();
});
