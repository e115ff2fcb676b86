/** PROG_TEST_RUN of XDP programs: attributes, packets and contexts, on the embedded hosts and on the kernel at hand. */
import { afterAll, expect, test } from "vitest";
import type { AttrObject, Host } from "../../src/host/host.ts";
import * as asm from "../../src/insn/index.ts";
import * as u from "../../src/uapi/index.ts";
import { closeHosts, openHosts, placesOf } from "./hosts.ts";
import { loadProgram } from "./programs.ts";

const { R0, R1, R2, R3, R4, R6, R7, R10 } = asm;
const hosts = openHosts();
const places = placesOf(hosts);
let compared = 0;
afterAll(() => {
  expect(hosts.exclusive.openFds()).toEqual([]);
  expect(hosts.shared.openFds()).toEqual([]);
  closeHosts(hosts);
  console.log(`test runs: ${compared} answers, ${hosts.kernel === undefined ? hosts.kernelNote : "also the kernel's"}`);
});

const pass: readonly asm.AsmItem[] = [asm.mov64Imm(R0, 2), asm.exit()];
const { fields } = u.xdp_md;
const field = (name: keyof typeof fields): readonly asm.AsmItem[] => [
  asm.ldx("u32", R0, R1, fields[name].offset),
  asm.exit(),
];
/** Distance of two fields of the context. */
const distance = (from: keyof typeof fields, to: keyof typeof fields): readonly asm.AsmItem[] => [
  asm.ldx("u32", R0, R1, fields[to].offset),
  asm.ldx("u32", R2, R1, fields[from].offset),
  asm.alu64("sub", R0, R2),
  asm.exit(),
];
/** r0 = helper(ctx, n), one after the other; the results go to the lowest, the next, ... of eight bits each. */
const helpers = (...calls: readonly (readonly [helper: number, n: number])[]): readonly asm.AsmItem[] => [
  asm.mov64(R6, R1),
  asm.mov64Imm(R7, 0),
  ...calls.flatMap(([helper, n]) => [
    asm.mov64(R1, R6),
    asm.mov64Imm(R2, n),
    asm.call(helper),
    asm.alu64Imm("and", R0, 255),
    asm.alu64Imm("lsh", R7, 8),
    asm.alu64("or", R7, R0),
  ]),
  asm.mov64(R0, R7),
  asm.exit(),
];
const HEAD = u.BPF_FUNC_xdp_adjust_head;
const TAIL = u.BPF_FUNC_xdp_adjust_tail;
const META = u.BPF_FUNC_xdp_adjust_meta;
const buffLen: readonly asm.AsmItem[] = [asm.call(u.BPF_FUNC_xdp_get_buff_len), asm.exit()];
/** Loads or stores `length` bytes at `offset`, from or to a stack of ones; r0 = result, or the first word loaded. */
const bytes = (helper: number, offset: number, length: number): readonly asm.AsmItem[] => [
  ...[64, 56, 48, 40, 32, 24, 16, 8].map((depth) => asm.st("u64", R10, -depth, -1)),
  asm.mov64Imm(R2, offset),
  asm.mov64(R3, R10),
  asm.alu64Imm("add", R3, -64),
  asm.mov64Imm(R4, length),
  asm.call(helper),
  asm.ldx("u64", R1, R10, -64),
  asm.jmpImm("jne", R0, 0, "end"),
  asm.mov64(R0, R1),
  asm.label("end"),
  asm.exit(),
];
const LOAD = u.BPF_FUNC_xdp_load_bytes;
const STORE = u.BPF_FUNC_xdp_store_bytes;

/** Bytes that differ from their neighbours. */
const packet = (n: number): Uint8Array => Uint8Array.from({ length: n }, (_, i) => (i * 7 + 1) & 255);
const ctx = (given: Partial<Record<keyof typeof fields, number>> = {}): Uint8Array => {
  const view = new DataView(new ArrayBuffer(u.xdp_md.size));
  for (const [name, value] of Object.entries({ data_end: 64, ...given })) {
    view.setUint32(fields[name as keyof typeof fields].offset, value, true);
  }
  return new Uint8Array(view.buffer);
};

interface Run {
  /** Default: returns 2. */
  readonly code?: readonly asm.AsmItem[];
  /** Default: 64 bytes. */
  readonly data?: Uint8Array | number | null;
  readonly size?: number;
  readonly out?: number;
  readonly ctx?: Uint8Array;
  /** Room for the context, which is wanted back. */
  readonly ctxOut?: number;
  readonly attr?: AttrObject;
  readonly attachType?: number;
}

