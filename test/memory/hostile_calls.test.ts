/**
 * Every helper and kernel function of the tables, called by every kind of program that may call it, with arguments that no
 * verifier has seen: good ones, and numbers and pointers that a hostile program would try. Each call ends as a result or a
 * fault. The same programs run on two hosts that differ in their engine and in bytes that are not the programs': what
 * comes out is the same, and those bytes are as they were. In the end everything is given back.
 */
import { expect, test } from "vitest";
import { BtfBuilder } from "../../src/btf/index.ts";
import {
  FIELD_KPTR,
  FIELD_KPTR_PERCPU,
  FIELD_LIST_HEAD,
  FIELD_RB_ROOT,
  FIELD_RES_SPIN_LOCK,
  FIELD_SPIN_LOCK,
  FIELD_TIMER,
  FIELD_WORKQUEUE,
} from "../../src/btf/special_fields.ts";
import { type ContextFamily, contextOf } from "../../src/contexts/table.ts";
import { kfuncTable } from "../../src/helpers/kfunc_table.ts";
import { baseHelpers, helperTable } from "../../src/helpers/table.ts";
import type { Callable, HelperArg, Kfunc } from "../../src/helpers/types.ts";
import type { EmbeddedHost } from "../../src/host/embedded.ts";
import * as asm from "../../src/insn/index.ts";
import type { Engine } from "../../src/kern/compiled.ts";
import { OBJECT_DYNPTR, OBJECT_NUM } from "../../src/kern/stack_objects.ts";
import * as u from "../../src/uapi/index.ts";
import { createTestHost } from "../compiled.ts";
import { randomOf } from "../random.ts";
import { SEED } from "../seed.ts";

const { R0, R1, R2, R3, R4, R5, R6, R7, R8, R9, R10 } = asm;
const ARGS: readonly asm.Reg[] = [R1, R2, R3, R4, R5];
/** Of each call of each kind of program; raise it to look longer. */
const ROUNDS = Number(process.env.BPFMAPS_HOSTILE_ROUNDS ?? 1);

const WORD = 8;
/** struct item { u64 n; bpf_list_node l; bpf_rb_node r; bpf_refcount refs; item2 __kptr *p; bpf_spin_lock; head; root }. */
const ITEM = { list: 8, tree: 32, refs: 64, size: 72 } as const;
const VALUE = { timer: 0, work: 16, lock: 32, kptr: 40, percpu: 48, list: 56, tree: 72, plain: 88, size: 128 } as const;
const FIELDS = [VALUE.timer, VALUE.work, VALUE.lock, VALUE.kptr, VALUE.percpu, VALUE.list, VALUE.tree, VALUE.plain];
const RES_VALUE = 16;
/** Where in a value the fields of a kind lie. */
const PLACES: Readonly<Record<number, number>> = {
  [FIELD_TIMER]: VALUE.timer,
  [FIELD_WORKQUEUE]: VALUE.work,
  [FIELD_SPIN_LOCK]: VALUE.lock,
  [FIELD_KPTR]: VALUE.kptr,
  [FIELD_KPTR | FIELD_KPTR_PERCPU]: VALUE.kptr,
  [FIELD_LIST_HEAD]: VALUE.list,
  [FIELD_RB_ROOT]: VALUE.tree,
};

/** All that lies on one host. */
interface World {
  readonly host: EmbeddedHost;
  readonly btf: number;
  readonly types: { readonly item: number; readonly counter: number; readonly func: number };
  /** The maps of the programs, by the place in this list. */
  readonly maps: readonly number[];
  readonly results: number;
  /** Bytes that are nobody's: user memory, and a map that no program has. */
  readonly secrets: readonly Uint8Array[];
  readonly foreign: number;
}

