/** User ring buffers, drained: on the kernel by a program, on embedded hosts by the test, which reads the mapping. */
import { afterAll, beforeAll, expect, expectTypeOf, test } from "vitest";
import { onEachEngine } from "../../test/hosts.ts";
import { BtfBuilder } from "../btf/index.ts";
import {
  BPF_BTF_LOAD,
  BPF_FUNC_dynptr_read,
  BPF_FUNC_ringbuf_output,
  BPF_FUNC_user_ringbuf_drain,
  BPF_RB_FORCE_WAKEUP,
  BPF_RINGBUF_BUSY_BIT,
  BPF_RINGBUF_DISCARD_BIT,
  type BpfHost,
  type Program,
  type RingBuf,
  struct,
  type UserRingBuf,
  u32,
} from "../index.ts";
import * as asm from "../insn/index.ts";

const SIZE = 4096;
const { R0, R1, R2, R3, R4, R5, R10 } = asm;
const Order = struct({ id: u32, amount: u32 });
type Order = { id: number; amount: number };
const packet = new Uint8Array(64);
const order = (id: number): Order => ({ id, amount: 2 * id });
const tick = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

/** The other end of a ring: gives the first 8 bytes of each record. */
interface Drainer {
  drain(): Order[];
  close(): void;
}

/** XDP: sends a record of 8 zero bytes, and wakes who waits on any ring. */
function waker(host: BpfHost, out: RingBuf<Order>): Program {
  const insns = asm.assemble([
    asm.st("u64", R10, -8, 0),
    asm.ldMapFd(R1, out.fd),
    asm.mov64(R2, R10),
    asm.alu64Imm("add", R2, -8),
    asm.mov64Imm(R3, 8),
    asm.mov64Imm(R4, BPF_RB_FORCE_WAKEUP),
    asm.call(BPF_FUNC_ringbuf_output),
    asm.exit(),
  ]);
  return host.loadProgram({ type: "xdp", insns, license: "GPL" });
}

/** XDP: drains the ring with a callback that sends the first 8 bytes of each record to `out`. Returns how many. */
function drainProgram(host: BpfHost, ring: UserRingBuf<never>, out: RingBuf<Order>): { program: Program; btf: number } {
  const main = [
    asm.ldMapFd(R1, ring.fd),
    asm.ldFunc(R2, "each"),
    asm.mov64Imm(R3, 0),
    asm.mov64Imm(R4, 0),
    asm.call(BPF_FUNC_user_ringbuf_drain),
    asm.exit(),
  ];
  const each = [
    asm.label("each"),
    asm.st("u64", R10, -8, 0),
    asm.mov64(R3, R1),
    asm.mov64(R1, R10),
    asm.alu64Imm("add", R1, -8),
    asm.mov64Imm(R2, 8),
    asm.mov64Imm(R4, 0),
    asm.mov64Imm(R5, 0),
    asm.call(BPF_FUNC_dynptr_read),
    asm.ldMapFd(R1, out.fd),
    asm.mov64(R2, R10),
    asm.alu64Imm("add", R2, -8),
    asm.mov64Imm(R3, 8),
    asm.mov64Imm(R4, 0),
    asm.call(BPF_FUNC_ringbuf_output),
    asm.mov64Imm(R0, 0),
    asm.exit(),
  ];
  const insns = asm.assemble([main, each]);
  const types = new BtfBuilder();
  const int = types.int("int", 4, { signed: true });
  const proto = types.funcProto(int, [
    { name: "a", typeId: types.ptr(0) },
    { name: "b", typeId: types.ptr(0) },
  ]);
  const entry = types.funcProto(int, [{ name: "ctx", typeId: types.ptr(0) }]);
  const functions = [types.func("main", entry, "global"), types.func("each", proto, "static")];
  const bytes = types.build();
  const btf = host.bpf(BPF_BTF_LOAD, { btf: bytes, btf_size: bytes.length });
  // Where each begins: the entry has two 64-bit immediates among its instructions.
  const funcInfo = Uint32Array.of(0, functions[0]!, 8, functions[1]!);
  const program = host.loadProgram({
    type: "xdp",
    insns,
    license: "GPL",
    btf: { fd: btf, funcInfo: new Uint8Array(funcInfo.buffer), lineInfo: new Uint8Array() },
  });
  return { program, btf };
}

function kernelDrainer(host: BpfHost, ring: UserRingBuf<never>, out: RingBuf<Order>): Drainer {
  const { program, btf } = drainProgram(host, ring, out);
  return {
    drain() {
      const { retval } = program.run({ data: packet });
      const orders: Order[] = [];
      out.drain((each) => void orders.push(each));
      expect(orders.length, "what the helper says").toBe(retval);
      return orders;
    },
    close() {
      program.close();
      host.close(btf);
    },
  };
}