/** What must come back: result, r0 (signed), packet's size, context's data and data_end, bytes of the packet from 0 on. */
interface Answer {
  readonly ret?: number;
  readonly r0?: number;
  readonly size?: number;
  readonly ctx?: readonly [data: number, end: number];
  readonly ctxSize?: number;
  readonly bytes?: Uint8Array;
}

function run(host: Host, given: Run): Answer {
  const { fd, log } = loadProgram(host, given.code ?? pass, { attachType: given.attachType ?? 0 });
  if (fd < 0) throw new Error(`PROG_LOAD ${fd}: ${log}`);
  const data = given.data === undefined ? packet(64) : given.data;
  const out = new Uint8Array(16384).fill(0xee);
  const ctxOut = new Uint8Array(64).fill(0xee);
  const attr: Record<string, AttrObject[string]> = {
    prog_fd: fd,
    data_in: data,
    data_size_in: given.size ?? (data instanceof Uint8Array ? data.length : 0),
    data_out: out,
    data_size_out: given.out ?? out.length,
    retval: 0,
    ...(given.ctx === undefined ? {} : { ctx_in: given.ctx, ctx_size_in: given.ctx.length }),
    ...(given.ctxOut === undefined ? {} : { ctx_out: ctxOut, ctx_size_out: given.ctxOut }),
    ...given.attr,
  };
  const ret = host.bpf(u.BPF_PROG_TEST_RUN, attr);
  host.close(fd);
  compared++;
  const view = new DataView(ctxOut.buffer);
  return {
    ret,
    r0: Number(attr.retval) | 0,
    size: Number(attr.data_size_out),
    ctx: [view.getUint32(fields.data.offset, true), view.getUint32(fields.data_end.offset, true)],
    ctxSize: Number(attr.ctx_size_out),
    bytes: out,
  };
}

function check(given: Run, expected: Answer): void {
  for (const [name, host] of places) {
    const answer = run(host, given);
    const { bytes: expectedBytes, ...rest } = expected;
    const told = Object.fromEntries(Object.keys(rest).map((key) => [key, answer[key as keyof Answer]]));
    expect(told, name).toEqual(rest);
    if (expectedBytes !== undefined) {
      expect(Buffer.from(answer.bytes!.subarray(0, expectedBytes.length)).toString("hex"), name).toBe(
        Buffer.from(expectedBytes).toString("hex"),
      );
    }
  }
}

