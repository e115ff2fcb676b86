import { afterAll, describe, expect, test } from "vitest";
import { createTestEmbedded } from "../../test/compiled.ts";
import { BtfBuilder, parseBtf } from "../btf/index.ts";
import { InputError } from "../errors.ts";
import * as asm from "../insn/index.ts";
import * as u from "../uapi/index.ts";
import * as codecs from "./codec/index.ts";
import { BpfError, RunFault, type RunOptions, type RunResult } from "./index.ts";

const { R0, R1, R2, R3, R4, R5, R6, R9, R10 } = asm;

/** A kernel with `long watched(struct thing *thing, unsigned int flags)`, a tracepoint, an LSM hook and callbacks. */
function kernelTypes(): Uint8Array {
  const b = new BtfBuilder();
  const int = b.int("int", 4, { signed: true });
  const u32 = b.int("unsigned int", 4);
  const long = b.int("long", 8, { signed: true });
  const thing = b.struct("thing", 16, [
    { name: "id", typeId: u32, bitOffset: 0 },
    { name: "next", typeId: b.ptr(0), bitOffset: 64 },
  ]);
  const pointer = b.ptr(thing);
  const params = [
    { name: "thing", typeId: pointer },
    { name: "flags", typeId: u32 },
  ];
  b.func("watched", b.funcProto(long, params));
  b.func("bpf_lsm_thing_open", b.funcProto(int, params));
  const traced = b.funcProto(0, [{ name: "", typeId: b.ptr(0) }, ...params]);
  b.typedef("btf_trace_thing_seen", b.ptr(traced));
  b.struct("thing_ops", 16, [
    { name: "open", typeId: b.ptr(b.funcProto(int, params)), bitOffset: 0 },
    { name: "count", typeId: u32, bitOffset: 64 },
  ]);
  b.struct("bpf_struct_ops_thing_ops", 16, []);
  return b.build();
}

const types = kernelTypes();
const ids = parseBtf(types);
const idOf = (name: string): number => ids.findAll(name).at(-1)!;
const host = createTestEmbedded({ memory: 16 * 1024 * 1024, seed: 1, cpus: 2, clock: "virtual", kernelBtf: types });
const results = host.createMap({ type: "array", value: codecs.bytes(256), maxEntries: 1 });
afterAll(() => {
  results.close();
  expect(host.leaks()).toEqual([]);
  host.close();
});

interface Kind {
  readonly type: string;
  readonly attachType?: number;
  readonly target?: string;
  readonly flags?: number;
}

const fentry: Kind = { type: "tracing", attachType: u.BPF_TRACE_FENTRY, target: "watched" };
const fexit: Kind = { ...fentry, attachType: u.BPF_TRACE_FEXIT };
const kprobe: Kind = { type: "kprobe" };

/** Runs instructions with r6 the context and r9 the results; r0 = 0 at the end unless they exit themselves. */
function runIt(
  kind: Kind,
  items: readonly asm.AsmItem[],
  options: RunOptions = {},
): RunResult & { words: BigUint64Array } {
  const insns = asm.assemble([
    asm.mov64(R6, R1),
    asm.ldMapValue(R9, results.fd, 0),
    ...items,
    ...(items.at(-1) === end ? [] : [asm.mov64Imm(R0, 0), end]),
  ]);
  results.set(0, new Uint8Array(256));
  const program = host.loadProgram({
    type: kind.type,
    insns,
    license: "GPL",
    ...(kind.attachType === undefined ? {} : { expectedAttachType: kind.attachType }),
    ...(kind.target === undefined ? {} : { attachBtfId: idOf(kind.target) }),
    ...(kind.flags === undefined ? {} : { flags: kind.flags }),
  });
  try {
    const result = program.run(options);
    const words = new BigUint64Array(results.get(0)!.slice().buffer);
    return { ...result, words };
  } finally {
    program.close();
  }
}

const end = asm.exit();
const keep = (n: number): asm.AsmItem => asm.stx("u64", R9, R0, n * 8);
const helper = (id: number): asm.AsmItem => asm.call(id);
/** `reg` = the address of word n of the results. */
const word = (reg: asm.Reg, n: number): readonly asm.AsmItem[] => [asm.mov64(reg, R9), asm.alu64Imm("add", reg, n * 8)];
const errno = (e: number): bigint => BigInt.asUintN(64, BigInt(-e));