function makeBtf(host: EmbeddedHost): {
  btf: number;
  ids: Record<"u32" | "value" | "res" | "item" | "counter" | "func", number>;
} {
  const b = new BtfBuilder();
  const u32 = b.int("unsigned int", 4);
  const u64 = b.int("unsigned long long", 8);
  const words = (name: string, n: number): number =>
    b.struct(
      name,
      n * WORD,
      Array.from({ length: n }, (_, i) => ({ name: `w${i}`, typeId: u64, bitOffset: i * 64 })),
    );
  const half = (name: string): number => b.struct(name, 4, [{ name: "val", typeId: u32, bitOffset: 0 }]);
  const [lock, resLock, refs] = [half("bpf_spin_lock"), half("bpf_res_spin_lock"), half("bpf_refcount")];
  const [timer, work] = [words("bpf_timer", 2), words("bpf_wq", 2)];
  const [head, node] = [words("bpf_list_head", 2), words("bpf_list_node", 3)];
  const [root, leaf] = [words("bpf_rb_root", 2), words("bpf_rb_node", 4)];
  const counter = b.struct("own_counter", WORD, [{ name: "n", typeId: u64, bitOffset: 0 }]);
  const at = (name: string, typeId: number, offset: number) => ({ name, typeId, bitOffset: offset * 8 });
  const item = b.struct("own_item", ITEM.size, [
    at("n", u64, 0),
    at("l", node, ITEM.list),
    at("r", leaf, ITEM.tree),
    at("refs", refs, ITEM.refs),
  ]);
  const value = b.struct("value", VALUE.size, [
    at("timer", timer, VALUE.timer),
    at("work", work, VALUE.work),
    at("lock", lock, VALUE.lock),
    at("kptr", b.ptr(b.typeTag("kptr", item)), VALUE.kptr),
    at("percpu", b.ptr(b.typeTag("percpu_kptr", counter)), VALUE.percpu),
    at("list", head, VALUE.list),
    at("tree", root, VALUE.tree),
    at("plain", u64, VALUE.plain),
  ]);
  b.declTag("contains:own_item:l", value, 5);
  b.declTag("contains:own_item:r", value, 6);
  const res = b.struct("res_value", RES_VALUE, [at("lock", resLock, 0), at("n", u64, WORD)]);
  const ctx = b.ptr(b.struct("xdp_md", 24, []));
  const func = b.func("test", b.funcProto(u32, [{ name: "ctx", typeId: ctx }]), "global");
  const bytes = b.build();
  const btf = host.bpf(u.BPF_BTF_LOAD, { btf: bytes, btf_size: bytes.length });
  if (btf < 0) throw new Error(`BTF_LOAD ${btf}`);
  return { btf, ids: { u32, value, res, item, counter, func } };
}