const refused = (ret: number): Answer => ({ ret: -ret, r0: 0 });
const attrRows: readonly (readonly [id: string, run: Run, answer: Answer])[] = [
  ["plain", {}, { ret: 0, r0: 2, size: 64, bytes: packet(64) }],
  ["negative", { code: [asm.mov64Imm(R0, -5), asm.exit()] }, { ret: 0, r0: -5 }],
  ["data.0", { data: null }, refused(u.EINVAL)],
  ["data.13", { data: packet(13) }, refused(u.EINVAL)],
  ["data.14", { data: packet(14) }, { ret: 0, r0: 2, size: 14 }],
  ["data.null", { data: null, size: 64 }, refused(u.EFAULT)],
  ["data.bad", { data: 0x1000, size: 64 }, refused(u.EFAULT)],
  ["data.3520", { data: packet(3520) }, { ret: 0, r0: 2, size: 3520, bytes: packet(3520) }],
  ["data.3521", { data: packet(3521) }, { ret: 0, r0: 2, size: 3521, bytes: packet(3521) }],
  ["data.9000", { data: packet(9000) }, { ret: 0, r0: 2, size: 9000, bytes: packet(9000) }],
  ["data.73152", { data: packet(73152), out: 0, attr: { data_out: null } }, { ret: 0, r0: 2, size: 73152 }],
  ["data.73153", { data: packet(73153), attr: { data_out: null } }, refused(u.ENOMEM)],
  ["fd.bad", { attr: { prog_fd: 9999 } }, refused(u.EBADF)],
  ["out.null", { attr: { data_out: null }, out: 0 }, { ret: 0, r0: 2, size: 64 }],
  ["out.null-sized", { attr: { data_out: null }, out: 10 }, { ret: -u.ENOSPC, r0: 2, size: 64 }],
  ["out.10", { out: 10 }, { ret: -u.ENOSPC, r0: 2, size: 64, bytes: Uint8Array.of(...packet(10), 0xee) }],
  ["out.63", { out: 63 }, { ret: -u.ENOSPC, r0: 2, size: 64 }],
  ["out.64", { out: 64 }, { ret: 0, r0: 2, size: 64 }],
  ["out.bad", { attr: { data_out: 0x1000 }, out: 64 }, refused(u.EFAULT)],
  ["out.bad-short", { attr: { data_out: 0x1000 }, out: 10 }, refused(u.ENOSPC)],
  [
    "out.5000-of-frags",
    { data: packet(5000), out: 4000 },
    {
      ret: -u.ENOSPC,
      r0: 2,
      size: 5000,
      // What is cut off is cut off from the first part.
      bytes: Uint8Array.of(...packet(5000).subarray(0, 2520), ...packet(5000).subarray(3520), 0xee),
    },
  ],
  ["out.10-of-frags", { data: packet(5000), out: 10 }, { ret: -u.ENOSPC, r0: 0, size: 10 }],
  ["repeat.0", { attr: { repeat: 0 } }, { ret: 0, r0: 2 }],
  ["repeat.10", { attr: { repeat: 10 } }, { ret: 0, r0: 2 }],
  ["flags.1", { attr: { flags: 1 } }, refused(u.EINVAL)],
  ["flags.4", { attr: { flags: 4 } }, refused(u.EINVAL)],
  ["flags.8", { attr: { flags: 8 } }, refused(u.EINVAL)],
  ["cpu.99", { attr: { cpu: 99 } }, { ret: 0, r0: 2 }],
  ["batch.1", { attr: { batch_size: 1 } }, refused(u.EINVAL)],
  ["batch.257-live", { attr: { batch_size: 257, flags: 2 } }, refused(u.E2BIG)],
  ["attach-type.devmap", { attachType: u.BPF_XDP_DEVMAP }, refused(u.EINVAL)],
  ["attach-type.cpumap", { attachType: u.BPF_XDP_CPUMAP }, refused(u.EINVAL)],
  ["attach-type.xdp", { attachType: u.BPF_XDP }, { ret: 0, r0: 2 }],
  ["ctx", { ctx: ctx(), ctxOut: 24 }, { ret: 0, r0: 2, size: 64, ctx: [0, 64], ctxSize: 24 }],
  ["ctx.end-65", { ctx: ctx({ data_end: 65 }) }, refused(u.EINVAL)],
  ["ctx.end-0", { ctx: ctx({ data_end: 0 }), code: distance("data", "data_end") }, { ret: 0, r0: 0, size: 64 }],
  ["ctx.end-50", { ctx: ctx({ data_end: 50 }), ctxOut: 24 }, { ret: 0, size: 64, ctx: [0, 50], bytes: packet(64) }],
  ["ctx.end-50-length", { ctx: ctx({ data_end: 50 }), code: distance("data", "data_end") }, { ret: 0, r0: 50 }],
  ["ctx.end-50-whole-length", { ctx: ctx({ data_end: 50 }), code: buffLen }, { ret: 0, r0: 64 }],
  ["ctx.meta-1", { ctx: ctx({ data_meta: 1 }) }, refused(u.EINVAL)],
  ["ctx.data-3", { ctx: ctx({ data: 3 }) }, refused(u.EINVAL)],
  ["ctx.data-4", { ctx: ctx({ data: 4 }), ctxOut: 24 }, { ret: 0, r0: 2, size: 64, ctx: [4, 64], bytes: packet(64) }],
  ["ctx.data-4-meta", { ctx: ctx({ data: 4 }), code: distance("data_meta", "data") }, { ret: 0, r0: 4 }],
  ["ctx.data-4-length", { ctx: ctx({ data: 4 }), code: distance("data", "data_end") }, { ret: 0, r0: 60 }],
  ["ctx.data-48", { ctx: ctx({ data: 48 }) }, { ret: 0 }],
  ["ctx.data-52", { ctx: ctx({ data: 52 }) }, refused(u.EINVAL)],
  ["ctx.data-216", { ctx: ctx({ data: 216, data_end: 400 }), data: packet(400) }, { ret: 0 }],
  ["ctx.data-220", { ctx: ctx({ data: 220, data_end: 400 }), data: packet(400) }, refused(u.EINVAL)],
  ["ctx.data-behind-end", { ctx: ctx({ data: 40, data_end: 36 }) }, refused(u.EINVAL)],
  [
    "ctx.data-8-of-5000",
    { ctx: ctx({ data: 8, data_end: 5000 }), data: packet(5000), ctxOut: 24, code: distance("data", "data_end") },
    { ret: 0, r0: 3520, size: 5000, ctx: [8, 3528], bytes: packet(5000) },
  ],
  ["ctx.ingress", { code: field("ingress_ifindex") }, { ret: 0, r0: 1 }],
  ["ctx.ingress-1", { ctx: ctx({ ingress_ifindex: 1 }), code: field("ingress_ifindex") }, { ret: 0, r0: 1 }],
  ["ctx.ingress-99", { ctx: ctx({ ingress_ifindex: 99 }) }, refused(u.ENODEV)],
  ["ctx.ingress-99-queue", { ctx: ctx({ ingress_ifindex: 99, rx_queue_index: 9 }) }, refused(u.ENODEV)],
  ["ctx.ingress-1-queue", { ctx: ctx({ ingress_ifindex: 1, rx_queue_index: 9 }) }, refused(u.EINVAL)],
  ["ctx.queue", { ctx: ctx({ rx_queue_index: 1 }) }, refused(u.EINVAL)],
  ["ctx.queue-seen", { code: field("rx_queue_index") }, { ret: 0, r0: 0 }],
  ["ctx.egress", { ctx: ctx({ egress_ifindex: 1 }) }, refused(u.EINVAL)],
  ["ctx.short", { ctx: ctx().subarray(0, 12) }, { ret: 0, r0: 2 }],
  ["ctx.long", { ctx: new Uint8Array([...ctx(), 0, 0, 0, 0]) }, { ret: 0, r0: 2 }],
  ["ctx.long-dirty", { ctx: new Uint8Array([...ctx(), 0, 0, 0, 1]) }, refused(u.E2BIG)],
  ["ctx.4097", { ctx: new Uint8Array(4097) }, refused(u.E2BIG)],
  ["ctx.size-alone", { attr: { ctx_size_in: 24 } }, refused(u.EINVAL)],
  ["ctx.pointer-alone", { attr: { ctx_in: 0x1000 } }, refused(u.EINVAL)],
  ["ctx.bad", { attr: { ctx_in: 0x1000, ctx_size_in: 24 } }, refused(u.EFAULT)],
  ["ctx-out.size-alone", { attr: { ctx_size_out: 24 } }, refused(u.EINVAL)],
  ["ctx-out.pointer-alone", { attr: { ctx_out: 0x1000 } }, refused(u.EINVAL)],
  ["ctx-out.10", { ctx: ctx(), ctxOut: 10 }, { ret: -u.ENOSPC, r0: 2, ctxSize: 24 }],
  ["ctx-out.64", { ctx: ctx(), ctxOut: 64 }, { ret: 0, r0: 2, ctxSize: 24 }],
  ["ctx-out.bad", { ctx: ctx(), attr: { ctx_out: 0x1000, ctx_size_out: 24 } }, { ret: -u.EFAULT, r0: 2, ctxSize: 24 }],
  ["ctx-out.bad-short", { ctx: ctx(), attr: { ctx_out: 0x1000, ctx_size_out: 10 } }, { ret: -u.ENOSPC, ctxSize: 10 }],
  // Without a context of the caller's its data_end is 0: all of the packet is where only helpers reach.
  ["ctx-out.alone", { ctxOut: 24, code: distance("data", "data_end") }, { ret: 0, r0: 0, size: 64, ctx: [0, 0] }],
  ["both-short", { ctx: ctx(), ctxOut: 10, out: 10 }, { ret: -u.ENOSPC, r0: 2, ctxSize: 10 }],
];

