/** Externs of an object: what they are, where configuration values lie, and BTF that the kernel takes. */
import { expect, test } from "vitest";
import { type FixtureName, readFixture } from "../../test/fixtures/bpf/read.ts";
import { InputError } from "../errors.ts";
import { BPF_F_MMAPABLE, BPF_F_RDONLY_PROG } from "../uapi/index.ts";
import { encodeKconfig, type KconfigValue, parseKconfig } from "./kconfig.ts";
import { parseObject } from "./object.ts";
import type { ObjectSpec } from "./spec.ts";

const load = (name: FixtureName): ObjectSpec => parseObject(readFixture(name), { name });

test("what kinds there are, and which may be missing", () => {
  const { externs } = load("externs");
  expect(externs.map(({ name, kind, weak }) => `${kind} ${name}${weak ? " weak" : ""}`)).toEqual([
    "kconfig CONFIG_NO_SUCH_NUMBER weak",
    "kconfig CONFIG_HZ",
    "kconfig CONFIG_NET",
    "kconfig LINUX_KERNEL_VERSION",
    "kconfig CONFIG_DEFAULT_HOSTNAME",
    "kconfig CONFIG_BPF_SYSCALL",
    "kconfig CONFIG_NO_SUCH_CHAR weak",
    "function bpf_no_such_function weak",
    "function bpf_rcu_read_lock weak",
    "function bpf_rcu_read_unlock",
    "variable no_such_variable weak",
    "symbol no_such_symbol weak",
    "symbol _text",
    "variable bpf_prog_active",
  ]);
});

test("configuration values: places by alignment, size and name, in a map that is read only", () => {
  const object = load("externs");
  const places = object.globals.map(({ name, map, offset, size }) => [name, map, offset, size]);
  expect(places).toEqual([
    ["CONFIG_NO_SUCH_NUMBER", "externs.kconfig", 0, 8],
    ["CONFIG_HZ", "externs.kconfig", 8, 4],
    ["CONFIG_NET", "externs.kconfig", 12, 4],
    ["LINUX_KERNEL_VERSION", "externs.kconfig", 16, 4],
    ["CONFIG_DEFAULT_HOSTNAME", "externs.kconfig", 20, 8],
    ["CONFIG_BPF_SYSCALL", "externs.kconfig", 28, 1],
    ["CONFIG_NO_SUCH_CHAR", "externs.kconfig", 29, 1],
  ]);
  expect(object.maps).toMatchObject([
    { name: "externs.kconfig", valueSize: 30, frozen: true, flags: BPF_F_RDONLY_PROG | BPF_F_MMAPABLE },
  ]);
  const [datasec] = object.btf!.types.filter((type) => type.kind === "datasec" && type.name === ".kconfig");
  expect(datasec).toMatchObject({ size: 30 });
  const refs = object.programs.find((program) => program.name === "with_kconfig")!.mapRefs;
  expect(new Set(refs.map((ref) => ref.offset))).toEqual(new Set([8, 28, 12, 20]));
});

test("references: calls and addresses, by name", () => {
  const { programs } = load("externs");
  const refsOf = (name: string): string[] =>
    programs.find((program) => program.name === name)!.externRefs.map(({ extern, kind }) => `${kind} ${extern}`);
  expect(refsOf("with_functions")).toEqual([
    "address bpf_rcu_read_lock",
    "call bpf_rcu_read_lock",
    "call bpf_rcu_read_unlock",
  ]);
  expect(refsOf("with_symbol")).toEqual(["address _text"]);
  expect(refsOf("with_variable")).toEqual(["address bpf_prog_active"]);
  expect(refsOf("on_demand")).toEqual(["call bpf_no_such_function"]);
  expect(programs.filter((program) => !program.autoload).map((program) => program.name)).toEqual(["on_demand"]);
});

test("the configuration's text", () => {
  const text =
    'CONFIG_A=y\n# CONFIG_B is not set\nCONFIG_C="a = b"\nCONFIG_D=-0x10\nOTHER=1\nCONFIG_E=\nCONFIG_F=m\r\n';
  expect([...parseKconfig(text)]).toEqual([
    ["CONFIG_A", "y"],
    ["CONFIG_C", "a = b"],
    ["CONFIG_D", "-0x10"],
    ["CONFIG_E", ""],
    ["CONFIG_F", "m"],
  ]);
});