describe("who runs", () => {
  const task = {
    pid: 0xffff_fff1,
    tgid: 0xffff_fff2,
    uid: 1000,
    gid: 0xffff_ffff,
    comm: "a name of more than 15",
    cgroups: [1n, 0x1_0000_0007n, 0xffff_ffff_0000_0003n],
    pidNamespace: { dev: 4n, ino: 0xeeee_eeee_eeee_0001n, pid: 7, tgid: 8 },
    address: 0xffff_8881_2345_6000n,
  };

  test("ids, name, cgroups, task", () => {
    const { words } = runIt(
      kprobe,
      [
        ...[
          u.BPF_FUNC_get_current_pid_tgid,
          u.BPF_FUNC_get_current_uid_gid,
          u.BPF_FUNC_get_current_cgroup_id,
          u.BPF_FUNC_get_current_task,
          u.BPF_FUNC_get_current_task_btf,
        ].flatMap((id, n) => [helper(id), keep(n)]),
        ...[0, 1, 2, 3, -1].flatMap((level, n) => [
          asm.mov64Imm(R1, level),
          helper(u.BPF_FUNC_get_current_ancestor_cgroup_id),
          keep(5 + n),
        ]),
        ...word(R1, 10),
        asm.mov64Imm(R2, 16),
        helper(u.BPF_FUNC_get_current_comm),
        keep(12),
      ],
      { task },
    );
    expect([...words.subarray(0, 10)]).toEqual([
      0xffff_fff2_ffff_fff1n,
      0xffff_ffff_0000_03e8n,
      0xffff_ffff_0000_0003n,
      0xffff_8881_2345_6000n,
      0xffff_8881_2345_6000n,
      1n,
      0x1_0000_0007n,
      0xffff_ffff_0000_0003n,
      0n,
      0n,
    ]);
    expect(new TextDecoder().decode(new Uint8Array(words.buffer, 80, 16))).toBe("a name of more \0");
    expect(words[12]).toBe(0n);
  });

  test("bpf_get_ns_current_pid_tgid knows the task's namespace", () => {
    const ask = (dev: bigint, ino: bigint, size: number): RunResult & { words: BigUint64Array } =>
      runIt(
        kprobe,
        [
          asm.ldImm64(R1, dev),
          asm.ldImm64(R2, ino),
          ...word(R3, 1),
          asm.mov64Imm(R4, size),
          asm.st("u64", R9, 8, -1),
          helper(u.BPF_FUNC_get_ns_current_pid_tgid),
          keep(0),
        ],
        { task },
      );
    expect([...ask(4n, 0xeeee_eeee_eeee_0001n, 8).words.subarray(0, 2)]).toEqual([0n, 0x8_0000_0007n]);
    expect([...ask(4n, 0xeeee_0001n, 8).words.subarray(0, 2)]).toEqual([errno(u.EINVAL), 0n]);
    expect([...ask(4n, 0xeeee_eeee_eeee_0001n, 4).words.subarray(0, 2)]).toEqual([
      errno(u.EINVAL),
      0xffff_ffff_0000_0000n,
    ]);
  });

  test("signals are events", () => {
    const { words, events } = runIt(kprobe, [
      ...[9, 65].flatMap((signal, n) => [asm.mov64Imm(R1, signal), helper(u.BPF_FUNC_send_signal), keep(n)]),
      asm.mov64Imm(R1, 10),
      helper(u.BPF_FUNC_send_signal_thread),
    ]);
    expect([...words.subarray(0, 2)]).toEqual([0n, errno(u.EINVAL)]);
    expect(events).toEqual([
      { kind: "signal", signal: 9, thread: false },
      { kind: "signal", signal: 10, thread: true },
    ]);
  });

  test("clocks: bpf_jiffies64 counts 250 a second, bpf_ktime_get_tai_ns nanoseconds", () => {
    host.advance(0x1_0000_0000n * 4_000_000n);
    const { words } = runIt(kprobe, [
      helper(u.BPF_FUNC_jiffies64),
      keep(0),
      helper(u.BPF_FUNC_ktime_get_tai_ns),
      keep(1),
    ]);
    expect(words[0]).toBe(0x1_0000_0000n);
    expect(words[1]).toBe(0x1_0000_0000n * 4_000_000n);
  });
});

