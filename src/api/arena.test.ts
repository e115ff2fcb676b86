/** Arenas as live memory. */
import { expect, test } from "vitest";
import { onEachEngine } from "../../test/hosts.ts";
import { thrown } from "../../test/thrown.ts";
import { BpfError } from "../index.ts";
import * as asm from "../insn/index.ts";

const PAGE = 4096;
const { R0, R1, R2 } = asm;

onEachEngine((host) => {
  test("an arena is pages of zeros, which keep what is written", () => {
    const heap = host.createMap({ type: "arena", name: "heap", maxEntries: 4 });
    expect([heap.pageSize, heap.maxEntries]).toEqual([PAGE, 4]);
    const live = heap.mmap();
    expect(live.bytes.length).toBe(4 * PAGE);
    expect(live.bytes.every((byte) => byte === 0)).toBe(true);
    // A page begins there, in user space's half.
    expect([live.address % BigInt(PAGE), live.address > 0n, live.address < 1n << 47n]).toEqual([0n, true, true]);
    live.bytes.set([1, 2, 3], 3 * PAGE - 1);
    expect(live.closed).toBe(false);
    live.close();
    live.close();
    expect(live.closed).toBe(true);
    const again = heap.mmap({ access: "ro" });
    expect(again.address).toBe(live.address);
    expect([...again.bytes.subarray(3 * PAGE - 1, 3 * PAGE + 2)]).toEqual([1, 2, 3]);
    again[Symbol.dispose]();
    expect(host.mappedAt(again.bytes)).toBe(-1n);
    heap.close();
    expect(() => heap.mmap()).toThrow("arena map `heap` is closed");
  });

  test("a mapping outlives its handle", () => {
    const heap = host.createMap({ type: "arena", maxEntries: 1 });
    const live = heap.mmap();
    heap.close();
    live.bytes[PAGE - 1] = 7;
    expect(live.bytes[PAGE - 1]).toBe(7);
    live.close();
  });

  test("there is one mapping at a time, where it was first", () => {
    const heap = host.createMap({ type: "arena", name: "heap", maxEntries: 2 });
    const live = heap.mmap();
    const twice = thrown(BpfError, () => heap.mmap());
    expect([twice.code, twice.message]).toEqual([
      "EBUSY",
      expect.stringContaining("arena map `heap` is mapped already"),
    ]);
    const other = host.openMap({ id: heap.id }, { type: "arena" });
    const elsewhere = thrown(BpfError, () => other.mmap());
    expect(elsewhere.code).toBe("EINVAL");
    expect(elsewhere.message).toContain("was mapped before, by another handle or process");
    expect(elsewhere.hint).toBe("create it with an `address`");
    live.close();
    expect(thrown(BpfError, () => other.mmap()).code).toBe("EINVAL");
    other.close();
    heap.close();
  });

  test("an address is for every handle, and is free again for another arena", () => {
    const address = 0x4567_0000_0000n;
    for (const mark of [1, 2, 3]) {
      const heap = host.createMap({ type: "arena", maxEntries: 4, address });
      expect(heap.info.mapExtra).toBe(address);
      const live = heap.mmap();
      expect([live.address, live.bytes[PAGE]]).toEqual([address, 0]);
      live.bytes[PAGE] = mark;
      const other = host.openMap({ id: heap.id }, { type: "arena" });
      expect(thrown(BpfError, () => other.mmap()).code).toBe("EBUSY");
      live.close();
      const again = other.mmap();
      expect([again.address, again.bytes[PAGE]]).toEqual([address, mark]);
      heap.close();
      other.close();
      again.close();
    }
  });

  test("what it cannot be is said", () => {
    const create = (maxEntries: number, address = 0n): string =>
      thrown(BpfError, () => host.createMap({ type: "arena", maxEntries, address })).message;
    expect(create(0)).toContain("maxEntries is 0; at least 1 is needed");
    expect(create(1_048_577)).toContain("maxEntries is 1048577 pages, 1048576 are the most (4 GiB)");
    expect(create(1, 0x1234n)).toContain("address is 0x1234, which does not begin a page of 4096 bytes");
    expect(create(2, 0xffff_f000n)).toContain("address is 0xfffff000: a multiple of 4 GiB would lie inside the arena");
    const flags = thrown(BpfError, () => host.createMap({ type: "arena", maxEntries: 1, rawFlags: 4 }));
    expect(flags.message).toContain("maps of type arena do not take the flags 0x4");
    // The kernel takes memory when a page is touched, the embedded host at once.
    if (host.kind === "embedded") expect(create(1_048_576)).toContain("no memory for 1048576 pages");
    const frozen = host.createMap({ type: "arena", name: "f", maxEntries: 1 });
    frozen.freeze();
    expect(thrown(BpfError, () => frozen.mmap()).message).toContain(
      "arena map `f` is frozen: it can be mapped for reading only",
    );
    frozen.close();
    const written = host.createMap({ type: "arena", name: "w", maxEntries: 1 });
    written.mmap().close();
    expect(thrown(BpfError, () => written.freeze()).message).toContain(
      "was mapped for writing, after which an arena cannot be",
    );
    written.close();
  });

  test("a view of the plain call ends with the arena, not with the mapping", () => {
    const heap = host.createMap({ type: "arena", maxEntries: 2, segvOnFault: false });
    const bytes = host.mmap(heap.fd, { offset: 0, length: 16 * PAGE, prot: 3 }) as Uint8Array;
    expect(bytes.length).toBe(2 * PAGE);
    bytes[2 * PAGE - 1] = 1;
    // What a command reads from there ends there as well.
    expect(host.user.addressOf(bytes)).toBeGreaterThan(0);
    host.munmap(bytes);
    expect(host.mappedAt(bytes)).toBe(-1n);
    heap.close();
  });

  test("a program writes where user space looks", () => {
    // Programs of the embedded host do not reach arenas yet.
    if (host.kind === "embedded") return;
    const heap = host.createMap({ type: "arena", maxEntries: 2 });
    const live = heap.mmap();
    live.bytes[PAGE] = 1;
    const insns = asm.assemble([
      asm.ldMapValue(R1, heap.fd, PAGE),
      asm.mov64(R2, R1),
      asm.addrSpaceCast(R1, R1, 0),
      asm.stx("u64", R1, R2, 8),
      asm.ldx("u64", R0, R1, 0),
      asm.exit(),
    ]);
    const program = host.loadProgram({ type: "xdp", insns, license: "GPL" });
    expect(program.run({ data: new Uint8Array(64) }).retval).toBe(1);
    const view = new DataView(live.bytes.buffer, live.bytes.byteOffset);
    expect(view.getBigUint64(PAGE + 8, true)).toBe(live.address + BigInt(PAGE));
    program.close();
    live.close();
    heap.close();
  });
});
