/**
 * Helpers that read memory by untrusted addresses, numbers from text, and make text: the same calls on embedded hosts and
 * on the kernel, by raw tracepoint and syscall programs, and random formats.
 */
import { afterAll, expect, test } from "vitest";
import type { Host } from "../../src/host/host.ts";
import * as asm from "../../src/insn/index.ts";
import * as u from "../../src/uapi/index.ts";
import { closeHosts, openHosts, placesOf } from "./hosts.ts";
import { loadProgram } from "./programs.ts";

const { R0, R1, R2, R3, R4, R5, R9, R10 } = asm;
const hosts = openHosts({ anyCpu: true });
const places = placesOf(hosts).map(([, host]) => host);
afterAll(() => {
  expect(hosts.exclusive.openFds()).toEqual([]);
  closeHosts(hosts);
});

const SIZE = 1024;
/** Where the helper's output goes in the value; before it, its input. */
const OUT = 512;

interface Outcome {
  /** r0 as a signed number, or the errno of the load. */
  readonly r0: bigint | number;
  /** The second half of the value. */
  readonly out: Uint8Array;
}

/** Runs `body` (r9: a map's value that begins with `input`) and gives r0 and what it left. */
function call(host: Host, input: Uint8Array, body: (map: number) => readonly asm.AsmItem[], sleeps = false): Outcome {
  const map = host.bpf(u.BPF_MAP_CREATE, {
    map_type: u.BPF_MAP_TYPE_ARRAY,
    key_size: 4,
    value_size: SIZE,
    max_entries: 1,
  });
  const value = new Uint8Array(SIZE).fill(0x23);
  value.set(input);
  const key = new Uint8Array(4);
  host.bpf(u.BPF_MAP_UPDATE_ELEM, { map_fd: map, key, value, flags: 0 });
  const type = sleeps ? u.BPF_PROG_TYPE_SYSCALL : u.BPF_PROG_TYPE_RAW_TRACEPOINT;
  const items = [
    asm.ldMapValue(R9, map, 0),
    ...body(map),
    asm.stx("u64", R9, R0, SIZE - 8),
    asm.mov64Imm(R0, 0),
    asm.exit(),
  ];
  const { fd } = loadProgram(host, items, { type, flags: sleeps ? u.BPF_F_SLEEPABLE : 0 });
  if (fd >= 0) {
    expect(host.bpf(u.BPF_PROG_TEST_RUN, { prog_fd: fd })).toBe(0);
    host.bpf(u.BPF_MAP_LOOKUP_ELEM, { map_fd: map, key, value });
    host.close(fd);
  }
  host.close(map);
  const r0 = fd < 0 ? fd : new DataView(value.buffer).getBigInt64(SIZE - 8, true);
  return { r0, out: value.slice(OUT, SIZE - 8) };
}

/** The same on all hosts; gives the outcome. */
function agree(
  input: Uint8Array,
  body: (map: number) => readonly asm.AsmItem[],
  what: string,
  sleeps = false,
): Outcome {
  const [first, ...others] = places.map((host) => call(host, input, body, sleeps));
  for (const other of others) expect(other, what).toEqual(first);
  return first!;
}

const bytes = (text: string): Uint8Array => Uint8Array.from(text, (c) => c.charCodeAt(0));
const helper = (number: number): asm.AsmItem => asm.call(number);

/** r3 = an address: where the value begins, or a number. */
const from = (map: number, address: bigint | "value"): asm.AsmItem =>
  address === "value" ? asm.ldMapValue(R3, map, 0) : asm.ldImm64(R3, address);

const addresses: readonly (bigint | "value")[] = [
  "value",
  0n,
  0x1000n,
  0x7fff_ffff_f000n,
  0x1234_5678_9abc_def0n,
  0xffff_8880_0000_0000n - 4096n,
  0xffff_ffff_ffff_fff0n,
];

const probes: readonly (readonly [name: string, number: number, sleeps: boolean])[] = [
  ["bpf_probe_read", u.BPF_FUNC_probe_read, false],
  ["bpf_probe_read_str", u.BPF_FUNC_probe_read_str, false],
  ["bpf_probe_read_user", u.BPF_FUNC_probe_read_user, false],
  ["bpf_probe_read_kernel", u.BPF_FUNC_probe_read_kernel, false],
  ["bpf_probe_read_user_str", u.BPF_FUNC_probe_read_user_str, false],
  ["bpf_probe_read_kernel_str", u.BPF_FUNC_probe_read_kernel_str, false],
  ["bpf_copy_from_user", u.BPF_FUNC_copy_from_user, true],
];