function makeWorld(shared: boolean, secret: number, engine: Engine): World {
  const host = createTestHost({
    engine,
    memory: 24 << 20,
    cpus: 2,
    seed: 7,
    clock: "virtual",
    shared,
    runBudget: 3000,
  });
  const { btf, ids } = makeBtf(host);
  const map = (attr: Record<string, number | bigint>): number => {
    const fd = host.bpf(u.BPF_MAP_CREATE, { key_size: 4, value_size: 8, max_entries: 4, ...attr });
    if (fd < 0) throw new Error(`MAP_CREATE ${JSON.stringify(attr, (_, v) => String(v))}: ${fd}`);
    return fd;
  };
  const keyless = { key_size: 0 };
  const fields = { value_size: VALUE.size, btf_fd: btf, btf_key_type_id: ids.u32, btf_value_type_id: ids.value };
  const inner = map({ map_type: u.BPF_MAP_TYPE_ARRAY });
  const maps = [
    map({ map_type: u.BPF_MAP_TYPE_ARRAY, ...fields, max_entries: 1 }),
    map({ map_type: u.BPF_MAP_TYPE_HASH, ...fields }),
    map({
      map_type: u.BPF_MAP_TYPE_ARRAY,
      ...fields,
      max_entries: 1,
      value_size: RES_VALUE,
      btf_value_type_id: ids.res,
    }),
    map({ map_type: u.BPF_MAP_TYPE_ARRAY, max_entries: 1, map_flags: u.BPF_F_RDONLY_PROG }),
    map({ map_type: u.BPF_MAP_TYPE_ARRAY, max_entries: 1, map_flags: u.BPF_F_WRONLY_PROG }),
    map({ map_type: u.BPF_MAP_TYPE_HASH, key_size: 5, value_size: 13 }),
    map({ map_type: u.BPF_MAP_TYPE_LRU_HASH }),
    map({ map_type: u.BPF_MAP_TYPE_PERCPU_ARRAY, value_size: 12 }),
    map({ map_type: u.BPF_MAP_TYPE_PERCPU_HASH }),
    map({ map_type: u.BPF_MAP_TYPE_LPM_TRIE, key_size: 8, map_flags: u.BPF_F_NO_PREALLOC }),
    map({ map_type: u.BPF_MAP_TYPE_RINGBUF, ...keyless, value_size: 0, max_entries: 4096 }),
    map({ map_type: u.BPF_MAP_TYPE_USER_RINGBUF, ...keyless, value_size: 0, max_entries: 4096 }),
    map({ map_type: u.BPF_MAP_TYPE_QUEUE, ...keyless }),
    map({ map_type: u.BPF_MAP_TYPE_STACK, ...keyless }),
    map({ map_type: u.BPF_MAP_TYPE_BLOOM_FILTER, ...keyless }),
    map({
      map_type: u.BPF_MAP_TYPE_ARENA,
      ...keyless,
      value_size: 0,
      map_flags: u.BPF_F_MMAPABLE,
      map_extra: 0x1234_0001_0000n,
    }),
    map({ map_type: u.BPF_MAP_TYPE_DEVMAP, value_size: 4 }),
    map({ map_type: u.BPF_MAP_TYPE_HASH_OF_MAPS, value_size: 4, inner_map_fd: inner }),
    map({ map_type: u.BPF_MAP_TYPE_PROG_ARRAY, value_size: 4 }),
  ];
  const key = new Uint8Array(4);
  host.bpf(u.BPF_MAP_UPDATE_ELEM, { map_fd: maps[17]!, key, value: new Uint8Array(Uint32Array.of(inner).buffer) });
  host.close(inner);
  const results = map({ map_type: u.BPF_MAP_TYPE_ARRAY, value_size: 256, max_entries: 1 });
  const foreign = map({
    map_type: u.BPF_MAP_TYPE_ARRAY,
    value_size: 4096,
    max_entries: 1,
    map_flags: u.BPF_F_MMAPABLE,
  });
  const view = host.mmap(foreign, { offset: 0, length: 4096, prot: u.PROT_READ | u.PROT_WRITE });
  if (typeof view === "number") throw new Error(`mmap ${view}`);
  const secrets = [view, host.user.alloc(5000).bytes, host.user.alloc(64).bytes];
  for (const bytes of secrets) bytes.fill(secret);
  return { host, btf, types: ids, maps, results, secrets, foreign };
}

const ARRAY = 0;
const RES_ARRAY = 2;
const RING = 10;
const USER_RING = 11;
/** Of these a program can be given the address of the first value. */
/** Maps that go with a helper or kernel function, where not all do. */
const goesWith: readonly (readonly [RegExp, readonly number[]])[] = [
  [/user_ringbuf/, [USER_RING]],
  [/ringbuf/, [RING]],
  [/push_elem|pop_elem|peek_elem/, [12, 13, 14]],
  [/percpu_elem/, [7, 8]],
  [/redirect_map/, [16]],
  [/tail_call/, [18]],
  [/for_each/, [0, 1, 5, 6, 7, 8]],
  [/timer|wq/, [ARRAY, ARRAY, 1]],
  [/arena/, [15]],
  [/_elem/, [0, 1, 3, 4, 5, 6, 7, 8, 9]],
];
const WITH_VALUE = [ARRAY, RES_ARRAY, 3, 4] as const;

const NUMBERS: readonly bigint[] = [
  0n,
  1n,
  2n,
  3n,
  4n,
  5n,
  7n,
  8n,
  16n,
  64n,
  128n,
  511n,
  512n,
  4096n,
  65_536n,
  0x7fff_ffffn,
  0x8000_0000n,
  0xffff_fff0n,
  0xffff_ffffn,
  0x1_0000_0000n,
  0x1_0000_0008n,
  0x7fff_ffff_ffff_ffffn,
  0x8000_0000_0000_0000n,
  -1n,
  -4n,
  -8n,
  -22n,
  -4096n,
  0x0bf0_0000_0000_0000n,
  0x0ae8_0000_0001_0000n,
  0xffff_ffff_0000_0001n,
  0xffff_8880_0000_1000n,
  0x1234_0001_0000n,
];

