/**
 * BPF_PROG_LOAD with CO-RE relocations (core_relos): the kernel applies them against its own BTF, and an embedded host
 * that was given the same BTF must make the same program of them, or refuse it with the same errno.
 */
import { existsSync, readFileSync } from "node:fs";
import { afterAll, expect, test } from "vitest";
import { isEnumKind, isFieldKind } from "../../src/btf/core_path.ts";
import { BAD_RELO, BtfBuilder, CoreRelocator, KERNEL_RULES, parseBtf } from "../../src/btf/index.ts";
import { createEmbeddedHost } from "../../src/host/embedded.ts";
import type { AttrObject, Host } from "../../src/host/host.ts";
import * as asm from "../../src/insn/index.ts";
import * as u from "../../src/uapi/index.ts";
import { kernelHost, notRun } from "../kernel.ts";

const VMLINUX = "/sys/kernel/btf/vmlinux";
const kernel = existsSync(VMLINUX) ? kernelHost() : undefined;
if (kernel === undefined) notRun("CO-RE relocations by the kernel", `there is no bpf(2) or no ${VMLINUX}`);
const vmlinux = kernel === undefined ? undefined : readFileSync(VMLINUX);
const options = { memory: 64 * 1024 * 1024, seed: 1 };
const embedded = createEmbeddedHost(vmlinux === undefined ? options : { ...options, kernelBtf: vmlinux });
afterAll(() => {
  expect(embedded.openFds()).toEqual([]);
  embedded.dispose();
  kernel?.dispose();
});

/** Types that a program was compiled with: of the kernel, some not as they are there. */
function programTypes(): { builder: BtfBuilder; ids: Map<string, number>; main: number } {
  const b = new BtfBuilder();
  const ids = new Map<string, number>();
  type Members = readonly (readonly [name: string, typeId: number, bitOffset: number, bitSize?: number])[];
  const struct = (label: string, name: string, size: number, members: Members): number => {
    const list = members.map(([each, typeId, bitOffset, bitSize = 0]) => ({ name: each, typeId, bitOffset, bitSize }));
    ids.set(label, b.struct(name, size, list));
    return ids.get(label)!;
  };
  const int = b.int("int", 4, { signed: true });
  const uint = b.int("unsigned int", 4);
  const ull = b.int("unsigned long long", 8);
  const u8 = b.int("unsigned char", 1);
  const char = b.int("char", 1, { signed: true });
  const pointer = b.ptr(0);
  const main = b.func("main", b.funcProto(int, []), "global");
  struct("plain", "task_struct", 16, [
    ["pid", int, 0],
    ["tgid", int, 32],
    ["mm", pointer, 64],
  ]);
  struct("flavor", "task_struct___old", 40, [
    ["comm", b.array(u8, int, 16), 0],
    ["nope", int, 128],
    ["pid", ull, 192],
    ["mm", int, 256],
  ]);
  struct("bitfields", "task_struct___bits", 4, [
    ["sched_reset_on_fork", uint, 0, 1],
    ["in_execve", uint, 1, 1],
  ]);
  const insn = struct("insn", "bpf_insn", 8, [
    ["code", u8, 0],
    ["dst_reg", u8, 8, 4],
    ["src_reg", u8, 12, 4],
    ["imm", int, 32],
  ]);
  struct("missing", "no_such_struct", 4, [["a", int, 0]]);
  ids.set("nameless", b.struct("", 4, [{ name: "a", typeId: int, bitOffset: 0 }]));
  ids.set("typedef missing", b.typedef("no_such_t", int));
  ids.set("typedef", b.typedef("pid_t", int));
  ids.set(
    "enum",
    b.enum("bpf_map_type", [
      { name: "BPF_MAP_TYPE_HASH", value: 7 },
      { name: "BPF_MAP_TYPE_NOPE", value: 8 },
      { name: "BPF_MAP_TYPE_ARRAY___x", value: 9 },
    ]),
  );
  ids.set("enum64", b.enum64("bpf_map_type", [{ name: "BPF_MAP_TYPE_HASH", value: 7n }]));
  ids.set("enum unsigned", b.enum("pid_type___x", [{ name: "PIDTYPE_PID", value: 0x8000_0000 }]));
  ids.set("enum missing", b.enum("only_mine", [{ name: "X", value: 1 }]));
  ids.set("int", int);
  ids.set("void", 0);
  ids.set("pointer", pointer);
  ids.set("const", b.const(ids.get("plain")!));
  const list = struct("match", "list_head", 16, [["next", b.ptr(b.fwd("list_head", "struct")), 0]]);
  struct("no match", "list_head___2", 16, [["next", int, 0]]);
  struct("match inside", "wait_queue_head", 24, [["head", list, 64]]);
  struct("match too deep", "task_struct", 400, [
    ["se", b.struct("sched_entity", 100, [{ name: "run_node", typeId: b.struct("rb_node", 24, []), bitOffset: 0 }]), 0],
  ]);
  const work = b.ptr(b.fwd("work_struct", "struct"));
  ids.set("function", b.typedef("work_func_t", b.ptr(b.funcProto(0, [{ name: "w", typeId: work }]))));
  ids.set("other function", b.typedef("work_func_t", b.ptr(b.funcProto(int, []))));
  struct("flexible", "bpf_prog", 64, [
    ["tag", b.array(u8, int, 8), 0],
    ["insnsi", b.array(insn, int, 0), 512],
  ]);
  struct("nested", "sk_buff", 100, [
    ["cb", b.array(char, int, 48), 80],
    ["sk", pointer, 640],
    ["vlan_all", uint, 768],
  ]);
  return { builder: b, ids, main };
}