describe("memory of the run", () => {
  const user = 0x7f00_1234_5ff8n;
  const kernel = 0xffff_8880_ffff_fff8n;

  test("bpf_probe_read_user and _kernel find what was given, across 4 GiB too", () => {
    const memory = [
      { address: user, bytes: new TextEncoder().encode("/etc/passwd\0rest") },
      { address: kernel, bytes: Uint8Array.from({ length: 16 }, (_, i) => i + 1) },
    ];
    const { words } = runIt(
      kprobe,
      [
        ...word(R1, 1),
        asm.mov64Imm(R2, 64),
        asm.ldImm64(R3, user),
        helper(u.BPF_FUNC_probe_read_user_str),
        keep(0),
        ...word(R1, 10),
        asm.mov64Imm(R2, 8),
        asm.ldImm64(R3, kernel + 4n),
        helper(u.BPF_FUNC_probe_read_kernel),
        keep(9),
        ...word(R1, 12),
        asm.mov64Imm(R2, 8),
        asm.ldImm64(R3, kernel + 9n),
        helper(u.BPF_FUNC_probe_read_kernel),
        keep(11),
      ],
      { memory },
    );
    expect(words[0]).toBe(12n);
    expect(new TextDecoder().decode(new Uint8Array(words.buffer, 8, 12))).toBe("/etc/passwd\0");
    expect([...words.subarray(9, 13)]).toEqual([0n, 0x0c0b_0a09_0807_0605n, errno(u.EFAULT), 0n]);
  });

  test("bpf_copy_from_user and _task, for programs that may sleep", () => {
    const memory = [{ address: user, bytes: Uint8Array.of(1, 2, 3, 4, 5, 6, 7, 8) }];
    const copy = (flags: number, n: number): readonly asm.AsmItem[] => [
      ...word(R1, n + 1),
      asm.mov64Imm(R2, 8),
      asm.ldImm64(R3, user),
      asm.mov64Imm(R4, 0),
      asm.mov64Imm(R5, flags),
      helper(u.BPF_FUNC_copy_from_user_task),
      keep(n),
    ];
    const items = [
      ...word(R1, 1),
      asm.mov64Imm(R2, 8),
      asm.ldImm64(R3, user),
      helper(u.BPF_FUNC_copy_from_user),
      keep(0),
      ...copy(0, 2),
      ...copy(1, 4),
    ];
    const { words } = runIt({ ...kprobe, flags: u.BPF_F_SLEEPABLE }, items, { memory });
    expect([...words.subarray(0, 5)]).toEqual([
      0n,
      0x0807_0605_0403_0201n,
      0n,
      0x0807_0605_0403_0201n,
      errno(u.EINVAL),
    ]);
    expect(() => runIt(kprobe, items, { memory })).toThrow(/may sleep/);
  });

  test("bpf_probe_write_user writes where it was allowed", () => {
    const bytes = new Uint8Array(8);
    const write = (address: bigint, n: number): readonly asm.AsmItem[] => [
      asm.st("u32", R10, -8, 0x6463_6261),
      asm.ldImm64(R1, address),
      asm.mov64(R2, R10),
      asm.alu64Imm("add", R2, -8),
      asm.mov64Imm(R3, 4),
      helper(u.BPF_FUNC_probe_write_user),
      keep(n),
    ];
    const memory = [
      { address: user, bytes, writable: true },
      { address: user + 64n, bytes: new Uint8Array(8) },
      { address: kernel, bytes: new Uint8Array(8), writable: true },
    ];
    const { words } = runIt(
      kprobe,
      [...write(user + 2n, 0), ...write(user + 6n, 1), ...write(user + 64n, 2), ...write(kernel, 3)],
      { memory },
    );
    expect([...words.subarray(0, 4)]).toEqual([0n, errno(u.EFAULT), errno(u.EFAULT), errno(u.EFAULT)]);
    expect([...bytes]).toEqual([0, 0, 0x61, 0x62, 0x63, 0x64, 0, 0]);
  });
});