/** Reads what is there by the kernel's rules, and wakes who waits as the kernel would. */
function mappedDrainer(host: BpfHost, ring: UserRingBuf<never>, out: RingBuf<Order>): Drainer {
  const program = waker(host, out);
  const pages = host.mmap(ring.fd, { offset: 0, length: 2 * SIZE + 2 * SIZE, prot: 1 }) as Uint8Array;
  const view = new DataView(pages.buffer, pages.byteOffset, pages.length);
  return {
    drain() {
      const orders: Order[] = [];
      let at = Number(view.getBigUint64(0, true));
      const end = Number(view.getBigUint64(SIZE, true));
      while (at < end) {
        const header = 2 * SIZE + (at % SIZE);
        const length = view.getUint32(header, true);
        if (length >= BPF_RINGBUF_BUSY_BIT) break;
        const size = length & (BPF_RINGBUF_DISCARD_BIT - 1);
        at += (size + 15) & ~7;
        if (at > end) throw new Error(`a record ends at ${at}, behind the producer's ${end}`);
        if (length >= BPF_RINGBUF_DISCARD_BIT) continue;
        const whole = size >= 8;
        orders.push({
          id: whole ? view.getUint32(header + 8, true) : 0,
          amount: whole ? view.getUint32(header + 12, true) : 0,
        });
      }
      view.setBigUint64(0, BigInt(at), true);
      program.run({ data: packet });
      out.drain(() => undefined);
      return orders;
    },
    close() {
      host.munmap(pages);
      program.close();
    },
  };
}

