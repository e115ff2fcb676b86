/**
 * Functions that a kernel has for tests of tracing programs: BPF_PROG_TEST_RUN calls them, and what is attached to them
 * runs. What they are called with stands in `cmd/prog_test_tracing.ts`. Kernel counterpart: net/bpf/test_run.c.
 */
import type { BtfBuilder } from "../btf/index.ts";

/** `int` and the like as in C; the pointers by what they lead to. */
type TestType = "int" | "u32" | "u64" | "char" | "short" | "void *" | "const void *" | "int *" | "u32 *" | "struct *";

export interface TestFunction {
  readonly name: string;
  readonly params: readonly (readonly [name: string, type: TestType])[];
  readonly result: "int" | "u32";
}

function test(
  name: string,
  params: Readonly<Record<string, TestType>>,
  result: TestFunction["result"] = "int",
): TestFunction {
  return { name, params: Object.entries(params), result };
}

export const testFunctions: readonly TestFunction[] = [
  test("bpf_fentry_test1", { a: "int" }),
  test("bpf_fentry_test2", { a: "int", b: "u64" }),
  test("bpf_fentry_test3", { a: "char", b: "int", c: "u64" }),
  test("bpf_fentry_test4", { a: "void *", b: "char", c: "int", d: "u64" }),
  test("bpf_fentry_test5", { a: "u64", b: "void *", c: "short", d: "int", e: "u64" }),
  test("bpf_fentry_test6", { a: "u64", b: "void *", c: "short", d: "int", e: "void *", f: "u64" }),
  test("bpf_fentry_test7", { arg: "struct *" }),
  test("bpf_fentry_test8", { arg: "struct *" }),
  test("bpf_fentry_test9", { a: "u32 *" }, "u32"),
  test("bpf_fentry_test10", { a: "const void *" }),
  test("bpf_modify_return_test", { a: "int", b: "int *" }),
  test("bpf_modify_return_test2", { a: "int", b: "int *", c: "short", d: "int", e: "void *", f: "char", g: "int" }),
];

/** Their types, and those of the callbacks that only test runs call: struct bpf_dummy_ops. */
export function addTestTypes(b: BtfBuilder): void {
  const int = b.int("int", 4, { signed: true });
  const u32 = b.typedef("u32", b.int("unsigned int", 4));
  const u64 = b.typedef("u64", b.int("unsigned long long", 8));
  const short = b.int("short", 2, { signed: true });
  const char = b.int("char", 1, { signed: true });
  // struct bpf_fentry_test_t { struct bpf_fentry_test_t *a; }
  const self = b.fwd("bpf_fentry_test_t", "struct");
  const struct = b.struct("bpf_fentry_test_t", 8, [{ name: "a", typeId: b.ptr(self), bitOffset: 0 }]);
  const types: Readonly<Record<TestType, number>> = {
    int,
    u32,
    u64,
    char,
    short,
    "void *": b.ptr(0),
    "const void *": b.ptr(b.const(0)),
    "int *": b.ptr(int),
    "u32 *": b.ptr(u32),
    "struct *": b.ptr(struct),
  };
  for (const { name, params, result } of testFunctions) {
    const typed = params.map(([param, type]) => ({ name: param, typeId: types[type] }));
    b.func(name, b.funcProto(types[result], typed));
  }
  const state = b.ptr(b.struct("bpf_dummy_ops_state", 4, [{ name: "val", typeId: int, bitOffset: 0 }]));
  const one = b.ptr(b.funcProto(int, [{ name: "cb", typeId: state }]));
  const five = b.funcProto(int, [
    { name: "cb", typeId: state },
    { name: "a1", typeId: int },
    { name: "a2", typeId: b.int("unsigned short", 2) },
    { name: "a3", typeId: char },
    { name: "a4", typeId: b.int("unsigned long", 8) },
  ]);
  const ops = b.struct("bpf_dummy_ops", 24, [
    { name: "test_1", typeId: one, bitOffset: 0 },
    { name: "test_2", typeId: b.ptr(five), bitOffset: 64 },
    { name: "test_sleepable", typeId: one, bitOffset: 128 },
  ]);
  // The kernel's struct around it: its own state, then the callbacks at the next cache line.
  b.struct("bpf_struct_ops_bpf_dummy_ops", 128, [{ name: "data", typeId: ops, bitOffset: 512 }]);
  // Names of parameters tell which pointers may be NULL.
  b.func("bpf_dummy_ops__test_1", b.funcProto(int, [{ name: "cb__nullable", typeId: state }]));
}