describe("typed arguments", () => {
  const thing = new Uint8Array(16);
  new DataView(thing.buffer).setUint32(0, 0xdead_beef, true);
  const memory = [{ address: 0xffff_8880_0000_2000n, bytes: thing }];
  const args = [0xffff_8880_0000_2000n, 0xffff_ffffn];

  test("a pointer leads to given memory; what is not there reads zero", () => {
    const { words } = runIt(
      fentry,
      [
        asm.ldx("u64", R1, R6, 0),
        asm.ldx("u32", R0, R1, 0),
        keep(0),
        // thing->next is NULL, and what it would point to is not there.
        asm.ldx("u64", R2, R1, 8),
        asm.ldx("u64", R0, R2, 8),
        keep(1),
        asm.ldx("u64", R0, R1, 12),
        keep(2),
        asm.ldx("u64", R0, R1, 1000),
        keep(3),
        asm.ldx("u16", R0, R6, 8),
        keep(4),
      ],
      { memory, args },
    );
    expect([...words.subarray(0, 5)]).toEqual([0xdead_beefn, 0n, 0n, 0n, 0xffffn]);
  });

  test("stores through them fault, and so do pointers that are nothing", () => {
    const store = [asm.ldx("u64", R1, R6, 0), asm.st("u32", R1, 0, 1)];
    expect(() => runIt(fentry, store, { memory, args })).toThrow(BpfError);
    const odd = [asm.ldImm64(R1, 0x1234_0000_0000n), asm.ldx("u32", R0, R1, 0)];
    expect(() => runIt(fentry, odd, { memory, args })).toThrow(BpfError);
  });

  test("a part of a pointer, or of the middle of a number, is no access", () => {
    expect(() => runIt(fentry, [asm.ldx("u32", R0, R6, 0)], { args })).toThrow(/context/);
    expect(() => runIt(fentry, [asm.ldx("u32", R0, R6, 12)], { args })).toThrow(/context/);
    expect(() => runIt(fentry, [asm.ldx("u64", R0, R6, 16)], { args })).toThrow(BpfError);
  });

  test("bpf_get_func_arg, _ret, _arg_cnt", () => {
    const ask = [
      ...[0, 1, 2].flatMap((i) => [
        asm.mov64(R1, R6),
        asm.mov64Imm(R2, i),
        ...word(R3, 3 + i),
        helper(u.BPF_FUNC_get_func_arg),
        keep(i),
      ]),
      asm.mov64(R1, R6),
      ...word(R2, 7),
      helper(u.BPF_FUNC_get_func_ret),
      keep(6),
      asm.mov64(R1, R6),
      helper(u.BPF_FUNC_get_func_arg_cnt),
      keep(8),
    ];
    const begun = [0n, 0n, errno(u.EINVAL), args[0], args[1], 0n];
    expect([...runIt(fentry, ask, { args }).words.subarray(0, 9)]).toEqual([...begun, errno(u.EOPNOTSUPP), 0n, 2n]);
    const ended = runIt(fexit, ask, { args: [...args, -5] }).words;
    expect([...ended.subarray(0, 9)]).toEqual([...begun, 0n, errno(5), 2n]);
  });

  test("LSM programs see what the hook is going to return, 0 unless it is given", () => {
    const hook = { type: "lsm", attachType: u.BPF_LSM_MAC, target: "bpf_lsm_thing_open" };
    const items = [
      asm.mov64(R1, R6),
      ...word(R2, 0),
      helper(u.BPF_FUNC_get_func_ret),
      keep(1),
      asm.ldx("u64", R0, R6, 16),
      end,
    ];
    for (const [given, retval] of [
      [args, 0],
      [[...args, -13], 0xffff_fff3],
    ] as const) {
      const result = runIt(hook, items, { args: given });
      expect([result.retval, result.words[0], result.words[1]]).toEqual([retval, retval === 0 ? 0n : errno(13), 0n]);
    }
    // Callbacks of the kernel's return nothing before they run, whatever the number of the member is.
    const callback = { type: "struct_ops", attachType: 0, target: "thing_ops" };
    expect(() => runIt(callback, [asm.ldx("u64", R0, R6, 16), end], { args })).toThrow(BpfError);
  });

  test("where the program is attached", () => {
    const ask = [
      asm.mov64(R1, R6),
      helper(u.BPF_FUNC_get_func_ip),
      keep(0),
      asm.mov64(R1, R6),
      helper(u.BPF_FUNC_get_attach_cookie),
      keep(1),
    ];
    const attachment = { ip: 0xffff_ffff_8123_4560n, cookie: 0xffff_ffff_ffff_fffen };
    expect([...runIt(fentry, ask, { attachment }).words.subarray(0, 2)]).toEqual([attachment.ip, attachment.cookie]);
    expect([...runIt(kprobe, ask, { attachment }).words.subarray(0, 2)]).toEqual([attachment.ip, attachment.cookie]);
  });

  test("tracepoints, LSM hooks and callbacks of the kernel's", () => {
    const flags = [asm.ldx("u32", R0, R6, 8), end];
    const tracepoint = { type: "tracing", attachType: u.BPF_TRACE_RAW_TP, target: "btf_trace_thing_seen" };
    const hook = { type: "lsm", attachType: u.BPF_LSM_MAC, target: "bpf_lsm_thing_open" };
    const callback = { type: "struct_ops", attachType: 0, target: "thing_ops" };
    for (const kind of [tracepoint, hook, callback]) {
      expect(runIt(kind, flags, { args: [0n, -13] }).retval, kind.type).toBe(0xffff_fff3);
    }
  });

  test("what does not name its target is not loaded, and the log says why", () => {
    const nothing: readonly asm.AsmItem[] = [];
    const refused: readonly (readonly [Kind, RegExp])[] = [
      [{ type: "tracing", attachType: u.BPF_TRACE_FENTRY }, /attach_btf_id/],
      [{ ...fentry, target: "thing" }, /a struct, expected a func/],
      [{ ...fentry, attachType: u.BPF_TRACE_RAW_TP }, /expected a typedef/],
      [{ ...fentry, attachType: u.BPF_TRACE_ITER }, /bpf_iter_/],
      [{ type: "lsm", attachType: u.BPF_LSM_MAC, target: "watched" }, /bpf_lsm_/],
      [{ type: "struct_ops", attachType: 1, target: "thing_ops" }, /no callback/],
      [{ type: "struct_ops", attachType: 0, target: "thing" }, /no struct of callbacks/],
      [{ ...fentry, attachType: u.BPF_TRACE_RAW_TP, flags: u.BPF_F_SLEEPABLE }, /sleepable/],
      [{ type: "syscall" }, /sleepable/],
    ];
    for (const [kind, words] of refused) expect(() => runIt(kind, nothing)).toThrow(words);
  });
});

