import { existsSync, readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { InputError } from "../errors.ts";
import { BtfBuilder, formatType, parseBtf } from "./index.ts";

test("declarations", () => {
  const b = new BtfBuilder();
  const int = b.int("int", 4, { signed: true });
  const char = b.int("char", 1, { signed: true });
  const text = b.ptr(b.const(char));
  const constPtr = b.const(b.ptr(char));
  const grid = b.array(b.array(int, int, 3), int, 2);
  const ptrToArray = b.ptr(grid);
  const arrayOfPtr = b.array(text, int, 4);
  const proto = b.funcProto(int, [
    { name: "format", typeId: text },
    { name: "", typeId: 0 },
  ]);
  const callback = b.ptr(proto);
  const table = b.array(callback, int, 5);
  const returnsFn = b.funcProto(callback, []);
  const fn = b.func("choose", returnsFn, "static");
  const volatileInt = b.volatile(int);
  const inner = b.union("", 4, [
    { name: "number", typeId: int, bitOffset: 0 },
    { name: "", typeId: b.struct("", 4, [{ name: "low", typeId: int, bitOffset: 0, bitSize: 5 }]), bitOffset: 0 },
  ]);
  const s = b.struct("s", 40, [
    { name: "text", typeId: constPtr, bitOffset: 0 },
    { name: "", typeId: inner, bitOffset: 64 },
    { name: "call", typeId: table, bitOffset: 96 },
    { name: "self", typeId: b.ptr(0), bitOffset: 256 },
  ]);
  const self = b.typedef("s_t", s);
  const others: [number, string][] = [
    [0, "void"],
    [int, "int"],
    [text, "const char *"],
    [constPtr, "char *const"],
    [grid, "int [2][3]"],
    [ptrToArray, "int (*)[2][3]"],
    [arrayOfPtr, "const char *[4]"],
    [callback, "int (*)(const char *format, ...)"],
    [table, "int (*[5])(const char *format, ...)"],
    [fn, "static int (*choose(void))(const char *format, ...);"],
    [volatileInt, "volatile int"],
    [self, "typedef struct s s_t;"],
    [b.typeTag("user", int), "int"],
    [b.fwd("later", "union"), "union later;"],
    [b.enum("e", [{ name: "A", value: -1 }], { signed: true }), "enum e {\n  A = -1,\n};"],
    [
      b.typedef("e_t", b.enum64("", [{ name: "B", value: 1n << 63n }])),
      "typedef enum {\n  B = 9223372036854775808,\n} e_t;",
    ],
    [b.declTag("nullable", fn, 0), '__attribute__((btf_decl_tag("nullable")))'],
  ];
  const v = b.var("v", grid, "extern");
  others.push([v, "extern int v[2][3];"]);
  const sec = b.datasec(".data", 24, [{ typeId: v, offset: 0, size: 24 }]);
  others.push([sec, "/* section .data, 24 bytes */\nextern int v[2][3]; /* offset 0 */"]);
  const btf = parseBtf(b.build());
  for (const [id, declaration] of others) expect(formatType(btf, id)).toBe(declaration);
  expect(formatType(btf, s)).toBe(
    [
      "struct s {",
      "  char *const text;",
      "  union {",
      "    int number;",
      "    struct {",
      "      int low : 5;",
      "    };",
      "  };",
      "  int (*call[5])(const char *format, ...);",
      "  void *self;",
      "};",
    ].join("\n"),
  );
});

test("what never ends is an error", () => {
  const b = new BtfBuilder();
  const ring = b.ptr(1);
  const loop = b.struct("", 4, [{ name: "again", typeId: 2, bitOffset: 0 }]);
  const proto = b.funcProto(0, [{ name: "self", typeId: 3 }]);
  let wide = b.int("i", 4);
  for (let i = 0; i < 40; i++) {
    wide = b.struct("", 4, [
      { name: "a", typeId: wide, bitOffset: 0 },
      { name: "b", typeId: wide, bitOffset: 0 },
    ]);
  }
  const btf = parseBtf(b.build());
  expect(() => formatType(btf, ring)).toThrow("a declaration of more than 64 steps");
  expect(() => formatType(btf, loop)).toThrow("nested more than 64 deep");
  expect(() => formatType(btf, proto)).toThrow("parameters nested more than 64 deep");
  expect(() => formatType(btf, wide)).toThrow("more than 4000000 characters");
  expect(() => formatType(btf, 999)).toThrow(InputError);
});

const vmlinux = "/sys/kernel/btf/vmlinux";

test.runIf(existsSync(vmlinux))("the running kernel's declarations", () => {
  const btf = parseBtf(readFileSync(vmlinux));
  expect(formatType(btf, btf.find("bpf_insn", "struct")!)).toBe(
    "struct bpf_insn {\n  __u8 code;\n  __u8 dst_reg : 4;\n  __u8 src_reg : 4;\n  __s16 off;\n  __s32 imm;\n};",
  );
  const empty = Array.from({ length: btf.count }, (_, id) => id).filter((id) => formatType(btf, id) === "");
  expect(empty).toEqual([]);
});
