/**
 * bpf_user_ringbuf_drain, whose ring user space writes: every header that a producer can think of, on the embedded hosts.
 * What came out was measured on Linux 6.18; the program command_ring asks the kernel.
 */
import { afterAll, expect, test } from "vitest";
import { closeHosts, embeddedOf, openHosts } from "../../test/conformance/hosts.ts";
import { loadProgram, readResults, readStderr, resultMap, testRun } from "../../test/conformance/programs.ts";
import { parseBtf } from "../btf/index.ts";
import type { Host } from "../host/host.ts";
import * as asm from "../insn/index.ts";
import * as u from "../uapi/index.ts";
import { kernelBtf } from "./kernel_btf.ts";

const { R0, R1, R2, R3, R4, R5, R6, R7, R8, R9, R10 } = asm;
const hosts = openHosts();
afterAll(() => closeHosts(hosts));
const places = embeddedOf(hosts);

const N = 4096;
const PAGE = 4096;
const SIZE = 64;
const BUSY = 0x8000_0000;
const DISCARD = 0x4000_0000;

/** The ring as user space has it. */
class Ring {
  readonly host: Host;
  readonly fd: number;
  readonly results: number;
  readonly view: DataView;
  readonly #bytes: Uint8Array;

  constructor(host: Host) {
    this.host = host;
    this.fd = host.bpf(u.BPF_MAP_CREATE, { map_type: u.BPF_MAP_TYPE_USER_RINGBUF, max_entries: N });
    this.results = resultMap(host, SIZE);
    const bytes = host.mmap(this.fd, { offset: PAGE, length: PAGE + 2 * N, prot: u.PROT_READ | u.PROT_WRITE });
    if (typeof bytes === "number") throw new Error(`mmap: ${bytes}`);
    this.#bytes = bytes;
    this.view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  close(): void {
    this.host.munmap(this.#bytes);
    this.host.close(this.results);
    this.host.close(this.fd);
  }

  get produced(): bigint {
    return this.view.getBigUint64(0, true);
  }

  set produced(to: bigint) {
    this.view.setBigUint64(0, to, true);
  }

  get consumed(): bigint {
    const page = this.host.mmap(this.fd, { offset: 0, length: PAGE, prot: u.PROT_READ });
    if (typeof page === "number") throw new Error(`mmap: ${page}`);
    const at = new DataView(page.buffer, page.byteOffset).getBigUint64(0, true);
    this.host.munmap(page);
    return at;
  }

  /** A record; its header may say something else, and the producer go on by something else. */
  put(text: string, header = text.length, by = BigInt((text.length + 15) & ~7)): void {
    const at = Number(this.produced % BigInt(N));
    this.view.setUint32(PAGE + at, header, true);
    const payload = PAGE + ((at + 8) % N);
    for (let i = 0; i < text.length; i++) this.view.setUint8(payload + i, text.charCodeAt(i));
    this.produced += by;
  }

  /** The header at the consumer's position. */
  set header(word: number) {
    this.view.setUint32(PAGE + Number(this.consumed % BigInt(N)), word, true);
  }

  /** Drains with r9 at the results: [result, calls, ...]; what went wrong, or the words. */
  drain(callback: readonly asm.AsmItem[] = counts(99), flags = 0n): string | number[] {
    const { host } = this;
    const value = new Uint8Array(SIZE);
    host.bpf(u.BPF_MAP_UPDATE_ELEM, { map_fd: this.results, key: new Uint8Array(4), value });
    const { fd, log } = loadProgram(host, [
      asm.ldMapValue(R9, this.results, 0),
      asm.ldMapFd(R1, this.fd),
      asm.ldFunc(R2, "callback"),
      asm.mov64(R3, R9),
      asm.ldImm64(R4, flags),
      asm.call(u.BPF_FUNC_user_ringbuf_drain),
      asm.stx("u64", R9, R0, 0),
      asm.mov64Imm(R0, 2),
      asm.exit(),
      asm.label("callback"),
      ...callback,
      asm.exit(),
    ]);
    expect(fd, log).toBeGreaterThanOrEqual(0);
    const { ret } = testRun(host, fd);
    const stderr = readStderr(host, fd);
    const words = [...readResults(host, this.results, SIZE)].map((word) => Number(BigInt.asIntN(64, word)));
    host.close(fd);
    return ret === 0 ? words : stderr;
  }
}

/** Counts its calls in word 1, and puts the first four bytes of the last sample into word 2; stops after `last`. */
function counts(last: number): readonly asm.AsmItem[] {
  return [
    asm.mov64(R6, R2),
    asm.ldx("u64", R8, R6, 8),
    asm.alu64Imm("add", R8, 1),
    asm.stx("u64", R6, R8, 8),
    asm.mov64(R3, R1),
    asm.mov64(R1, R6),
    asm.alu64Imm("add", R1, 16),
    asm.mov64Imm(R2, 4),
    asm.mov64Imm(R4, 0),
    asm.mov64Imm(R5, 0),
    asm.call(u.BPF_FUNC_dynptr_read),
    asm.stx("u64", R6, R0, 24),
    asm.mov64Imm(R0, 0),
    asm.jmpImm("jlt", R8, last, "on"),
    asm.mov64Imm(R0, 1),
    asm.label("on"),
  ];
}

function withRing(host: Host, use: (ring: Ring) => void): void {
  const ring = new Ring(host);
  try {
    use(ring);
  } finally {
    ring.close();
  }
}

const four = (text: string): number => [...text].reduce((sum, c, i) => sum + (c.charCodeAt(0) << (i * 8)), 0);

test.for(places)("%s: samples, one that is too short to be read, and where it stops", ([, host]) => {
  withRing(host, (ring) => {
    expect(ring.drain()).toMatchObject({ 0: 0, 1: 0 });
    ring.put("abcd");
    ring.put("efghijklm");
    ring.put("x");
    expect(ring.drain()).toMatchObject([3, 3, four("efgh"), -u.E2BIG, 0, 0, 0, 0]);
    expect(ring.consumed).toBe(56n);
    for (const text of ["1111", "2222", "3333"]) ring.put(text);
    expect(ring.drain(counts(2))).toMatchObject({ 0: 2, 1: 2, 2: four("2222") });
    expect(ring.drain()).toMatchObject({ 0: 1, 1: 1, 2: four("3333") });
  });
});

test.for(places)("%s: busy records stop it, discarded ones are passed over and do not count", ([, host]) => {
  withRing(host, (ring) => {
    ring.put("abcd", BUSY | 4);
    ring.put("efgh");
    expect(ring.drain()).toMatchObject({ 0: 0, 1: 0 });
    expect(ring.consumed).toBe(0n);
    ring.header = DISCARD | 4;
    expect(ring.drain()).toMatchObject({ 0: 1, 1: 1, 2: four("efgh") });
    ring.put("ijkl", BUSY + DISCARD + 4);
    expect(ring.drain()).toMatchObject({ 0: 0, 1: 0 });
    expect(ring.consumed).toBe(ring.produced);
  });
});

test.for(places)("%s: flags", ([, host]) => {
  withRing(host, (ring) => {
    for (const flags of [1n, 2n, 3n]) {
      ring.put("abcd");
      expect(ring.drain(counts(9), flags)).toMatchObject({ 0: 1 });
    }
    for (const flags of [4n, 1n << 32n, 1n << 63n])
      expect(ring.drain(counts(9), flags)).toMatchObject({ 0: -u.EINVAL });
  });
});

const good = "abcd";
const broken: readonly (readonly [name: string, spoil: (ring: Ring) => void, result: number])[] = [
  ["a producer between words", (ring) => (ring.produced += 4n), -u.EINVAL],
  ["a record that is longer than what there is", (ring) => ring.put(good, 100), -u.EINVAL],
  ["one that is discarded", (ring) => ring.put(good, DISCARD | 100), -u.EINVAL],
  ["a record that is longer than the ring", (ring) => ring.put(good, 4096, 8192n), -u.E2BIG],
  ["one that is discarded, longer than the ring", (ring) => ring.put(good, DISCARD | 4096, 8192n), -u.E2BIG],
  ["the longest length", (ring) => ring.put(good, 0x3fff_ffff, 1n << 40n), -u.E2BIG],
  ["all bits but the busy one", (ring) => ring.put(good, 0x7fff_ffff, 1n << 40n), -u.E2BIG],
  ["a producer behind the consumer", (ring) => (ring.produced -= 8n), 0],
  ["a producer far behind the consumer", (ring) => (ring.produced = 0n), 0],
];

test.for(
  broken.flatMap(([name, spoil, result]) => places.map(([place, host]) => ({ name, spoil, result, place, host }))),
)("$place: $name", ({ host, spoil, result }) => {
  withRing(host, (ring) => {
    for (let i = 0; i < 4; i++) ring.put(good);
    expect(ring.drain()).toMatchObject({ 0: 4 });
    const at = ring.consumed;
    spoil(ring);
    expect(ring.drain()).toMatchObject({ 0: result, 1: 0 });
    expect(ring.consumed).toBe(at);
    // Once more, behind a record that is as it should be: it is drained, the error still is the result.
    if (result === 0 || ring.produced % 8n !== 0n) return;
    ring.produced = at;
    ring.put(good);
    spoil(ring);
    expect(ring.drain()).toMatchObject({ 0: result, 1: 1 });
    expect(ring.consumed).toBe(at + 16n);
  });
});

test.for(places)("%s: records go on where the ring begins, with the header as the last word too", ([, host]) => {
  withRing(host, (ring) => {
    // The next header is the last word of the ring.
    ring.put("x".repeat(4080));
    expect(ring.drain()).toMatchObject({ 0: 1, 2: four("xxxx") });
    ring.put("wrapped!");
    ring.put("after it");
    expect(ring.drain(counts(1))).toMatchObject({ 0: 1, 2: four("wrap") });
    expect(ring.drain()).toMatchObject({ 0: 1, 2: four("afte") });
    // And one that goes on behind the end.
    ring.put("y".repeat(4000));
    expect(ring.drain()).toMatchObject({ 0: 1, 2: four("yyyy") });
    ring.put("z".repeat(200));
    expect(ring.drain()).toMatchObject({ 0: 1, 2: four("zzzz") });
  });
});

test.for(places)("%s: a sample is the callback's while it runs, and no longer", ([, host]) => {
  withRing(host, (ring) => {
    const data = [asm.mov64Imm(R2, 0), asm.mov64Imm(R3, 4), asm.call(u.BPF_FUNC_dynptr_data)];
    const keep = [asm.mov64(R6, R2), asm.stx("u64", R6, R1, 8), ...data, asm.stx("u64", R6, R0, 16)];
    ring.put(good);
    expect(
      ring.drain([...keep, asm.ldx("u32", R1, R0, 0), asm.stx("u64", R6, R1, 24), asm.mov64Imm(R0, 0)]),
    ).toMatchObject({
      0: 1,
      3: four(good),
    });
    ring.put(good);
    expect(ring.drain([asm.mov64(R6, R2), ...data, asm.ldx("u64", R1, R0, 0), asm.mov64Imm(R0, 0)])).toContain(
      "a ring record that this run has not reserved",
    );
    // The second call uses what the first one was given.
    ring.produced = ring.consumed;
    ring.put(good);
    ring.put(good);
    const stale = [
      asm.ldx("u64", R7, R2, 16),
      asm.jmpImm("jeq", R7, 0, "first"),
      asm.ldx("u32", R0, R7, 0),
      asm.label("first"),
    ];
    expect(ring.drain([...stale, ...keep, asm.mov64Imm(R0, 0)])).toContain(
      "a ring record that this run has not reserved",
    );
    // A fault leaves the ring open for the next one.
    ring.produced = ring.consumed;
    ring.put(good);
    expect(ring.drain()).toMatchObject({ 0: 1, 1: 1 });
    // The pointer to the dynptr leads nowhere else.
    ring.put(good);
    expect(ring.drain([asm.ldx("u64", R0, R1, 0)])).toContain("memory of the host itself");
    ring.produced = ring.consumed;
    ring.put(good);
    const shifted = [asm.alu64Imm("add", R1, 32), ...data, asm.mov64Imm(R0, 0)];
    expect(ring.drain(shifted)).toContain("is no dynptr that this run has set up");
  });
});

test.for(places)("%s: no drain inside a drain of the same ring", ([, host]) => {
  withRing(host, (ring) => {
    ring.put(good);
    const again = [
      asm.mov64(R6, R2),
      asm.ldMapFd(R1, ring.fd),
      asm.ldFunc(R2, "callback"),
      asm.mov64(R3, R6),
      asm.mov64Imm(R4, 0),
      asm.call(u.BPF_FUNC_user_ringbuf_drain),
      asm.stx("u64", R6, R0, 8),
      asm.mov64Imm(R0, 0),
    ];
    expect(ring.drain(again)).toMatchObject({ 0: 1, 1: -u.EBUSY });
  });
});

test.for(places)("%s: a header that changes once it was read changes nothing", ([, host]) => {
  withRing(host, (ring) => {
    ring.put(good);
    // The callback writes a length into the header, through the dynptr's data.
    const spoil = [
      asm.mov64(R6, R2),
      asm.mov64Imm(R2, 0),
      asm.mov64Imm(R3, 4),
      asm.call(u.BPF_FUNC_dynptr_data),
      asm.st("u32", R0, -8, 0xfff),
      asm.mov64Imm(R0, 0),
    ];
    expect(ring.drain(spoil)).toContain("a ring record that this run has not reserved");
    ring.produced = ring.consumed;
    ring.put(good);
    const before = ring.consumed;
    expect(ring.drain([asm.mov64Imm(R0, 0), asm.stx("u64", R10, R0, -8)])).toMatchObject({ 0: 1 });
    expect(ring.consumed - before).toBe(16n);
  });
});

test.for(places)("%s: what was made of a sample's dynptr ends with the sample", ([, host]) => {
  const clone = parseBtf(kernelBtf()).types.findIndex((t) => t.kind === "func" && t.name === "bpf_dynptr_clone");
  /** On the stack of the function that drains. */
  const kept = (to: asm.Reg): readonly asm.AsmItem[] => [asm.mov64(to, R10), asm.alu64Imm("add", to, 480)];
  const callback = [
    asm.mov64(R6, R2),
    asm.ldx("u64", R8, R6, 8),
    asm.alu64Imm("add", R8, 1),
    asm.stx("u64", R6, R8, 8),
    asm.jmpImm("jgt", R8, 1, "second"),
    kept(R2),
    asm.callKfunc(clone),
    asm.label("second"),
    asm.mov64(R1, R6),
    asm.alu64Imm("add", R1, 16),
    asm.mov64Imm(R2, 4),
    kept(R3),
    asm.mov64Imm(R4, 0),
    asm.mov64Imm(R5, 0),
    asm.call(u.BPF_FUNC_dynptr_read),
    asm.mov64Imm(R0, 0),
  ];
  withRing(host, (ring) => {
    ring.put("abcd");
    expect(ring.drain(callback)).toMatchObject([1, 1, four("abcd"), 0, 0, 0, 0, 0]);
    ring.put("abcd");
    ring.put("efgh");
    expect(ring.drain(callback)).toContain("is no dynptr that this run has set up");
  });
});