const live = { flags: u.BPF_F_TEST_XDP_LIVE_FRAMES };
const dropped: readonly asm.AsmItem[] = [asm.mov64Imm(R0, 1), asm.exit()];
/** Frames are dropped: the kernel must not hand them to its interfaces. */
const liveRows: readonly (readonly [id: string, run: Run, answer: Answer])[] = [
  ["live", { attr: live }, { ret: 0, r0: 0, size: 64, bytes: packet(64) }],
  ["live.repeat", { attr: { ...live, repeat: 5 } }, { ret: 0, r0: 0, size: 64 }],
  ["live.batch-256", { attr: { ...live, batch_size: 256 } }, { ret: 0, r0: 0, size: 64 }],
  ["live.3408", { attr: live, data: packet(3408) }, { ret: 0, r0: 0, size: 3408 }],
  ["live.3409", { attr: live, data: packet(3409) }, refused(u.EINVAL)],
  ["live.13", { attr: live, data: packet(13) }, refused(u.EINVAL)],
  [
    "live.changed",
    { attr: { ...live, repeat: 3 }, code: [...helpers([HEAD, 8], [TAIL, -4]).slice(0, -2), ...dropped] },
    { ret: 0, r0: 0, size: 64, bytes: packet(64) },
  ],
  ["live.ctx", { attr: live, ctx: ctx() }, refused(u.EINVAL)],
  ["live.ctx-without-data", { attr: { ...live, data_out: null }, out: 0, ctx: ctx() }, { ret: 0, r0: 0, size: 64 }],
  ["live.ctx-meta", { attr: { ...live, data_out: null }, out: 0, ctx: ctx({ data: 8 }) }, { ret: 0, r0: 0, size: 64 }],
  ["live.ctx-out", { attr: { ...live, data_out: null }, out: 0, ctx: ctx(), ctxOut: 24 }, refused(u.EINVAL)],
  ["live.ctx-in-parts", { attr: { ...live, data_out: null }, out: 0, ctx: ctx({ data_end: 40 }) }, refused(u.EINVAL)],
  [
    "live.ingress",
    { attr: { ...live, data_out: null }, out: 0, ctx: ctx({ ingress_ifindex: 1 }) },
    { ret: 0, r0: 0, size: 64 },
  ],
  [
    "live.ingress-99",
    { attr: { ...live, data_out: null }, out: 0, ctx: ctx({ ingress_ifindex: 99 }) },
    refused(u.ENODEV),
  ],
  ["live.data-bad", { attr: live, data: 0x1000, size: 64 }, refused(u.EFAULT)],
  ["live.out-10", { attr: live, out: 10 }, { ret: -u.ENOSPC, r0: 0, size: 64 }],
];

