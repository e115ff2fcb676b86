/** Kernel functions for text: what Linux 6.18 answered, on the embedded hosts. The program text_functions asks the kernel. */
import { afterAll, expect, test } from "vitest";
import { closeHosts, embeddedOf, openHosts } from "../../test/conformance/hosts.ts";
import { loadProgram, readResults, resultMap, testRun } from "../../test/conformance/programs.ts";
import { parseBtf } from "../btf/index.ts";
import type { Host } from "../host/host.ts";
import * as asm from "../insn/index.ts";
import * as u from "../uapi/index.ts";
import { kernelBtf } from "./kernel_btf.ts";

const { R0, R1, R2, R3, R9 } = asm;
const hosts = openHosts();
afterAll(() => closeHosts(hosts));
const places = embeddedOf(hosts);
const { types } = parseBtf(kernelBtf());

/** In the value: the result, then the texts. */
const FIRST = 8;
const SECOND = 72;
const SIZE = 136;
/** Arguments: a text at this offset of the value, or a number. */
type Arg = { readonly text: number } | bigint;
const a: Arg = { text: FIRST };
const b: Arg = { text: SECOND };

/** What the function returns, with these texts. */
function call(
  host: Host,
  name: string,
  args: readonly Arg[],
  first: Uint8Array,
  second: Uint8Array,
  size = SIZE,
): number {
  const map = resultMap(host, size);
  const value = new Uint8Array(size);
  value.set(first.subarray(0, size - FIRST), FIRST);
  if (size === SIZE) value.set(second, SECOND);
  host.bpf(u.BPF_MAP_UPDATE_ELEM, { map_fd: map, key: new Uint8Array(4), value });
  const load = (arg: Arg, i: number): asm.AsmItem => {
    const to = ([R1, R2, R3] as const)[i]!;
    if (typeof arg === "bigint") return asm.ldImm64(to, arg);
    return [asm.mov64(to, R9), asm.alu64Imm("add", to, arg.text)];
  };
  const id = types.findIndex((type) => type.kind === "func" && type.name === name);
  const { fd, log } = loadProgram(host, [
    asm.ldMapValue(R9, map, 0),
    ...args.map(load),
    asm.callKfunc(id),
    asm.stx("u64", R9, R0, 0),
    asm.mov64Imm(R0, 2),
    asm.exit(),
  ]);
  expect(fd, log).toBeGreaterThanOrEqual(0);
  expect(testRun(host, fd).ret).toBe(0);
  const result = Number(BigInt.asIntN(64, readResults(host, map, size)[0]!));
  host.close(fd);
  host.close(map);
  return result;
}

const latin = (text: string): Uint8Array => Uint8Array.from(text, (c) => c.charCodeAt(0));
const char = (c: string): bigint => BigInt(c.charCodeAt(0));
const HUGE = (1n << 64n) - 1n;
const { ENOENT, E2BIG, EFAULT, ERANGE } = u;