test.each(probes)("%s: right and wrong addresses", (name, number, sleeps) => {
  const sizes = [0, 1, 3, 6, 8, 12];
  for (const address of addresses) {
    const each = (map: number, size: number, i: number): readonly asm.AsmItem[] => [
      from(map, address),
      asm.ldMapValue(R1, map, OUT + i * 32),
      asm.mov64Imm(R2, size),
      helper(number),
      asm.stx("u64", R9, R0, OUT + i * 32 + 16),
    ];
    const input = bytes("hello\0world\0");
    agree(input, (map) => sizes.flatMap((size, i) => each(map, size, i)), `${name} at ${address.toString(16)}`, sleeps);
  }
});

test("text that is longer than its place", () => {
  const body = (map: number): readonly asm.AsmItem[] => [
    asm.ldMapValue(R1, map, OUT),
    asm.mov64Imm(R2, 8),
    asm.ldMapValue(R3, map, 0),
    helper(u.BPF_FUNC_probe_read_kernel_str),
  ];
  const { r0, out } = agree(bytes("longer than eight"), body, "probe_read_kernel_str");
  expect(r0).toBe(8n);
  expect(new TextDecoder().decode(out.subarray(0, 9))).toBe("longer \0#");
});

const numbers: readonly string[] = [
  ..."123|-5|+5|- 5| \t12x|\v9|\n7|0x1f|0XfF|0x|0x1g|017|08|abc|0|-0|   |12\x034".split("|"),
  ..."99999999999999999999|9223372036854775807|9223372036854775808|-9223372036854775808|-9223372036854775809".split(
    "|",
  ),
  ..."18446744073709551615|18446744073709551616|-18446744073709551616".split("|"),
  "1".repeat(64),
  `${"0".repeat(61)}17`,
  `${"0".repeat(62)}17`,
  `     ${"0".repeat(62)}17`,
  "\xa05",
];

test.each([
  ["bpf_strtol", u.BPF_FUNC_strtol],
  ["bpf_strtoul", u.BPF_FUNC_strtoul],
])("%s", (name, number) => {
  const bases = [0, 8, 10, 16, 1, 7, 36, 0x108];
  for (const text of numbers) {
    // r0 and the number of each base, one behind the other.
    const each = (map: number, flags: number, i: number): readonly asm.AsmItem[] => [
      asm.ldMapValue(R1, map, 0),
      asm.mov64Imm(R2, text.length),
      asm.mov64Imm(R3, flags),
      asm.mov64(R4, R10),
      asm.alu64Imm("add", R4, -8),
      asm.st("u64", R10, -8, 0x55),
      helper(number),
      asm.ldx("u64", R1, R10, -8),
      asm.stx("u64", R9, R0, OUT + i * 16),
      asm.stx("u64", R9, R1, OUT + i * 16 + 8),
    ];
    agree(bytes(text), (map) => bases.flatMap((flags, i) => each(map, flags, i)), `${name} of ${JSON.stringify(text)}`);
  }
});

/** A map whose text programs can rely on. */
function constant(host: Host, text: Uint8Array): number {
  const value = new Uint8Array(Math.max(text.length + 1, 8));
  value.set(text);
  const map = host.bpf(u.BPF_MAP_CREATE, {
    map_type: u.BPF_MAP_TYPE_ARRAY,
    key_size: 4,
    value_size: value.length,
    max_entries: 1,
    map_flags: u.BPF_F_RDONLY_PROG,
  });
  host.bpf(u.BPF_MAP_UPDATE_ELEM, { map_fd: map, key: new Uint8Array(4), value, flags: 0 });
  host.bpf(u.BPF_MAP_FREEZE, { map_fd: map });
  return map;
}

test("bpf_strncmp", () => {
  const wanted: readonly (readonly [string, number, number])[] = [
    ["hello\0", 6, 0],
    ["hellp", 5, 1],
    ["hell\0", 5, -1],
    ["hella", 5, -1],
    ["hello\0xx", 8, 0],
    ["\xffhello", 5, 1],
    ["h", 1, 0],
    ["hello!", 6, 1],
  ];
  for (const [text, size, ret] of wanted) {
    for (const host of places) {
      const text2 = constant(host, bytes("hello\0zz"));
      const { r0 } = call(host, bytes(text), (map) => [
        asm.ldMapValue(R1, map, 0),
        asm.mov64Imm(R2, size),
        asm.ldMapValue(R3, text2, 0),
        helper(u.BPF_FUNC_strncmp),
      ]);
      host.close(text2);
      expect(Number(BigInt.asIntN(32, BigInt(r0))), text).toBe(ret);
    }
  }
});

/** An argument of a format: a number, or where in the value a text is. */
type FormatArg = bigint | { readonly at: number };