/** Paths by what they are for; the last ones are malformed. */
const typePaths = ["0", "0:1"];
const enumPaths = ["0", "1", "2", "0:1"];
const fieldPaths = [
  "0",
  "0:0",
  "0:1",
  "0:2",
  "0:3",
  "1",
  "1:1",
  "0:9",
  "0:0:3",
  "0:0:20",
  "0:0:0:0",
  "0:1:0",
  "0:1:5",
  "0:1:5:3",
];
const malformed = ["", "x", "-1:0", "0:", "0::1", "0:01", "0:0x1"];
const accesses = [...new Set([...typePaths, ...enumPaths, ...fieldPaths, ...malformed])];

function pathsFor(label: string, kind: number): readonly string[] {
  const paths = isFieldKind(kind) ? fieldPaths : isEnumKind(kind) ? enumPaths : typePaths;
  return label === "plain" || label === "enum" ? [...paths, ...malformed] : paths;
}

/** The BTF with the access paths behind its own strings, and where they stand. */
function withTexts(btf: Uint8Array, texts: readonly string[]): { bytes: Uint8Array; offsets: Map<string, number> } {
  const view = new DataView(btf.buffer, btf.byteOffset, btf.length);
  const own = view.getUint32(20, true);
  const more = new TextEncoder().encode(`${texts.join("\0")}\0`);
  const bytes = new Uint8Array(btf.length + more.length);
  bytes.set(btf);
  bytes.set(more, btf.length);
  new DataView(bytes.buffer).setUint32(20, own + more.length, true);
  const offsets = new Map<string, number>();
  let at = own;
  for (const text of texts) {
    offsets.set(text, at);
    at += text.length + 1;
  }
  return { bytes, offsets };
}

const { builder, ids, main } = programTypes();
const { bytes: btf, offsets } = withTexts(builder.build(), accesses);

/** A record: words as far as they fit into `size` bytes, then zeros. */
function record(insnOffset: number, typeId: number, accessOffset: number, kind: number, size: number = 16): Uint8Array {
  const bytes = new Uint8Array(size);
  bytes.set(new Uint8Array(Uint32Array.of(insnOffset, typeId, accessOffset, kind).buffer).subarray(0, size));
  return bytes;
}

interface Answer {
  readonly ret: number;
  /** What the program became: the relocated instruction and the next one. */
  readonly insns: string;
  readonly poisoned: boolean;
}

class Side {
  readonly host: Host;
  readonly #btf: number;
  readonly #log: Uint8Array = new Uint8Array(1 << 14);