const { btf, externs: all } = load("externs");
function encoded(name: string, value: KconfigValue): number[] {
  const extern = all.find((each) => each.name === name)!;
  const bytes = new Uint8Array(extern.size!).fill(0xaa);
  encodeKconfig(btf!, extern, value, bytes);
  return [...bytes];
}

test.each<[string, KconfigValue, number[]]>([
  ["CONFIG_HZ", "250", [250, 0, 0, 0]],
  ["CONFIG_HZ", "0xFFffFFff", [255, 255, 255, 255]],
  ["CONFIG_HZ", 7n, [7, 0, 0, 0]],
  ["LINUX_KERNEL_VERSION", "-2", [254, 255, 255, 255]],
  ["LINUX_KERNEL_VERSION", -0x8000_0000, [0, 0, 0, 128]],
  ["CONFIG_NO_SUCH_NUMBER", "18446744073709551615", [255, 255, 255, 255, 255, 255, 255, 255]],
  ["CONFIG_BPF_SYSCALL", "y", [1]],
  ["CONFIG_BPF_SYSCALL", false, [0]],
  ["CONFIG_BPF_SYSCALL", 1, [1]],
  ["CONFIG_NET", "n", [0, 0, 0, 0]],
  ["CONFIG_NET", true, [1, 0, 0, 0]],
  ["CONFIG_NET", "m", [2, 0, 0, 0]],
  ["CONFIG_NO_SUCH_CHAR", "m", [109]],
  ["CONFIG_NO_SUCH_CHAR", "65", [65]],
  ["CONFIG_DEFAULT_HOSTNAME", "(none)", [40, 110, 111, 110, 101, 41, 0, 0]],
  ["CONFIG_DEFAULT_HOSTNAME", "longer than it", [108, 111, 110, 103, 101, 114, 32, 0]],
])("%s as %s", (name, value, bytes) => {
  expect(encoded(name, value)).toEqual(bytes);
});

test.each<[string, KconfigValue, RegExp]>([
  ["CONFIG_HZ", "y", /extern CONFIG_HZ: found "y", expected a number of 32 bits$/],
  ["CONFIG_HZ", "4294967296", /expected a number of 32 bits$/],
  ["CONFIG_HZ", -1, /found -1, expected a number of 32 bits$/],
  ["CONFIG_HZ", 1.5, /found 1.5/],
  ["LINUX_KERNEL_VERSION", 2 ** 31, /a number of 32 bits and a sign/],
  ["CONFIG_BPF_SYSCALL", "m", /found "m", expected y or n/],
  ["CONFIG_NET", 1, /found 1, expected y, n or m/],
  ["CONFIG_DEFAULT_HOSTNAME", 5, /expected a string/],
])("%s cannot be %s", (name, value, message) => {
  expect(() => encoded(name, value)).toThrow(InputError);
  expect(() => encoded(name, value)).toThrow(message);
});

test("options whose values are larger than any", () => {
  const bytes = readFixture("externs").slice();
  const view = new DataView(bytes.buffer);
  // The length of CONFIG_DEFAULT_HOSTNAME, behind struct btf_type of an array and two types.
  const isLength = (at: number): boolean =>
    view.getUint32(at, true) === 8 && view.getUint32(at - 16, true) === 3 << 24 && view.getUint32(at - 12, true) === 0;
  const places = Array.from({ length: bytes.length / 4 - 4 }, (_, i) => 4 * (i + 4)).filter(isLength);
  expect(places).toHaveLength(1);
  for (const length of [1 << 20, 0xffff_ffff]) {
    view.setUint32(places[0]!, length, true);
    const parse = (): ObjectSpec => parseObject(bytes, { name: "externs" });
    expect(parse).toThrow(
      new InputError(
        `ELF: extern CONFIG_DEFAULT_HOSTNAME: found ${length} bytes, expected at most 1048576 in .kconfig with all others`,
      ),
    );
  }
});