type Random = (n: number) => number;

/** Stack of the program: what lies below r10. */
const DYNPTR_AT = -32;
const DYNPTR_TWO = -56;
const NUM_AT = -16;
const BITS_AT = -80;
const KEY_AT = -88;
const BUFFER_AT = -256;

class Writer {
  readonly #world: World;
  readonly #random: Random;
  readonly #ids: (name: string) => number;
  readonly #labels: readonly string[];

  constructor(world: World, random: Random, ids: (name: string) => number, labels: readonly string[]) {
    this.#world = world;
    this.#random = random;
    this.#ids = ids;
    this.#labels = labels;
  }

  #pick<T>(list: readonly T[]): T {
    return list[this.#random(list.length)]!;
  }

  #stack(to: asm.Reg, off: number): asm.AsmItem {
    return [asm.mov64(to, R10), asm.alu64Imm("add", to, off)];
  }

  #value(to: asm.Reg, map: number, off: number): asm.AsmItem {
    return asm.ldMapValue(to, this.#world.maps[map]!, off);
  }

  kfunc(name: string): asm.AsmItem {
    return asm.callKfunc(this.#ids(name));
  }

  /** One that goes with the function, or one that the loader does not recognize there. */
  #map(to: asm.Reg, name: string): asm.AsmItem {
    const right = goesWith.find(([pattern]) => pattern.test(name))?.[1];
    const { maps } = this.#world;
    if (right !== undefined && this.#random(8) !== 0) return asm.ldMapFd(to, maps[this.#pick(right)]!);
    return [asm.ldMapFd(to, this.#pick(maps)), asm.alu64Imm("xor", to, 1), asm.alu64Imm("xor", to, 1)];
  }

  /** Whatever a register may hold. */
  anything(to: asm.Reg): asm.AsmItem {
    switch (this.#random(12)) {
      case 0:
        return this.#stack(to, -8 * this.#random(40));
      case 1:
        return this.#stack(to, this.#pick([-512, -513, -504, 0, 8, -1, -4, -1024]));
      case 2:
        return this.#value(to, ARRAY, this.#pick(FIELDS));
      case 3:
        return this.#value(to, this.#pick(WITH_VALUE), 0);
      case 4:
        return [asm.mov64(to, R6), asm.alu64Imm("add", to, this.#pick([0, 0, 0, 8, -8, 192, 256]))];
      case 5:
        return asm.ldMapFd(to, this.#pick(this.#world.maps));
      case 6:
        return asm.mov64(to, this.#pick([R6, R7, R8, R9, R0]));
      case 7:
        return [asm.ldx("u64", to, R9, 8 * this.#random(8))];
      case 8:
        return asm.ldFunc(to, this.#pick(this.#labels));
      case 9:
        // Anywhere in memory.
        return asm.ldImm64(to, BigInt(this.#random(24 << 20)));
      case 10:
        return [asm.mov64(to, R7), asm.alu64Imm("add", to, this.#pick([0, 8, 32, 64, -8, 72, 1]))];
      default:
        return asm.ldImm64(to, this.#pick(NUMBERS));
    }
  }

  #field(to: asm.Reg, kind: number): asm.AsmItem {
    if (kind === FIELD_RES_SPIN_LOCK) return this.#value(to, RES_ARRAY, 0);
    return this.#value(to, ARRAY, this.#random(8) === 0 ? this.#pick(FIELDS) : PLACES[kind]!);
  }

  /** An argument as the prototype has it, or one that is not. */
  argument(to: asm.Reg, arg: HelperArg, name: string): asm.AsmItem {
    if (this.#random(8) === 0) return this.anything(to);
    if (typeof arg !== "string") {
      if ("fixed" in arg) return this.#stack(to, BUFFER_AT);
      if ("stack" in arg) return this.#stack(to, this.#pick([DYNPTR_AT, DYNPTR_TWO, NUM_AT, BITS_AT]));
      if ("object" in arg) {
        if (arg.object === OBJECT_DYNPTR) return this.#stack(to, this.#pick([DYNPTR_AT, DYNPTR_AT, DYNPTR_TWO]));
        return this.#stack(to, arg.object === OBJECT_NUM ? NUM_AT : BITS_AT);
      }
      return this.#field(to, arg.field);
    }
    switch (arg) {
      case "ctx":
        return asm.mov64(to, R6);
      case "map":
        return this.#map(to, name);
      case "key":
        return this.#stack(to, KEY_AT);
      case "value":
      case "valueOut":
      case "mem":
      case "memOut":
      case "memOrNull":
      case "memOutOrNull":
      case "buffer":
      case "cstring":
        return this.#random(3) === 0
          ? this.#value(to, this.#pick(WITH_VALUE), this.#pick([0, 0, 4]))
          : this.#random(8) === 0
            ? asm.mov64Imm(to, 0)
            : this.#stack(to, BUFFER_AT);
      case "size":
      case "sizeOrZero":
        return asm.mov64Imm(to, this.#pick([0, 1, 2, 4, 8, 12, 16, 28, 36, 64, 80, 128]));
      case "record":
      case "socket":
      case "lookedUp":
        return asm.mov64(to, R8);
      case "callback":
        return asm.ldFunc(to, this.#pick(this.#labels));
      case "u32":
        return asm.mov64Imm(to, this.#pick([0, 0, 1, 2, 3, 4, 8, 14, 20, 64, 100, -1, -14, 4096]));
      default:
        switch (this.#random(5)) {
          case 0:
          case 1:
            return asm.mov64Imm(to, this.#pick([0, 0, 0, 1, 2, 8, 16]));
          case 2:
            return asm.mov64Imm(to, this.#pick([this.#world.types.item, this.#world.types.counter]));
          case 3:
            return [asm.mov64(to, R7), asm.alu64Imm("add", to, this.#pick([0, 0, ITEM.list, ITEM.tree]))];
          default:
            return this.anything(to);
        }
    }
  }

  /** The call, and what becomes of its result. */
  call(callable: Callable, id: number): asm.AsmItem {
    const args = callable.args.map((arg, i) => this.argument(ARGS[i]!, arg, callable.name));
    const insn = id < 0 ? this.kfunc(callable.name) : asm.call(id);
    const n = this.#random(8);
    const kept: readonly asm.AsmItem[] = [
      [],
      [asm.mov64(R7, R0)],
      [asm.mov64(R7, R0)],
      [asm.mov64(R8, R0)],
      [asm.stx("u64", R9, R0, 8 * this.#random(8))],
      [asm.jmpImm("jeq", R0, 0, 1), asm.ldx("u8", R1, R0, 0)],
      [asm.jmpImm("jeq", R0, 0, 1), asm.st("u64", R0, 0, 0x1234_5678)],
      [asm.stx("u64", R9, R0, 8 * this.#random(8))],
    ];
    return [...args, insn, kept[n]!];
  }

  /** What lies on the stack and in registers when calls begin; every piece may be missing. */
  setUp(kfuncs: boolean): asm.AsmItem {
    const { types } = this.#world;
    const pieces: asm.AsmItem[] = [
      [
        this.#value(R1, ARRAY, VALUE.plain),
        asm.mov64Imm(R2, 40),
        asm.mov64Imm(R3, 0),
        this.#stack(R4, DYNPTR_AT),
        asm.call(u.BPF_FUNC_dynptr_from_mem),
      ],
      [
        asm.ldMapFd(R1, this.#world.maps[RING]!),
        asm.mov64Imm(R2, this.#pick([1, 8, 13, 100])),
        asm.mov64Imm(R3, 0),
        this.#stack(R4, this.#pick([DYNPTR_AT, DYNPTR_TWO])),
        asm.call(u.BPF_FUNC_ringbuf_reserve_dynptr),
      ],
      [
        asm.ldMapFd(R1, this.#world.maps[RING]!),
        asm.mov64Imm(R2, this.#pick([1, 8, 13, 100])),
        asm.mov64Imm(R3, 0),
        asm.call(u.BPF_FUNC_ringbuf_reserve),
        asm.mov64(R8, R0),
      ],
    ];
    const more: asm.AsmItem[] = [
      [this.#stack(R1, NUM_AT), asm.mov64Imm(R2, 0), asm.mov64Imm(R3, 9), this.kfunc("bpf_iter_num_new")],
      [
        this.#stack(R1, BITS_AT),
        this.#value(R2, ARRAY, VALUE.plain),
        asm.mov64Imm(R3, this.#pick([1, 2, 3])),
        this.kfunc("bpf_iter_bits_new"),
      ],
      [asm.mov64Imm(R1, types.item), asm.mov64Imm(R2, 0), this.kfunc("bpf_obj_new_impl"), asm.mov64(R7, R0)],
      [asm.mov64Imm(R1, types.item), asm.mov64Imm(R2, 0), this.kfunc("bpf_obj_new_impl"), asm.mov64(R7, R0)],
      [asm.mov64Imm(R1, types.counter), asm.mov64Imm(R2, 0), this.kfunc("bpf_percpu_obj_new_impl"), asm.mov64(R7, R0)],
    ];
    const all = kfuncs ? [...pieces, ...more] : pieces;
    return all.filter(() => this.#random(2) === 0);
  }
}

interface Case {
  readonly type: number;
  readonly attachType: number;
  readonly flags: number;
  readonly calls: readonly (readonly [Callable, number])[];
}

/** Kinds of programs whose helpers for all are tried as well: one with a packet, one with an skb, one that may sleep. */
const WHOLE: readonly number[] = [u.BPF_PROG_TYPE_XDP, u.BPF_PROG_TYPE_SCHED_CLS, u.BPF_PROG_TYPE_SYSCALL];
/** These are attached to something when they are loaded. */
const ATTACHED: readonly number[] = [u.BPF_PROG_TYPE_TRACING, u.BPF_PROG_TYPE_LSM, u.BPF_PROG_TYPE_STRUCT_OPS];

function callsOf(type: number, family: ContextFamily, attachType: number): Case["calls"] {
  const own = family.helpers.filter((id) => family.onlyFor?.[id]?.includes(attachType) ?? true);
  const numbers = new Set(WHOLE.includes(type) ? [...baseHelpers, ...own] : own);
  const sleeps = family.sleepable === "only";
  const helpers = [...numbers].flatMap((id) => {
    const helper = helperTable[id];
    return helper === undefined || (helper.mightSleep === true && !sleeps) ? [] : [[helper, id] as const];
  });
  const may = (kfunc: Kfunc): boolean =>
    (kfunc.sleepable !== true || sleeps) && (kfunc.programs === undefined || kfunc.programs.includes(type));
  return [...helpers, ...(WHOLE.includes(type) ? kfuncTable.filter(may).map((kfunc) => [kfunc, -1] as const) : [])];
}

function allCases(): Case[] {
  const cases: Case[] = [];
  for (let type = 1; type < 64; type++) {
    const family = contextOf(type);
    if (family === undefined || ATTACHED.includes(type)) continue;
    const attachType = family.attachTypes?.[0] ?? 0;
    const flags = family.sleepable === "only" ? u.BPF_F_SLEEPABLE : 0;
    cases.push({ type, attachType, flags, calls: callsOf(type, family, attachType) });
  }
  return cases;
}

const LABELS = ["first", "second"];

/** The program as it is on this world, whose fds and ids are the other's too. */
function load(
  { host, btf, types }: World,
  insns: readonly asm.Insn[],
  starts: readonly number[],
  one: Case,
): number | string {
  const log = new Uint8Array(1000);
  const fd = host.bpf(u.BPF_PROG_LOAD, {
    log_level: 1,
    log_buf: log,
    log_size: log.length,
    prog_type: one.type,
    expected_attach_type: one.attachType,
    prog_flags: one.flags,
    insn_cnt: insns.length,
    insns: asm.encodeInsns(insns),
    license: "GPL",
    prog_btf_fd: btf,
    func_info: new Uint8Array(Uint32Array.from(starts.flatMap((start) => [start, types.func])).buffer),
    func_info_rec_size: 8,
    func_info_cnt: starts.length,
  });
  return fd < 0 ? `${fd}: ${new TextDecoder().decode(log.subarray(0, log.indexOf(0)))}` : fd;
}

function slots(items: readonly asm.AsmItem[]): number {
  return items.reduce((sum: number, item) => sum + (Array.isArray(item) ? slots(item) : "at" in item ? 0 : 1), 0);
}

function program(
  world: World,
  random: Random,
  one: Case,
  target: readonly [Callable, number],
): {
  insns: asm.Insn[];
  starts: number[];
} {
  const known = world.host.kernelBtf().btf;
  const writer = new Writer(world, random, (name) => known.find(name, "func")!, LABELS);
  const kfuncs = WHOLE.includes(one.type);
  const some = (): asm.AsmItem => writer.call(...one.calls[random(one.calls.length)]!);
  // A tail call is for programs whose functions all return an int; there are enough others.
  const inFunction = (): asm.AsmItem => {
    const found = one.calls[random(one.calls.length)]!;
    return found[1] === u.BPF_FUNC_tail_call ? [] : writer.call(...found);
  };
  const body: asm.AsmItem[] = [
    asm.mov64(R6, R1),
    asm.mov64Imm(R7, 0),
    asm.mov64Imm(R8, 0),
    asm.ldMapValue(R9, world.results, 0),
    LABELS.map((name) => asm.ldFunc(R5, name)),
    writer.setUp(kfuncs),
    random(3) === 0 ? some() : [],
    writer.call(...target),
    random(2) === 0 ? writer.call(...target) : [],
    random(2) === 0 ? some() : [],
    random(3) === 0 ? some() : [],
    asm.stx("u64", R9, R0, 64),
    asm.mov64Imm(R0, random(3)),
    asm.exit(),
  ];
  const saved = (): asm.AsmItem => [
    asm.mov64(R6, R1),
    asm.mov64(R7, R2),
    asm.mov64(R8, R3),
    asm.ldMapValue(R9, world.results, 128),
    ...ARGS.map((r, i) => asm.stx("u64", R9, r, 64 + i * 8)),
  ];
  const functions = LABELS.map((name) => [
    asm.label(name),
    saved(),
    random(3) === 0 ? inFunction() : [],
    random(3) === 0 ? inFunction() : [],
    asm.mov64Imm(R0, random(4) === 0 ? 1 : 0),
    asm.exit(),
  ]);
  const insns = asm.assemble([...body, ...functions]);
  const behind = functions.map((_, i) => slots([...body, ...functions.slice(0, i)]));
  return { insns, starts: [0, ...behind] };
}

function outcome(world: World, prog: number, one: Case): unknown {
  const { host } = world;
  const family = contextOf(one.type)!;
  const data = new Uint8Array(64).fill(0x45);
  data[12] = 8;
  data[13] = 0;
  if (family.pointers !== undefined || family.kernelPointers === true) {
    const memory = [{ address: 0xffff_8880_0000_1000n, bytes: new Uint8Array(40).fill(65), writable: true }];
    const given = family.pointers?.data === undefined ? {} : { data };
    const ran = host.runProg(prog, { memory, ...given });
    return typeof ran === "number" ? ran : { ...ran, duration: 0 };
  }
  const out = new Uint8Array(16_384);
  const attr = { prog_fd: prog, data_in: data, data_size_in: 64, data_out: out, data_size_out: out.length, retval: 0 };
  const ret = host.bpf(u.BPF_PROG_TEST_RUN, attr);
  return { ret, retval: attr.retval, out: ret === 0 ? hex(out.subarray(0, attr.data_size_out)) : undefined };
}

/** What the run left: results, the first values, and what it said. */
function leftBy({ host, maps, results }: World, prog: number): { readonly said: string } & Record<string, unknown> {
  const text = new Uint8Array(2048);
  host.bpf(u.BPF_PROG_STREAM_READ_BY_FD, {
    prog_fd: prog,
    stream_id: u.BPF_STDERR,
    stream_buf: text,
    stream_buf_len: text.length,
  });
  const value = new Uint8Array(256);
  host.bpf(u.BPF_MAP_LOOKUP_ELEM, { map_fd: results, key: new Uint8Array(4), value });
  const first = new Uint8Array(VALUE.size);
  host.bpf(u.BPF_MAP_LOOKUP_ELEM, { map_fd: maps[ARRAY]!, key: new Uint8Array(4), value: first });
  const said = new TextDecoder().decode(text.subarray(0, text.indexOf(0)));
  return { said, value: hex(value), first: hex(first), memory: host.memory().used };
}

/** Whether all bytes are this one: then they are what they are one further on. */
function isFilled(bytes: Uint8Array, byte: number): boolean {
  return bytes[0] === byte && Buffer.compare(bytes.subarray(1), bytes.subarray(0, -1)) === 0;
}

/** As text, which is compared a hundred times faster than an array. */
const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString("hex");

const PAGE = 4096;

/** Samples for drains, some of them with headers that no producer should write. */
function produce({ host, maps }: World, random: Random): void {
  const fd = maps[USER_RING]!;
  const ring = host.mmap(fd, { offset: PAGE, length: PAGE + 8192, prot: u.PROT_READ | u.PROT_WRITE, dropsViews: true });
  if (typeof ring === "number") throw new Error(`mmap ${ring}`);
  const view = new DataView(ring.buffer, ring.byteOffset, ring.byteLength);
  for (let at = 0; at < 4096; at += 64) {
    const odd = random(6) === 0;
    view.setUint32(PAGE + at, odd ? [0x4000_0030, 0x8000_0030, 0x3fff_ffff, 4088][random(4)]! : 56, true);
  }
  view.setBigUint64(0, view.getBigUint64(0, true) + BigInt(64 * random(4)), true);
  host.munmap(ring);
}

function close(world: World): void {
  const { host, maps, results, foreign, btf, secrets } = world;
  host.munmap(secrets[0]!);
  for (const fd of [...maps, results, foreign, btf]) expect(host.close(fd)).toBe(0);
  expect(host.openFds()).toEqual([]);
  const next = [u.BPF_MAP_GET_NEXT_ID, u.BPF_PROG_GET_NEXT_ID, u.BPF_BTF_GET_NEXT_ID];
  expect(next.map((cmd) => host.bpf(cmd, { start_id: 0 }))).toEqual(next.map(() => -u.ENOENT));
}

test.each([false, true])("every call of every kind of program, with hostile arguments (shared: %s)", (shared) => {
  const random = randomOf(SEED);
  // What differs between them must make no difference.
  const worlds = [makeWorld(shared, 0x11, "jit"), makeWorld(shared, 0xee, "interp")] as const;
  let results = 0;
  let faults = 0;
  const refused = new Set<string>();
  for (const one of allCases()) {
    for (const target of one.calls) {
      for (let round = 0; round < ROUNDS; round++) {
        let [first, second] = [undefined, undefined] as (number | string | undefined)[];
        // The loader refuses calls that it sees to be wrong: of some helpers most.
        for (let attempt = 0; attempt < 300 && typeof first !== "number"; attempt++) {
          const { insns, starts } = program(worlds[0], random, one, target);
          [first, second] = worlds.map((world) => load(world, insns, starts, one));
          expect(second).toBe(first);
        }
        if (typeof first !== "number") {
          refused.add(`${target[0].name} by ${one.type}: ${first}`);
          continue;
        }
        const says = `seed ${SEED}, program type ${one.type}, ${target[0].name}`;
        const samples = random(1 << 30);
        const [a, b] = worlds.map((world) => {
          produce(world, randomOf(samples));
          const ran = outcome(world, first, one);
          world.host.advance(5n);
          return { ran, left: leftBy(world, first) };
        });
        expect(b, says).toEqual(a);
        if (a!.ran !== -u.EFAULT && a!.left.said === "") results++;
        else faults++;
        for (const [i, { host, secrets }] of worlds.entries()) {
          const wrong = secrets.findIndex((bytes) => !isFilled(bytes, i === 0 ? 0x11 : 0xee));
          if (wrong !== -1) expect.fail(`${says}: secret ${wrong} was written to`);
          host.close(first);
        }
      }
    }
  }
  console.log(`${results} programs exited, ${faults} faulted`);
  expect([...refused]).toEqual([]);
  expect(Math.min(results, faults)).toBeGreaterThan(50);
  for (const world of worlds) close(world);
});