  constructor(host: Host) {
    this.host = host;
    this.#btf = host.bpf(u.BPF_BTF_LOAD, { btf, btf_size: btf.length });
    expect(this.#btf, `BTF_LOAD on the ${host.kind} host`).toBeGreaterThanOrEqual(0);
  }

  load(insns: readonly asm.Insn[], more: AttrObject): Answer {
    const func_info = record(0, main, 0, 0, 8);
    const log_buf = this.#log.fill(0);
    const fd = this.host.bpf(u.BPF_PROG_LOAD, {
      prog_type: u.BPF_PROG_TYPE_XDP,
      insns: asm.encodeInsns(insns),
      insn_cnt: insns.length,
      license: "GPL",
      prog_btf_fd: this.#btf,
      func_info,
      func_info_cnt: 1,
      func_info_rec_size: 8,
      log_level: 1,
      log_buf,
      log_size: log_buf.length,
      ...more,
    });
    if (fd < 0) {
      const log = new TextDecoder().decode(log_buf);
      return { ret: fd, insns: "", poisoned: log.includes(`#${BAD_RELO}`) };
    }
    const found = this.#xlated(fd);
    this.host.close(fd);
    return { ret: 0, insns: found, poisoned: false };
  }

  #xlated(fd: number): string {
    const code = this.host.user.alloc(256);
    const info = new Uint8Array(u.bpf_prog_info.size);
    const view = new DataView(info.buffer);
    const { xlated_prog_insns, xlated_prog_len } = u.bpf_prog_info.fields;
    view.setBigUint64(xlated_prog_insns.offset, code.address, true);
    view.setUint32(xlated_prog_len.offset, 256, true);
    expect(this.host.bpf(u.BPF_OBJ_GET_INFO_BY_FD, { bpf_fd: fd, info_len: info.length, info })).toBe(0);
    const text = Buffer.from(code.bytes.slice(0, 16)).toString("hex");
    code.free();
    return text;
  }