const rows: readonly (readonly [name: string, first: string, second: string, args: readonly Arg[], result: number])[] =
  [
    ["bpf_strcmp", "", "", [a, b], 0],
    ["bpf_strcmp", "a", "", [a, b], 1],
    ["bpf_strcmp", "", "a", [a, b], -1],
    ["bpf_strcmp", "abc", "abd", [a, b], -1],
    ["bpf_strcmp", "\xff", "a", [a, b], 1],
    ["bpf_strcmp", "Z", "_", [a, b], -1],
    ["bpf_strcasecmp", "ABC", "abc", [a, b], 0],
    ["bpf_strcasecmp", "a\xc4", "a\xe4", [a, b], 0],
    ["bpf_strcasecmp", "Z", "_", [a, b], 1],
    ["bpf_strcasecmp", "abc", "ABd", [a, b], -1],
    ["bpf_strchr", "abcb", "", [a, char("b")], 1],
    ["bpf_strchr", "abcb", "", [a, 256n + char("b")], 1],
    ["bpf_strchr", "abcb", "", [a, 0n], 4],
    ["bpf_strchr", "abcb", "", [a, char("q")], -ENOENT],
    ["bpf_strchr", "a\x80", "", [a, 0x80n], 1],
    ["bpf_strchrnul", "abcb", "", [a, char("q")], 4],
    ["bpf_strchrnul", "abcb", "", [a, char("c")], 2],
    ["bpf_strrchr", "abcb", "", [a, char("b")], 3],
    ["bpf_strrchr", "abcb", "", [a, 0n], 4],
    ["bpf_strrchr", "abcb", "", [a, 256n + char("b")], -ENOENT],
    ["bpf_strnchr", "abc", "", [a, 0n, char("a")], -ENOENT],
    ["bpf_strnchr", "abc", "", [a, 2n, char("c")], -ENOENT],
    ["bpf_strnchr", "abc", "", [a, 3n, char("c")], 2],
    ["bpf_strnchr", "abc", "", [a, 3n, 0n], -ENOENT],
    ["bpf_strnchr", "abc", "", [a, 4n, 0n], 3],
    ["bpf_strnchr", "abc", "", [a, HUGE, char("q")], -ENOENT],
    ["bpf_strlen", "", "", [a], 0],
    ["bpf_strlen", "hello", "", [a], 5],
    ["bpf_strnlen", "abc", "", [a, 0n], 0],
    ["bpf_strnlen", "abc", "", [a, 2n], 2],
    ["bpf_strnlen", "abc", "", [a, HUGE], 3],
    ["bpf_strspn", "abcabd", "abc", [a, b], 5],
    ["bpf_strspn", "abc", "", [a, b], 0],
    ["bpf_strspn", "aaa", "a", [a, b], 3],
    ["bpf_strcspn", "xab", "abc", [a, b], 1],
    ["bpf_strcspn", "abc", "", [a, b], 3],
    ["bpf_strstr", "abc", "", [a, b], 0],
    ["bpf_strstr", "", "a", [a, b], -ENOENT],
    ["bpf_strstr", "aaab", "aab", [a, b], 1],
    ["bpf_strstr", "abc", "abcd", [a, b], -ENOENT],
    ["bpf_strnstr", "abcabd", "abd", [a, b, 5n], -ENOENT],
    ["bpf_strnstr", "abcabd", "abd", [a, b, 6n], 3],
    ["bpf_strnstr", "abcabd", "abd", [a, b, 1n << 40n], 3],
    ["bpf_strnstr", "abc", "", [a, b, 0n], 0],
  ];

test.for(places)("%s: texts and what is found in them", ([, host]) => {
  for (const [name, first, second, args, result] of rows) {
    expect([name, first, second, call(host, name, args, latin(first), latin(second))]).toEqual([
      name,
      first,
      second,
      result,
    ]);
  }
});

test.for(places)("%s: text that cannot be read", ([, host]) => {
  const none = new Uint8Array(0);
  for (const [address, errno] of [
    [8n, -ERANGE],
    [4096n, -ERANGE],
    [0xffff_c000_0000_0000n, -EFAULT],
  ] as const) {
    expect(call(host, "bpf_strlen", [address], none, none)).toBe(errno);
    expect(call(host, "bpf_strcmp", [a, address], latin("a"), none)).toBe(errno);
    expect(call(host, "bpf_strspn", [a, address], latin("a"), none)).toBe(errno);
    expect(call(host, "bpf_strstr", [a, address], latin("a"), none)).toBe(errno);
  }
  // Behind the value there is nothing that the program may read, whatever lies there.
  const full = new Uint8Array(32).fill(0x78);
  expect(call(host, "bpf_strlen", [a], full, none, FIRST + 32)).toBe(-EFAULT);
  expect(call(host, "bpf_strnlen", [a, 32n], full, none, FIRST + 32)).toBe(32);
  expect(call(host, "bpf_strnlen", [a, 33n], full, none, FIRST + 32)).toBe(-EFAULT);
});

test.for(places)("%s: texts of 64 KiB and more", ([, host]) => {
  const long = new Uint8Array(70_000).fill(0x78);
  const size = FIRST + long.length + 1;
  const long64k = (name: string, ...rest: readonly Arg[]): number =>
    call(host, name, [a, ...rest], long, long, Math.ceil(size / 8) * 8);
  expect(long64k("bpf_strlen")).toBe(-E2BIG);
  expect(long64k("bpf_strnlen", 65_535n)).toBe(65_535);
  expect(long64k("bpf_strnlen", 65_536n)).toBe(-E2BIG);
  expect(long64k("bpf_strchr", char("q"))).toBe(-E2BIG);
  expect(long64k("bpf_strchrnul", char("q"))).toBe(-E2BIG);
  expect(long64k("bpf_strrchr", char("q"))).toBe(-E2BIG);
  expect(long64k("bpf_strnchr", 65_535n, char("q"))).toBe(-ENOENT);
  expect(long64k("bpf_strnchr", 65_536n, char("q"))).toBe(-E2BIG);
  expect(long64k("bpf_strcmp", a)).toBe(-E2BIG);
  expect(long64k("bpf_strspn", a)).toBe(-E2BIG);
});