test.each(liveRows)("live frames: %s", (_id, given, answer) => check({ code: dropped, ...given }, answer));

test.each(attrRows)("attributes: %s", (_id, given, answer) => check(given, answer));

const zeros = (n: number): number[] => new Array<number>(n).fill(0);
const EINVAL = 256 - u.EINVAL;
const EACCES = 256 - u.EACCES;
const full = { ctx: ctx(), ctxOut: 24 } as const;
const jumbo = { data: packet(5000), ctx: ctx({ data_end: 5000 }), ctxOut: 24 } as const;
const moved = (code: readonly asm.AsmItem[], rest: Partial<Run> = {}): Run => ({ ...full, code, ...rest });

const helperRows: readonly (readonly [id: string, run: Run, answer: Answer])[] = [
  ["head.0", moved(helpers([HEAD, 0])), { ret: 0, r0: 0, size: 64, ctx: [0, 64] }],
  ["head.8", moved(helpers([HEAD, 8])), { r0: 0, size: 56, bytes: packet(64).subarray(8) }],
  ["head.-8", moved(helpers([HEAD, -8])), { r0: 0, size: 72, bytes: Uint8Array.of(...zeros(8), ...packet(64)) }],
  ["head.50", moved(helpers([HEAD, 50])), { r0: 0, size: 14 }],
  ["head.51", moved(helpers([HEAD, 51])), { r0: EINVAL, size: 64 }],
  ["head.-216", moved(helpers([HEAD, -216])), { r0: 0, size: 280, ctx: [0, 280] }],
  ["head.-217", moved(helpers([HEAD, -217])), { r0: EINVAL, size: 64 }],
  ["head.there-and-back", moved(helpers([HEAD, 8], [HEAD, -8])), { r0: 0, size: 64, bytes: packet(64) }],
  ["tail.8", moved(helpers([TAIL, 8])), { r0: 0, size: 72, bytes: Uint8Array.of(...packet(64), ...zeros(8)) }],
  ["tail.-50", moved(helpers([TAIL, -50])), { r0: 0, size: 14, ctx: [0, 14] }],
  ["tail.-51", moved(helpers([TAIL, -51])), { r0: EINVAL, size: 64 }],
  ["tail.3456", moved(helpers([TAIL, 3456])), { r0: 0, size: 3520 }],
  ["tail.3457", moved(helpers([TAIL, 3457])), { r0: EINVAL, size: 64 }],
  [
    "tail.there-and-back",
    moved(helpers([TAIL, -8], [TAIL, 8])),
    { r0: 0, size: 64, bytes: Uint8Array.of(...packet(56), ...zeros(8)) },
  ],
  ["tail.repeated", moved(helpers([TAIL, -8]), { attr: { repeat: 3 } }), { r0: 0, size: 40, bytes: packet(40) }],
  ["meta.-4", moved(helpers([META, -4])), { r0: 0, size: 68, ctx: [4, 68] }],
  ["meta.-3", moved(helpers([META, -3])), { r0: EACCES, size: 64 }],
  ["meta.4", moved(helpers([META, 4])), { r0: EINVAL, size: 64 }],
  ["meta.-216", moved(helpers([META, -216])), { r0: 0, size: 280, ctx: [216, 280] }],
  ["meta.-220", moved(helpers([META, -220])), { r0: EINVAL }],
  ["meta.given-8-then-4", moved(helpers([META, 4]), { ctx: ctx({ data: 8 }) }), { r0: 0, size: 60, ctx: [4, 60] }],
  ["meta.given-8-then-8", moved(helpers([META, 8]), { ctx: ctx({ data: 8 }) }), { r0: 0, size: 56, ctx: [0, 56] }],
  ["meta.given-8-then-12", moved(helpers([META, 12]), { ctx: ctx({ data: 8 }) }), { r0: EINVAL, ctx: [8, 64] }],
  ["meta.given-8-then--208", moved(helpers([META, -208]), { ctx: ctx({ data: 8 }) }), { r0: 0, ctx: [216, 272] }],
  ["meta.given-8-then--212", moved(helpers([META, -212]), { ctx: ctx({ data: 8 }) }), { r0: EINVAL }],
  [
    "meta.moves-with-the-head",
    moved(helpers([HEAD, -4]), { ctx: ctx({ data: 8 }) }),
    {
      r0: 0,
      size: 68,
      ctx: [8, 68],
      bytes: Uint8Array.of(...packet(8), ...packet(8).subarray(4), ...packet(64).subarray(8)),
    },
  ],
  // Onto itself, at whole words and not.
  ...[
    [8, 4],
    [16, -8],
    [16, 8],
    [24, 16],
    [8, -4],
    [4, 1],
    [4, -3],
    [12, 5],
  ].map(
    ([meta, by]) =>
      [
        `meta.${meta}-goes-${by}`,
        moved(helpers([HEAD, by!]), { ctx: ctx({ data: meta! }) }),
        {
          r0: 0,
          size: 64 - by!,
          bytes: Uint8Array.of(
            ...packet(meta!),
            ...(by! < 0 ? packet(meta!).subarray(by!) : []),
            ...packet(64).subarray(meta! + Math.max(by!, 0)),
          ),
        },
      ] as const,
  ),
  ["meta.stops-the-head", moved(helpers([HEAD, -212]), { ctx: ctx({ data: 8 }) }), { r0: EINVAL, size: 64 }],
  [
    "frags.tail.8",
    moved(helpers([TAIL, 8]), jumbo),
    { r0: 0, size: 5008, bytes: Uint8Array.of(...packet(5000), ...zeros(8)) },
  ],
  ["frags.tail.2616", moved(helpers([TAIL, 2616]), jumbo), { r0: 0, size: 7616 }],
  ["frags.tail.2617", moved(helpers([TAIL, 2617]), jumbo), { r0: EINVAL, size: 5000 }],
  [
    "frags.tail.-1000",
    moved(helpers([TAIL, -1000]), jumbo),
    { r0: 0, size: 4000, ctx: [0, 3520], bytes: packet(4000) },
  ],
  ["frags.tail.-1480", moved(helpers([TAIL, -1480]), jumbo), { r0: 0, size: 3520, ctx: [0, 3520] }],
  [
    "frags.tail.-1500",
    moved(helpers([TAIL, -1500]), jumbo),
    { r0: 0, size: 3500, ctx: [0, 3500], bytes: packet(3500) },
  ],
  ["frags.tail.-4986", moved(helpers([TAIL, -4986]), jumbo), { r0: 0, size: 14 }],
  ["frags.tail.-4987", moved(helpers([TAIL, -4987]), jumbo), { r0: EINVAL, size: 5000 }],
  ["frags.tail.gone-then-8", moved(helpers([TAIL, -1480], [TAIL, 8]), jumbo), { r0: EINVAL, size: 3520 }],
  ["frags.head.3506", moved(helpers([HEAD, 3506]), jumbo), { r0: 0, size: 1494, ctx: [0, 14] }],
  ["frags.head.3507", moved(helpers([HEAD, 3507]), jumbo), { r0: EINVAL, size: 5000 }],
  ["frags.meta.-8", moved(helpers([META, -8]), jumbo), { r0: 0, size: 5008, ctx: [8, 3528] }],
  [
    "frags.full-page",
    moved(helpers([TAIL, 1]), { data: packet(7616), ctx: ctx({ data_end: 7616 }) }),
    { r0: EINVAL, size: 7616 },
  ],
  ["length", moved(buffLen), { r0: 64 }],
  ["length.frags", moved(buffLen, jumbo), { r0: 5000 }],
  ["length.without-meta", moved(buffLen, { ctx: ctx({ data: 8 }) }), { r0: 56 }],
  ...(
    [
      [0, 8, 0],
      [56, 8, 0],
      [57, 8, -u.EINVAL],
      [64, 1, -u.EINVAL],
      [0, 64, 0],
      [1, 64, -u.EINVAL],
      [65535, 8, -u.EINVAL],
      [65536, 8, -u.EFAULT],
      [-1, 8, -u.EFAULT],
    ] as const
  ).flatMap(([offset, length, errno]): (readonly [string, Run, Answer])[] => {
    const word = new DataView(packet(72).buffer).getInt32(Math.max(0, offset) % 64, true);
    const loaded = errno === 0 ? word : errno;
    const stored = errno === 0 ? -1 : errno;
    const after = packet(64);
    if (errno === 0) after.fill(255, offset, offset + length);
    return [
      [`load.${offset}.${length}`, moved(bytes(LOAD, offset, length)), { r0: loaded, bytes: packet(64) }],
      [`store.${offset}.${length}`, moved(bytes(STORE, offset, length)), { r0: stored, bytes: after }],
    ];
  }),
  ...[3512, 3516, 3520, 4992].flatMap((offset): (readonly [string, Run, Answer])[] => {
    const after = packet(5000);
    const word = new DataView(after.buffer).getInt32(offset, true);
    after.fill(255, offset, offset + 8);
    return [
      [`load.frags.${offset}`, moved(bytes(LOAD, offset, 8), jumbo), { r0: word }],
      [`store.frags.${offset}`, moved(bytes(STORE, offset, 8), jumbo), { r0: -1, bytes: after }],
    ];
  }),
  ["load.frags.4993", moved(bytes(LOAD, 4993, 8), jumbo), { r0: -u.EINVAL }],
  [
    "load.behind-meta",
    moved(bytes(LOAD, 0, 8), { ctx: ctx({ data: 8 }) }),
    { r0: new DataView(packet(64).buffer).getInt32(8, true) },
  ],
];

test.each(helperRows)("helpers: %s", (_id, given, answer) => check(given, { ret: 0, ...answer }));

test("raw attributes: sizes and what lies behind batch_size", () => {
  for (const [name, host] of places) {
    const { fd } = loadProgram(host, pass);
    const data = host.user.alloc(64);
    const ask = (size: number, set: (view: DataView) => void = () => {}): number => {
      const attr = new DataView(new ArrayBuffer(80));
      attr.setUint32(0, fd, true);
      attr.setUint32(8, 64, true);
      attr.setBigUint64(16, data.address, true);
      set(attr);
      return host.bpf(u.BPF_PROG_TEST_RUN, new Uint8Array(attr.buffer), size);
    };
    expect(
      [8, 16, 24, 40, 76, 80].map((size) => ask(size)),
      name,
    ).toEqual([-u.EINVAL, -u.EFAULT, 0, 0, 0, 0]);
    expect(
      ask(80, (attr) => attr.setUint32(76, 1, true)),
      name,
    ).toBe(-u.EINVAL);
    expect(
      ask(76, (attr) => attr.setUint32(76, 1, true)),
      name,
    ).toBe(0);
    data.free();
    host.close(fd);
    compared += 8;
  }
});
