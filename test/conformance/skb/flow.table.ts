/** Flow dissectors: the packet goes in, the flow keys come out. */
import * as asm from "../../../src/insn/index.ts";
import * as u from "../../../src/uapi/index.ts";
import { ipv4, ipv6, noise, type SkbCase } from "./cases.ts";

const { R0, R1, R2, R3, R4, R6, R10 } = asm;
const FLOW = u.BPF_PROG_TYPE_FLOW_DISSECTOR;
const { fields: keys } = u.bpf_flow_keys;
const { fields } = u.__sk_buff;
const bare = { ctx_in: null, ctx_size_in: 0, ctx_out: null, ctx_size_out: 0 };

/** r6 = context, r2 = flow keys; then `items`; returns `retval`. */
function dissector(items: readonly asm.AsmItem[], retval = 0): readonly asm.AsmItem[] {
  return [
    asm.mov64(R6, R1),
    asm.ldx("u64", R2, R6, fields.flow_keys.offset),
    ...items,
    asm.mov64Imm(R0, retval),
    asm.exit(),
  ];
}

const put = (field: keyof typeof keys, size: "u8" | "u16" | "u32", value: number): asm.AsmItem =>
  asm.st(size, R2, keys[field].offset, value);
/** What the fields hold at the start, into the addresses. */
const seen = (["nhoff", "is_encap", "flags"] as const).flatMap((field, i) => [
  asm.ldx("u32", R3, R2, keys[field].offset),
  asm.stx("u32", R2, R3, keys.ipv4_src.offset + 4 * i),
]);
const length: readonly asm.AsmItem[] = [
  asm.ldx("u32", R3, R6, fields.data_end.offset),
  asm.ldx("u32", R4, R6, fields.data.offset),
  asm.alu64("sub", R3, R4),
  asm.stx("u32", R2, R3, keys.ipv4_src.offset),
];
const firstWord: readonly asm.AsmItem[] = [
  asm.ldx("u32", R3, R6, fields.data_end.offset),
  asm.ldx("u32", R4, R6, fields.data.offset),
  asm.mov64(R0, R4),
  asm.alu64Imm("add", R0, 4),
  asm.jmp("jgt", R0, R3, 2),
  asm.ldx("u32", R3, R4, 0),
  asm.stx("u32", R2, R3, keys.ipv4_dst.offset),
];
const loaded = (at: number): readonly asm.AsmItem[] => [
  asm.mov64(R1, R6),
  asm.st("u64", R10, -8, -1),
  asm.mov64Imm(R2, at),
  asm.mov64(R3, R10),
  asm.alu64Imm("add", R3, -8),
  asm.mov64Imm(R4, 8),
  asm.call(u.BPF_FUNC_skb_load_bytes),
  asm.ldx("u64", R2, R6, fields.flow_keys.offset),
  asm.stx("u32", R2, R0, keys.ipv4_src.offset),
  asm.ldx("u32", R3, R10, -8),
  asm.stx("u32", R2, R3, keys.ipv4_dst.offset),
];
const flow = (id: string, code: readonly asm.AsmItem[], rest: Partial<SkbCase> = {}): SkbCase => ({
  id: `flow.${id}`,
  type: FLOW,
  code,
  ...rest,
  attr: { ...bare, ...rest.attr },
});
const given = (...bytes: readonly (readonly [at: number, value: number])[]): Uint8Array => {
  const context = new Uint8Array(u.bpf_flow_keys.size);
  for (const [at, value] of bytes) context[at] = value;
  return context;
};
const withContext = (context: Uint8Array): NonNullable<SkbCase["attr"]> => ({
  ctx_in: context,
  ctx_size_in: context.length,
});

export const flowCases: readonly SkbCase[] = [
  ...[ipv4, ipv6, noise, ipv4.subarray(0, 14)].map((data, i) => flow(`packet.${i}`, dissector(seen), { data })),
  ...[0, 13, 14, 3777, 4096, 4097].map((n) => flow(`size.${n}`, dissector(length), { data: new Uint8Array(n) })),
  ...[1, 2, 4].map((flags) => flow(`flags.${flags}`, dissector([]), { attr: { flags } })),
  flow("cpu", dissector([]), { attr: { cpu: 1 } }),
  flow("batch", dissector([]), { attr: { batch_size: 1 } }),
  flow("data-bad", dissector([]), { attr: { data_in: 0x1000, ...withContext(given([0, 1])) } }),
  flow("first-word", dissector(firstWord)),
  ...[0, 1, 2, 129, -1].map((retval) => flow(`retval.${retval}`, dissector([], retval))),
  ...(
    [
      [0, 0],
      [5, 7],
      [14, 20],
      [20, 10],
      [100, 100],
      [30, -1],
    ] as const
  ).map(([nhoff, thoff]) =>
    flow(`offsets.${nhoff}.${thoff}`, dissector([put("nhoff", "u16", nhoff), put("thoff", "u16", thoff)])),
  ),
  flow("keys", dissector([put("addr_proto", "u16", 0x800), put("sport", "u16", 1), put("flow_label", "u32", 7)])),
  flow("repeat", dissector([...seen, put("is_encap", "u8", 1)]), { attr: { repeat: 4 } }),
  ...[0, 14, 55, -1].map((at) => flow(`load_bytes.${at}`, dissector(loaded(at)))),
  flow("ctx.flags", dissector(seen), { attr: withContext(given([keys.flags.offset, 5])) }),
  flow("ctx.flags-unknown", dissector(seen), { attr: withContext(given([keys.flags.offset + 3, 255])) }),
  ...[keys.nhoff.offset, keys.n_proto.offset, keys.flow_label.offset].map((at) =>
    flow(`ctx.${at}`, dissector([]), { attr: withContext(given([at, 1])) }),
  ),
  flow("ctx.short", dissector([]), { attr: withContext(given().subarray(0, 10)) }),
  flow("ctx.long", dissector([]), { attr: withContext(new Uint8Array(60)) }),
  flow("ctx.out", dissector([put("sport", "u16", 9)]), {
    attr: { ...withContext(given([keys.flags.offset, 5])), ctx_out: new Uint8Array(56), ctx_size_out: 56 },
  }),
  flow("out.10", dissector([]), { attr: { data_size_out: 10 } }),
];