onEachEngine((host) => {
  let out: RingBuf<Order>;
  let orders: UserRingBuf<Order>;
  let other: Drainer;
  beforeAll(() => {
    out = host.createMap({ type: "ringbuf", maxEntries: 64 * 1024, record: Order });
    orders = host.createMap({ type: "user_ringbuf", name: "orders", maxEntries: SIZE, record: Order });
    other = (host.kind === "kernel" ? kernelDrainer : mappedDrainer)(host, orders, out);
  });
  afterAll(() => {
    other.close();
    orders.close();
    out.close();
  });

  test("records arrive in order, once", () => {
    expect([orders.pending(), other.drain()]).toEqual([0, []]);
    expect([1, 2, 3].map((id) => orders.output(order(id)))).toEqual([true, true, true]);
    expect(orders.pending()).toBe(48);
    expect(other.drain()).toEqual([1, 2, 3].map(order));
    expect([orders.pending(), other.drain()]).toEqual([0, []]);
  });

  test("round and round, full to the last byte", () => {
    for (let round = 0, id = 0; round < 20; round++) {
      const sent: Order[] = [];
      while (orders.output(order(id))) sent.push(order(id++));
      expect(sent.length).toBe(SIZE / 16);
      expect(orders.pending()).toBe(SIZE);
      expect(orders.reserve(0)).toBeUndefined();
      expect(other.drain()).toEqual(sent);
    }
  });

  test("records of any length wrap where the ring ends", () => {
    const raw = host.openMap({ id: orders.id }, { type: "user_ringbuf" });
    expectTypeOf(raw.output).parameter(0).toEqualTypeOf<Uint8Array>();
    for (let size = 0; size <= SIZE - 8; size = size * 2 + 3) {
      for (let n = 0; n < 5; n++) {
        const bytes = new Uint8Array(size);
        if (size >= 8) bytes.set(Order.encode(order(size + n)));
        expect(raw.output(bytes)).toBe(true);
        expect(other.drain()).toEqual([size >= 8 ? order(size + n) : { id: 0, amount: 0 }]);
      }
    }
    expect(raw.output(new Uint8Array(SIZE - 8))).toBe(true);
    expect(raw.output(new Uint8Array(0))).toBe(false);
    expect(other.drain()).toEqual([{ id: 0, amount: 0 }]);
    raw.close();
  });

  test("a record that is reserved holds back those behind it, until it is submitted or discarded", () => {
    const [first, second, third] = [8, 8, 8].map((size) => orders.reserve(size)!);
    expect(orders.output(order(4))).toBe(true);
    expect(other.drain()).toEqual([]);
    second!.set(Order.encode(order(2)));
    orders.submit(second!);
    third!.set(Order.encode(order(3)));
    orders.submit(third!);
    expect(other.drain()).toEqual([]);
    orders.discard(first!);
    expect(other.drain()).toEqual([2, 3, 4].map(order));
    expect(orders.pending()).toBe(0);
    for (const used of [first!, second!, new Uint8Array(8)]) {
      expect(() => orders.submit(used)).toThrow("user_ringbuf map `orders`: submit takes what reserve() gave, once");
      expect(() => orders.discard(used)).toThrow("discard takes what reserve() gave");
    }
  });

  test("send waits for room", async () => {
    while (orders.output(order(0)));
    let done = false;
    const sent = orders.send(order(77)).then((result) => {
      done = true;
      return result;
    });
    await tick(20);
    expect(done).toBe(false);
    expect(other.drain().length).toBe(SIZE / 16);
    expect(await sent).toBe(true);
    expect(other.drain()).toEqual([order(77)]);
    expect(await orders.send(order(78))).toBe(true);
    expect(other.drain()).toEqual([order(78)]);
  });

  test("send waits for enough room, and sends what it was given", async () => {
    const raw = host.openMap({ id: orders.id }, { type: "user_ringbuf" });
    const big = new Uint8Array(1000);
    big.set(Order.encode(order(5)));
    while (raw.output(big));
    const sent = raw.send(big);
    big.fill(0xff);
    await tick(20);
    expect(other.drain()).toEqual([5, 5, 5, 5].map(order));
    expect(await sent).toBe(true);
    expect(other.drain()).toEqual([order(5)]);
    raw.close();
  });

  test("send gives up: time, signal, close", async () => {
    const one = host.createMap({ type: "user_ringbuf", name: "one", maxEntries: SIZE });
    const full = new Uint8Array(SIZE - 8);
    expect(one.output(full)).toBe(true);
    expect(await one.send(full, { timeoutMs: 5 })).toBe(false);
    expect(await one.send(full, { timeoutMs: 0 })).toBe(false);
    const stop = new AbortController();
    const aborted = expect(one.send(full, { signal: stop.signal })).rejects.toThrow("enough");
    stop.abort(new Error("enough"));
    await aborted;
    await expect(one.send(full, { signal: stop.signal })).rejects.toThrow("enough");
    const closed = expect(one.send(full)).rejects.toThrow("user_ringbuf map `one` is closed");
    await tick(5);
    one.close();
    await closed;
    expect(() => one.output(full)).toThrow("is closed");
    await expect(one.send(full)).rejects.toThrow("is closed");
  });

  test("closing discards what is reserved", () => {
    const again = host.openMap({ id: orders.id }, { type: "user_ringbuf", record: Order });
    const kept = again.reserve(8)!;
    again.output(order(6));
    again.close();
    expect(other.drain()).toEqual([order(6)]);
    kept.fill(1);
    expect(() => again.submit(kept)).toThrow("is closed");
    expect(() => again.reserve(8)).toThrow("is closed");
  });

  test("an encoder may be a function", () => {
    const texts = host.openMap(
      { id: orders.id },
      { type: "user_ringbuf", record: (text: string) => new TextEncoder().encode(text) },
    );
    expectTypeOf(texts.output).parameter(0).toEqualTypeOf<string>();
    expect(texts.output("\x01\0\0\0\x02\0\0\0 and more")).toBe(true);
    expect(other.drain()).toEqual([order(1)]);
    texts.close();
    const wrong = host.openMap({ id: orders.id }, { type: "user_ringbuf", record: (() => 5) as never });
    expect(() => wrong.output(1 as never)).toThrow("what `record` gives is number, expected a Uint8Array");
    wrong.close();
  });

  test("what cannot be sent is said", () => {
    expect(() => orders.output({ id: -1, amount: 0 })).toThrow("record.id: -1 is out of range");
    expect(() => orders.reserve(SIZE)).toThrow("a record of 4096 bytes; 4088 are the most");
    expect(() => orders.reserve(-1)).toThrow("reserve: size is -1");
    expect(() => orders.reserve(1.5)).toThrow("reserve: size is 1.5");
    const raw = host.openMap({ id: orders.id }, { type: "user_ringbuf" });
    expect(() => raw.output(new Uint8Array(SIZE - 7))).toThrow(expect.objectContaining({ code: "E2BIG" }));
    expect(() => raw.output("text" as never)).toThrow("a record is string, expected a Uint8Array");
    raw.close();
    // The embedded hosts of this test have no room for it.
    if (host.kind === "kernel") {
      const large = host.createMap({ type: "user_ringbuf", maxEntries: 32 << 20 });
      expect(() => large.reserve(2 ** 24)).toThrow("16777215 are the most");
      large.close();
    } else {
      expect(() => host.createMap({ type: "user_ringbuf", maxEntries: 32 << 20 })).toThrow(
        "no memory for a ring of 33554432 bytes",
      );
    }
    expect(() => host.createMap({ type: "user_ringbuf", maxEntries: 5000 })).toThrow(
      "maxEntries is 5000 bytes; a ring has a power of two, at least 4096",
    );
    const frozen = host.createMap({ type: "user_ringbuf", name: "f", maxEntries: SIZE });
    frozen.freeze();
    expect(() => frozen.reserve(1)).toThrow("user_ringbuf map `f` is frozen: it can be mapped for reading only");
    frozen.close();
    expect(orders.pending()).toBe(0);
  });
});