describe("stacks", () => {
  const attachment = {
    kernelStack: [0xffff_ffff_8100_0001n, 0xffff_ffff_8100_0002n, 0xffff_ffff_8100_0003n],
    userStack: [0x7f00_0000_0001n],
  };
  const stack = (size: number, flags: number): readonly bigint[] => {
    const items = [
      asm.st("u64", R9, 16, -1),
      asm.mov64(R1, R6),
      ...word(R2, 1),
      asm.mov64Imm(R3, size),
      asm.mov64Imm(R4, flags),
      helper(u.BPF_FUNC_get_stack),
      keep(0),
    ];
    return [...runIt(kprobe, items, { attachment }).words.subarray(0, 4)];
  };

  test("bpf_get_stack copies frames, innermost first, and clears what is left", () => {
    const [one, two, three] = attachment.kernelStack;
    expect(stack(24, 0)).toEqual([24n, one, two, three]);
    expect(stack(16, 1)).toEqual([16n, two, three, 0n]);
    expect(stack(24, u.BPF_F_USER_STACK)).toEqual([8n, attachment.userStack[0], 0n, 0n]);
    expect(stack(16, 3)).toEqual([errno(u.EFAULT), 0n, 0n, 0n]);
    for (const [size, flags] of [
      [12, 0],
      [16, 1 << 9],
      [16, u.BPF_F_USER_BUILD_ID],
    ] as const) {
      expect(stack(size, flags)[0]).toBe(errno(u.EINVAL));
    }
  });
});

test("bpf_get_netns_cookie: one network namespace", () => {
  const connect: Kind = { type: "cgroup_sock_addr", attachType: u.BPF_CGROUP_INET4_CONNECT };
  expect(runIt(connect, [asm.mov64(R1, R6), helper(u.BPF_FUNC_get_netns_cookie), keep(0)]).words[0]).toBe(1n);
});