/** bpf_snprintf: r0, and what it wrote. A format that is refused at load by the kernel is -EINVAL. */
function snprintf(
  host: Host,
  format: Uint8Array,
  args: readonly FormatArg[],
  size: number,
  input: Uint8Array,
): Outcome {
  const fmt = constant(host, format);
  const outcome = call(host, input, (map) => [
    ...args.flatMap((arg, i) => [
      typeof arg === "bigint" ? asm.ldImm64(R1, arg) : asm.ldMapValue(R1, map, arg.at),
      asm.stx("u64", R10, R1, (i - args.length) * 8),
    ]),
    asm.ldMapValue(R1, map, OUT),
    asm.mov64Imm(R2, size),
    asm.ldMapValue(R3, fmt, 0),
    ...(args.length === 0 ? [asm.mov64Imm(R4, 0)] : [asm.mov64(R4, R10), asm.alu64Imm("add", R4, -8 * args.length)]),
    asm.mov64Imm(R5, 8 * args.length),
    helper(u.BPF_FUNC_snprintf),
  ]);
  host.close(fmt);
  const r0 = typeof outcome.r0 === "number" ? BigInt(outcome.r0) : outcome.r0;
  return { r0, out: outcome.out };
}

/** Not pB: behind a long text it takes Linux 6.18 past the end of its buffer. */
const conversions = "d u x X i ld lu lx llX lld c s pks pus pI4 pi4 pI6 pi6 px pS ps q h pI5 l llld".split(" ");
const texts: Uint8Array = bytes(
  `hello\0world\0\x80\xff\0${String.fromCharCode(...Array.from({ length: 90 }, (_, i) => i + 1))}`,
);

/** A random format with its arguments. */
function randomFormat(random: (n: number) => number): { format: string; args: FormatArg[] } {
  const pick = <T>(from: readonly T[]): T => from[random(from.length)]!;
  const args: FormatArg[] = [];
  let format = "";
  for (let left = random(5); left > 0; left--) {
    // The last ones are no conversions.
    const conversion = conversions[random(random(20) === 0 ? conversions.length : 21)]!;
    const flags = Array.from({ length: random(3) }, () => pick(["0", "-", "+", " "])).join("");
    format += `%${flags}${pick(["", "", "3", "8", "20"])}${conversion}${pick([" ", "|", ",", "", "\n", "ab", "%%", "\xa1"])}`;
    const readsText = /s$|pI|pi/.test(conversion) && !/p[sS]$/.test(conversion);
    if (readsText && random(10) > 0) args.push({ at: random(100) });
    else if (readsText) args.push(pick([0n, 8n, 4096n]));
    else
      args.push(
        pick([0n, 1n, 0xffff_ffffn, 0xffff_ffff_ffff_ffffn, 1n << 63n, BigInt(random(2 ** 31)) * 0x9e37_79b9n]),
      );
  }
  if (args.length > 0 && random(20) === 0) args.pop();
  return { format, args };
}

test("bpf_snprintf: random formats", () => {
  const seed = Number(process.env.BPFMAPS_RANDOM_SEED ?? 1);
  let state = seed >>> 0;
  const random = (n: number): number => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return Math.floor((state / 2 ** 32) * n);
  };
  console.log(`bpf_snprintf: seed ${seed}`);
  for (let i = 0; i < 150; i++) {
    const { format, args } = randomFormat(random);
    const [first, ...others] = places.map((host) => snprintf(host, bytes(format), args, 400, texts));
    for (const other of others) expect(other, `seed ${seed}: ${JSON.stringify(format)}`).toEqual(first);
  }
});

test("bpf_snprintf: the length is the whole text's, whatever the room", () => {
  const rows: readonly (readonly [string, readonly FormatArg[], number, bigint])[] = [
    ["%200d", [1n], 10, 201n],
    ["%1234567890123d", [1n], 10, 8388608n],
    ["%2147483648d", [1n], 10, 2n],
    ["abcdefgh%pks.", [{ at: 0 }], 8, 10n],
    ["abcdefgh%pks.", [{ at: 0 }], 9, 15n],
    ["%d", [12345n], 1, 6n],
    ["%d", [12345n], 0, 6n],
    ["%p", [0n], 20, 17n],
    ["%d %d", [1n], 20, BigInt(-u.EINVAL)],
    ["%s%d", [{ at: 0 }, 1n], 20, 7n],
  ];
  for (const host of places) {
    for (const [format, args, size, ret] of rows) {
      expect(snprintf(host, bytes(format), args, size, texts).r0, `${format} in ${size}`).toBe(ret);
    }
  }
});