  close(): void {
    this.host.close(this.#btf);
  }
}

/** Calls `each` for every host; the answers must be the same. */
function compare(insns: readonly asm.Insn[], more: AttrObject, sides: readonly Side[]): Answer {
  const [first, ...others] = sides.map((side) => side.load(insns, more));
  for (const { ret, poisoned } of others)
    expect({ ret, poisoned }).toEqual({ ret: first!.ret, poisoned: first!.poisoned });
  return first!;
}

const sides = [new Side(embedded), ...(kernel === undefined ? [] : [new Side(kernel)])];
afterAll(() => {
  for (const side of sides) side.close();
});

test.runIf(kernel !== undefined)("every kind on every type and path becomes what the kernel makes of it", () => {
  const own = parseBtf(btf);
  // Only to know what the instruction must hold for the kernel to go on.
  const relocator = new CoreRelocator(own, parseBtf(vmlinux!), KERNEL_RULES);
  const seen = { same: 0, values: 0, poisoned: 0 };
  for (const [label, typeId] of ids) {
    for (let kind = 0; kind <= 13; kind++) {
      for (const access of pathsFor(label, kind)) {
        const result = relocator.resolve({ typeId, access, kind });
        const local = result.kind === "value" ? BigInt.asIntN(64, result.local) : 0n;
        const insns = [...asm.ldImm64(0, local), asm.exit()];
        const more = {
          core_relos: record(0, typeId, offsets.get(access)!, kind),
          core_relo_cnt: 1,
          core_relo_rec_size: 16,
        };
        const [mine, theirs] = sides.map((side) => side.load(insns, more));
        // Thousands of calls of expect would take seconds.
        if (JSON.stringify(mine) !== JSON.stringify(theirs)) {
          expect(mine, `${label} "${access}" ${u.bpfCoreReloKindNames[kind]}`).toEqual(theirs);
        }
        seen.same++;
        if (mine!.ret === 0) seen.values++;
        if (mine!.poisoned) seen.poisoned++;
      }
    }
  }
  console.log(`CO-RE: ${seen.same} relocations, ${seen.values} values, ${seen.poisoned} poisoned, as the kernel's`);
  expect(seen.values).toBeGreaterThan(300);
  expect(seen.poisoned).toBeGreaterThan(30);
});

const plain = ids.get("plain")!;
const pid = record(0, plain, offsets.get("0:0")!, u.BPF_CORE_FIELD_BYTE_OFFSET);
const one: AttrObject = { core_relos: pid, core_relo_cnt: 1, core_relo_rec_size: 16 };
const load0 = [asm.mov64Imm(0, 0), asm.exit()];
const flavor = ids.get("flavor")!;

test.runIf(kernel !== undefined).each<[string, readonly asm.Insn[], AttrObject, number | "poison"]>([
  ["an operand", load0, one, 0],
  ["another number than was expected", [asm.mov64Imm(0, 1), asm.exit()], one, -u.EINVAL],
  ["an operation with a register", [asm.mov64(0, 1), asm.exit()], one, -u.EINVAL],
  [
    "an exit",
    [asm.mov64Imm(0, 0), asm.exit()],
    { ...one, core_relos: record(8, plain, offsets.get("0:0")!, 0) },
    -u.EINVAL,
  ],
  ["beyond the end", load0, { ...one, core_relos: record(16, plain, offsets.get("0:0")!, 0) }, -u.EINVAL],
  ["inside an instruction", load0, { ...one, core_relos: record(4, plain, offsets.get("0:0")!, 0) }, -u.EINVAL],
  ["a type that is not there", load0, { ...one, core_relos: record(0, 9999, offsets.get("0:0")!, 0) }, -u.EINVAL],
  ["a path that is not there", load0, { ...one, core_relos: record(0, plain, 999999, 0) }, -u.EINVAL],
  ["records of 12 bytes", load0, { ...one, core_relo_rec_size: 12 }, -u.EINVAL],
  [
    "records of 18 bytes",
    load0,
    { ...one, core_relos: record(0, plain, offsets.get("0:0")!, 0, 18), core_relo_rec_size: 18 },
    -u.EINVAL,
  ],
  [
    "records of 256 bytes",
    load0,
    { ...one, core_relos: record(0, plain, offsets.get("0:0")!, 0, 256), core_relo_rec_size: 256 },
    -u.EINVAL,
  ],
  [
    "records of 20 bytes, zero at the end",
    load0,
    { ...one, core_relos: record(0, plain, offsets.get("0:0")!, 0, 20), core_relo_rec_size: 20 },
    0,
  ],
  ["no records, a bad size", load0, { core_relo_cnt: 0, core_relo_rec_size: 3 }, 0],
  ["records that are nowhere", load0, { ...one, core_relos: 0x1000 }, -u.EFAULT],
  ["2^27 records", load0, { ...one, core_relo_cnt: 1 << 27, core_relos: 0x1000 }, -u.EINVAL],
  ["no function or line information: nothing is applied", load0, { ...one, func_info_cnt: 0 }, 0],
  [
    "a number that makes the instruction invalid",
    [asm.mov64Imm(0, 1), asm.alu64Imm("lsh", 0, 24), asm.exit()],
    { ...one, core_relos: record(8, flavor, offsets.get("0:2")!, u.BPF_CORE_FIELD_BYTE_OFFSET) },
    -u.EINVAL,
  ],
  [
    "a field that is not there, where nothing comes",
    [asm.mov64Imm(0, 0), asm.jmpImm("jeq", 0, 0, 1), asm.mov64Imm(0, 16), asm.exit()],
    { ...one, core_relos: record(16, flavor, offsets.get("0:1")!, 0) },
    0,
  ],
  [
    "a field that is not there",
    [asm.mov64Imm(0, 16), asm.exit()],
    { ...one, core_relos: record(0, flavor, offsets.get("0:1")!, 0) },
    "poison",
  ],
])("%s", (_what, insns, more, expected) => {
  const answer = compare(insns, more, sides);
  expect(answer.poisoned ? "poison" : answer.ret).toBe(expected);
});

test("records with something at the end: the kernel says which size it knows", () => {
  for (const side of sides) {
    const core_relos = record(0, plain, offsets.get("0:0")!, 0, 24);
    core_relos[20] = 1;
    const attr: AttrObject = { core_relos, core_relo_cnt: 1, core_relo_rec_size: 24 };
    expect(side.load(load0, attr).ret).toBe(-u.E2BIG);
  }
});

test("without a BTF of its own the embedded host has no type of the kernel", () => {
  const bare = createEmbeddedHost({ memory: 16 * 1024 * 1024, seed: 1 });
  const side = new Side(bare);
  const exists = { ...one, core_relos: record(0, plain, offsets.get("0:0")!, u.BPF_CORE_FIELD_EXISTS) };
  expect(side.load([asm.mov64Imm(0, 1), asm.exit()], exists)).toMatchObject({ ret: 0, insns: /^b700000000000000/ });
  expect(side.load(load0, one)).toMatchObject({ ret: -u.EINVAL, poisoned: true });
  side.close();
  expect(bare.openFds()).toEqual([]);
  bare.dispose();
});