describe("system calls and functions", () => {
  test("bpf_override_return is an event", () => {
    const { events } = runIt(kprobe, [asm.mov64(R1, R6), asm.mov64Imm(R2, -12), helper(u.BPF_FUNC_override_return)]);
    expect(events).toEqual([{ kind: "override_return", value: -12n }]);
  });

  test("bpf_get_retval and bpf_set_retval", () => {
    const connect: Kind = { type: "cgroup_sock_addr", attachType: u.BPF_CGROUP_INET4_CONNECT };
    const items = [
      helper(u.BPF_FUNC_get_retval),
      keep(0),
      ...[-4096, 1, -111].flatMap((retval, n) => [
        asm.mov64Imm(R1, retval),
        helper(u.BPF_FUNC_set_retval),
        keep(1 + n),
      ]),
    ];
    const { words, syscallRetval } = runIt(connect, items, { attachment: { retval: -1 } });
    expect([...words.subarray(0, 4)]).toEqual([errno(1), errno(u.EINVAL), errno(u.EINVAL), 0n]);
    expect(syscallRetval).toBe(-111);
  });

  test("a context comes back with what the program changed, and the caller's stays", () => {
    const connect: Kind = { type: "cgroup_sock_addr", attachType: u.BPF_CGROUP_INET4_CONNECT };
    // Of a Buffer, as files are read into, `slice` is no copy.
    for (const ctx of [new Uint8Array(u.bpf_sock_addr.size), Buffer.alloc(u.bpf_sock_addr.size)]) {
      const result = runIt(connect, [asm.st("u32", R6, u.bpf_sock_addr.fields.user_port.offset, 0x901f)], { ctx });
      expect(new DataView(result.ctx!.buffer).getUint32(u.bpf_sock_addr.fields.user_port.offset, true)).toBe(0x901f);
      expect(ctx.every((byte) => byte === 0)).toBe(true);
    }
  });
});

test("sk_reuseport: helpers read the data that was given, and nothing in front of it", () => {
  const kind = { type: "sk_reuseport", attachType: u.BPF_SK_REUSEPORT_SELECT };
  const load = (n: number, offset: number, from: number | undefined): readonly asm.AsmItem[] => [
    asm.mov64(R1, R6),
    asm.mov64Imm(R2, offset),
    ...word(R3, 4 + n),
    asm.mov64Imm(R4, 4),
    ...(from === undefined ? [] : [asm.mov64Imm(R5, from)]),
    helper(from === undefined ? u.BPF_FUNC_skb_load_bytes : u.BPF_FUNC_skb_load_bytes_relative),
    keep(n),
  ];
  const items = [load(0, 2, undefined), load(1, 5, undefined), load(2, 0, 0), load(3, 0, 1)].flat();
  const { words } = runIt(kind, items, { data: Uint8Array.of(1, 2, 3, 4, 5, 6, 7, 8) });
  expect([...words.subarray(0, 5)]).toEqual([0n, errno(u.EFAULT), errno(u.EFAULT), errno(u.EFAULT), 0x0605_0403n]);
});

test("the CPU can be chosen; options of other runs are refused", () => {
  expect(runIt(kprobe, [helper(u.BPF_FUNC_get_smp_processor_id), keep(0)], { cpu: 1 }).words[0]).toBe(1n);
  expect(() => runIt(kprobe, [], { cpu: 2 })).toThrow(BpfError);
  expect(() => runIt(kprobe, [], { repeat: 2 })).toThrow(InputError);
  expect(() => runIt(kprobe, [], { data: new Uint8Array(14) })).toThrow(/takes no `data` but a context: `ctx`/);
  expect(() => runIt(kprobe, [], { args: [1] })).toThrow(/`args`: the context of this type is a struct/);
});

test("a run that is stopped tells what it had done", () => {
  const program = host.loadProgram({
    type: "raw_tracepoint",
    license: "GPL",
    insns: asm.assemble([
      asm.st("u32", R10, -8, 0x0a_69_68),
      asm.mov64(R1, R10),
      asm.alu64Imm("add", R1, -8),
      asm.mov64Imm(R2, 4),
      asm.call(u.BPF_FUNC_trace_printk),
      asm.mov64Imm(R1, 0),
      asm.st("u64", R1, 8, 0),
      asm.mov64Imm(R0, 0),
      asm.exit(),
    ]),
  });
  try {
    program.run({});
    expect.unreachable();
  } catch (error) {
    if (!(error instanceof RunFault)) throw error;
    expect(error.message).toContain("8 bytes behind NULL");
    expect(error.events).toEqual([{ kind: "printk", text: "hi\n" }]);
  }
  program.close();
});
