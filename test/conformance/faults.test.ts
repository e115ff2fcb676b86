/**
 * Programs that the kernel's verifier would refuse: they fault at the instruction that is wrong, the text says what and
 * where, and nothing else suffers. On both embedded hosts.
 */
import { afterAll, describe, expect, test } from "vitest";
import { BtfBuilder } from "../../src/btf/index.ts";
import type { EmbeddedOptions } from "../../src/host/embedded_options.ts";
import * as asm from "../../src/insn/index.ts";
import * as u from "../../src/uapi/index.ts";
import { createTestHost } from "../compiled.ts";
import { loadProgram, readResults, readStderr, resultMap, testRun } from "./programs.ts";

const { R0, R1, R2, R3, R4, R5, R6, R10 } = asm;
const BUDGET = 10_000;

const options: readonly EmbeddedOptions[] = [{}, { shared: true }, { engine: "interp" }];

describe.each(options)("%j", (one) => {
  const host = createTestHost({ memory: 16 << 20, cpus: 2, seed: 1, clock: "virtual", runBudget: BUDGET, ...one });
  afterAll(() => {
    expect(host.openFds()).toEqual([]);
    host.dispose();
  });

  const makeMap = (type: number, key: number, value: number, max: number, name: string): number =>
    host.bpf(u.BPF_MAP_CREATE, { map_type: type, key_size: key, value_size: value, max_entries: max, map_name: name });

  /** Runs the program once; what it returned, and what its stderr stream says. */
  function attempt(items: readonly asm.AsmItem[], repeat = 1): { ret: number; text: string } {
    const { fd, log } = loadProgram(host, [...items, asm.mov64Imm(R0, 2), asm.exit()], { name: "hostile" });
    if (fd < 0) throw new Error(`PROG_LOAD ${fd}: ${log}`);
    const { ret } = testRun(host, fd, new Uint8Array(64), repeat);
    const text = readStderr(host, fd);
    expect(readStderr(host, fd)).toBe("");
    host.close(fd);
    return { ret, text };
  }

  const lookup = (map: number): readonly asm.AsmItem[] => [
    asm.st("u32", R10, -4, 1),
    asm.mov64(R2, R10),
    asm.alu64Imm("add", R2, -4),
    asm.ldMapFd(R1, map),
    asm.call(u.BPF_FUNC_map_lookup_elem),
  ];

  test("one byte behind a value: instruction, access and place are named", () => {
    const map = makeMap(u.BPF_MAP_TYPE_ARRAY, 4, 5, 4, "short_values");
    const { ret, text } = attempt([...lookup(map), asm.ldx("u8", R1, R0, 5)]);
    expect(ret).toBe(-u.EFAULT);
    expect(text).toMatch(
      /^program "hostile" \(id \d+\): read of 1 byte at 0x[0-9a-f]+, outside of what it may touch: /,
    );
    expect(text).toContain('0 bytes behind the end of a value of map "short_values" (5 bytes)');
    expect(text).toContain("at instruction 6: r1 = *(u8 *)(r0 + 5)");
    const across = attempt([...lookup(map), asm.st("u32", R0, 4, 0)]);
    expect(across.text).toContain('across the end of a value of map "short_values", 1 byte of 4 inside');
    host.close(map);
  });

  test("a lookup that was not tested for NULL", () => {
    const map = makeMap(u.BPF_MAP_TYPE_HASH, 4, 8, 4, "empty");
    const { ret, text } = attempt([...lookup(map), asm.ldx("u64", R1, R0, 0)]);
    expect([ret, text.includes("read of 8 bytes at 0x0, outside of what it may touch: NULL")]).toEqual([
      -u.EFAULT,
      true,
    ]);
    host.close(map);
  });

  const rows: readonly (readonly [id: string, items: (map: number) => readonly asm.AsmItem[], text: string])[] = [
    [
      "packet.behind",
      () => [asm.ldx("u32", R2, R1, 4), asm.st("u8", R2, 0, 1)],
      "0 bytes behind the end of its packet",
    ],
    ["packet.across", () => [asm.ldx("u32", R2, R1, 4), asm.st("u32", R2, -2, 1)], "2 bytes of 4 inside"],
    ["packet.before", () => [asm.ldx("u32", R2, R1, 8), asm.ldx("u8", R2, R2, -1)], "1 byte in front of its packet"],
    ["stack.behind", () => [asm.ldx("u64", R2, R10, 0)], "0 bytes behind the end of its stack"],
    ["stack.below", () => [asm.st("u64", R10, -520, 0)], "8 bytes below its stack"],
    ["stack.unaligned", () => [asm.st("u64", R10, -12, 0)], "not aligned to 8 bytes"],
    ["ctx.write", () => [asm.st("u32", R1, 0, 0)], "byte 0 of the context: no access that it allows"],
    ["ctx.half", () => [asm.ldx("u16", R2, R1, 2)], "byte 2 of the context: no access that it allows"],
    ["upper-half", () => [asm.ldImm64(R2, 0x1_0000_0000n), asm.ldx("u8", R2, R2, 0)], "its upper half is not zero"],
    ["map.handle", (map) => [asm.ldMapFd(R2, map), asm.st("u64", R2, 24, 0)], "memory of the host itself"],
    [
      "helper.key-across-the-stack's-end",
      (map) => [asm.mov64(R2, R10), asm.alu64Imm("add", R2, -3), asm.ldMapFd(R1, map), asm.call(1)],
      "argument 2 of bpf_map_lookup_elem: read of 4 bytes",
    ],
    [
      "helper.forged-map",
      () => [asm.mov64Imm(R1, 0x12340), asm.mov64(R2, R10), asm.alu64Imm("add", R2, -4), asm.call(1)],
      "argument 1 of bpf_map_lookup_elem: 0x12340 is no map of this program",
    ],
    [
      "helper.wrong-type-by-a-detour",
      (map) => [
        asm.ldMapFd(R1, map),
        asm.stx("u64", R10, R1, -16),
        asm.ldx("u64", R1, R10, -16),
        asm.mov64(R2, R10),
        asm.alu64Imm("add", R2, -8),
        asm.mov64Imm(R3, 0),
        asm.call(u.BPF_FUNC_map_push_elem),
      ],
      'map "values" does not go with this helper',
    ],
    [
      "helper.context",
      () => [asm.mov64(R1, R10), asm.mov64Imm(R2, 0), asm.call(u.BPF_FUNC_xdp_adjust_head)],
      "argument 1 of bpf_xdp_adjust_head",
    ],
    [
      "helper.size-0",
      () => [asm.mov64Imm(R2, 0), asm.mov64(R3, R10), asm.mov64Imm(R4, 0), asm.call(u.BPF_FUNC_xdp_load_bytes)],
      "argument 4 of bpf_xdp_load_bytes: a size of 0",
    ],
    [
      "helper.size-2^32",
      () => [
        asm.mov64Imm(R2, 0),
        asm.mov64(R3, R10),
        asm.alu64Imm("add", R3, -8),
        asm.ldImm64(R4, 0x1_0000_0008n),
        asm.call(u.BPF_FUNC_xdp_load_bytes),
      ],
      "a size of 4294967304",
    ],
    [
      "helper.output-beyond",
      () => [asm.mov64Imm(R2, 0), asm.mov64(R3, R10), asm.mov64Imm(R4, 8), asm.call(u.BPF_FUNC_xdp_load_bytes)],
      "argument 3 of bpf_xdp_load_bytes: write of 8 bytes",
    ],
    [
      "helper.no-record",
      () => [asm.mov64(R1, R10), asm.mov64Imm(R2, 0), asm.call(u.BPF_FUNC_ringbuf_submit)],
      "is no ring record that this run has reserved",
    ],
  ];
  test.each(rows)("%s", (_id, items, text) => {
    const map = makeMap(u.BPF_MAP_TYPE_ARRAY, 4, 8, 4, "values");
    const result = attempt(items(map));
    expect(result.ret).toBe(-u.EFAULT);
    expect(result.text).toContain(text);
    host.close(map);
  });

  test("a loop without end is stopped by its budget, which the text names", () => {
    const { ret, text } = attempt([
      asm.label("loop"),
      asm.jmpImm("jeq", R10, 0, "end"),
      asm.ja("loop"),
      asm.label("end"),
    ]);
    expect(ret).toBe(-u.ETIMEDOUT);
    expect(text).toContain("its budget of 10000 instructions is spent");
    expect(text).toContain("runBudget");
  });

  test("may_goto ends a loop by itself", () => {
    const spent = [
      asm.mov64Imm(R0, 0),
      asm.label("loop"),
      asm.mayGoto("end"),
      asm.alu64Imm("add", R0, 1),
      asm.ja("loop"),
    ];
    // Its turns are more than this host's budget.
    expect(attempt([...spent, asm.label("end")]).ret).toBe(-u.ETIMEDOUT);
  });

  test("what was done before a fault stays, what comes after does not happen", () => {
    const map = resultMap(host, 16);
    const { ret } = attempt([
      asm.ldMapValue(R6, map, 0),
      asm.st("u64", R6, 0, 7),
      asm.mov64Imm(R1, 0),
      asm.st("u64", R1, 0, 1),
      asm.st("u64", R6, 8, 7),
    ]);
    expect([ret, ...readResults(host, map, 16)]).toEqual([-u.EFAULT, 7n, 0n]);
    host.close(map);
  });

  const reserve = (ring: number, size: number): readonly asm.AsmItem[] => [
    asm.ldMapFd(R1, ring),
    asm.mov64Imm(R2, size),
    asm.mov64Imm(R3, 0),
    asm.call(u.BPF_FUNC_ringbuf_reserve),
  ];
  /** Headers of the first records: length with the bits for busy and discarded. */
  const headers = (ring: number, sizes: readonly number[]): number[] => {
    const view = host.mmap(ring, { offset: 0, length: 4 * 4096, prot: 1 });
    if (typeof view === "number") throw new Error(`mmap: ${view}`);
    const words = new DataView(view.buffer, view.byteOffset);
    let at = 8192;
    const found = sizes.map((size) => {
      const header = words.getUint32(at, true);
      at += (size + 15) & ~7;
      return header;
    });
    host.munmap(view);
    return found;
  };

  test("records that a run leaves reserved are discarded, however it ends", () => {
    const ends = [
      [],
      [asm.mov64Imm(R1, 0), asm.ldx("u8", R1, R1, 0)],
      [asm.label("loop"), asm.jmpImm("jeq", R10, 0, "out"), asm.ja("loop"), asm.label("out")],
    ] as const;
    for (const rest of ends) {
      const ring = makeMap(u.BPF_MAP_TYPE_RINGBUF, 0, 0, 4096, "ring");
      attempt([...reserve(ring, 8), ...reserve(ring, 16), ...rest]);
      expect(headers(ring, [8, 16])).toEqual([8 + u.BPF_RINGBUF_DISCARD_BIT, 16 + u.BPF_RINGBUF_DISCARD_BIT]);
      host.close(ring);
    }
  });

  test("more records than the run record has room for", () => {
    const ring = makeMap(u.BPF_MAP_TYPE_RINGBUF, 0, 0, 4096, "ring");
    const many = 40;
    const items = Array.from({ length: many }, () => reserve(ring, 8)).flat();
    expect(attempt([...items, asm.mov64(R1, R0), asm.mov64Imm(R2, 0), asm.call(u.BPF_FUNC_ringbuf_submit)]).ret).toBe(
      0,
    );
    const expected = new Array<number>(many).fill(8 + u.BPF_RINGBUF_DISCARD_BIT);
    expected[many - 1] = 8;
    expect(headers(ring, new Array<number>(many).fill(8))).toEqual(expected);
    host.close(ring);
  });

  test("a record that was submitted is nobody's any more", () => {
    const ring = makeMap(u.BPF_MAP_TYPE_RINGBUF, 0, 0, 4096, "ring");
    const submit = [asm.mov64(R1, R6), asm.mov64Imm(R2, 0), asm.call(u.BPF_FUNC_ringbuf_submit)];
    const twice = attempt([...reserve(ring, 8), asm.mov64(R6, R0), ...submit, ...submit]);
    expect(twice.text).toContain("argument 1 of bpf_ringbuf_submit");
    const written = attempt([...reserve(ring, 8), asm.mov64(R6, R0), ...submit, asm.st("u64", R6, 0, 1)]);
    expect(written.text).toContain('a ring record that this run has not reserved of map "ring"');
    host.close(ring);
  });

  test("a fault ends the repeated run; the next command runs again", () => {
    const map = resultMap(host, 8);
    // Counts its runs and faults in the third.
    const items = [
      asm.ldMapValue(R6, map, 0),
      asm.ldx("u64", R1, R6, 0),
      asm.alu64Imm("add", R1, 1),
      asm.stx("u64", R6, R1, 0),
      asm.jmpImm("jne", R1, 3, "good"),
      asm.mov64Imm(R5, 0),
      asm.ldx("u8", R5, R5, 0),
      asm.label("good"),
    ];
    expect(attempt(items, 10).ret).toBe(-u.EFAULT);
    expect([...readResults(host, map, 8)]).toEqual([3n]);
    expect(attempt(items, 2).ret).toBe(0);
    host.close(map);
  });

  test("the source line of a fault is shown when the program came with one", () => {
    const btf = new BtfBuilder();
    const proto = btf.funcProto(btf.int("int", 4, { signed: true }), []);
    const func = btf.func("f", proto, "static");
    const file = btf.string("drop.c");
    const first = btf.string("int f(void) {");
    const second = btf.string("  return *(int *)0;");
    const bytes = btf.build();
    const btfFd = host.bpf(u.BPF_BTF_LOAD, { btf: bytes, btf_size: bytes.length });
    const insns = [asm.mov64Imm(R0, 0), asm.ldx("u32", R0, R0, 0), asm.exit()];
    const fd = host.bpf(u.BPF_PROG_LOAD, {
      prog_type: u.BPF_PROG_TYPE_XDP,
      insns: asm.encodeInsns(insns),
      insn_cnt: insns.length,
      license: "GPL",
      prog_btf_fd: btfFd,
      func_info: Uint32Array.of(0, func),
      func_info_cnt: 1,
      func_info_rec_size: 8,
      line_info: Uint32Array.of(0, file, first, (3 << 10) | 1, 1, file, second, (4 << 10) | 10),
      line_info_cnt: 2,
      line_info_rec_size: 16,
    });
    host.close(btfFd);
    expect(testRun(host, fd).ret).toBe(-u.EFAULT);
    expect(readStderr(host, fd)).toContain("\n  drop.c:4:10: return *(int *)0;\n");
    host.close(fd);
  });

  test("a stream is read in parts, and is bounded", () => {
    const { fd } = loadProgram(host, [asm.mov64Imm(R1, 0), asm.ldx("u8", R0, R1, 0), asm.exit()]);
    for (let i = 0; i < 3000; i++) testRun(host, fd);
    const part = new Uint8Array(7);
    const read = (): number =>
      host.bpf(u.BPF_PROG_STREAM_READ_BY_FD, { prog_fd: fd, stream_id: 2, stream_buf: part, stream_buf_len: 7 });
    expect([read(), new TextDecoder().decode(part)]).toEqual([7, "program"]);
    let total = 7;
    for (let n = readStderr(host, fd); n !== ""; n = readStderr(host, fd)) total += n.length;
    expect(total).toBeGreaterThan(90_000);
    expect(total).toBeLessThanOrEqual(100_000);
    host.close(fd);
  });

  test("all memory comes back", () => {
    const before = host.memory().used;
    for (let i = 0; i < 5; i++) {
      const ring = makeMap(u.BPF_MAP_TYPE_RINGBUF, 0, 0, 4096, "ring");
      attempt([...Array.from({ length: 40 }, () => reserve(ring, 8)).flat()]);
      host.close(ring);
    }
    expect(host.memory().used).toBe(before);
  });
});
