import { frame, type ProgramCase } from "./cases.ts";

const noProbes = "the kernel that is compared with is built without kprobes";
const noRuns = "programs of sk_skb have no PROG_TEST_RUN";

/** struct pt_regs of x86-64 with these registers. */
function registers(named: { readonly rax?: bigint; readonly rdi?: bigint; readonly rsi?: bigint }): Uint8Array {
  const words = new BigUint64Array(21);
  words[10] = named.rax ?? 0n;
  words[13] = named.rsi ?? 0n;
  words[14] = named.rdi ?? 0n;
  return new Uint8Array(words.buffer);
}

const hits = (...counts: readonly bigint[]): bigint[] => Array.from({ length: 6 }, (_, i) => counts[i] ?? 0n);

export const cases: readonly ProgramCase[] = [
  {
    name: "a function's entry tells argument and task",
    program: "entry",
    kernel: "none",
    why: noProbes,
    load: { programs: ["entry"] },
    runs: [{ ctx: registers({ rdi: 0xffff_8881_0000_1000n }), task: { pid: 77, tgid: 70 } }],
    expect: { retval: 0, globals: { hits: hits(1n), last_argument: 0xffff_8881_0000_1000n, last_pid: 77 } },
  },
  {
    name: "its return tells the result",
    program: "returned",
    kernel: "none",
    why: noProbes,
    load: { programs: ["returned"] },
    runs: [{ ctx: registers({ rax: 0xffff_ffff_ffff_fffen }) }],
    expect: { retval: 0, globals: { hits: hits(0n, 1n), last_result: 0xffff_ffff_ffff_fffen } },
  },
  {
    name: "a function of user space",
    program: "user_function",
    kernel: "none",
    why: noProbes,
    load: { programs: ["user_function"] },
    runs: [{ ctx: registers({ rsi: 9n }) }, { ctx: registers({ rsi: 10n }) }],
    expect: { retval: 0, globals: { hits: hits(0n, 0n, 2n), last_argument: 10n } },
  },
  {
    name: "the parser of a stream says how long a record is",
    program: "record_length",
    kernel: "load",
    why: noRuns,
    load: { programs: ["record_length"] },
    runs: [{ data: new Uint8Array([5, 0, 0, 0, 65, 66]) }],
    expect: { retval: 9, globals: { hits: hits(0n, 0n, 0n, 1n) } },
  },
  {
    name: "its verdict passes records, or drops them",
    program: "record_verdict",
    kernel: "load",
    why: noRuns,
    load: { programs: ["record_verdict"] },
    runs: [{ data: new Uint8Array([1, 0, 0, 0, 65]) }, { data: new Uint8Array([1, 0, 0, 0, 33]) }],
    expect: { retval: [1, 0], globals: { hits: hits(0n, 0n, 0n, 0n, 1n) } },
  },
  {
    name: "an action of tc",
    program: "act",
    kernel: "run",
    load: { programs: ["act"] },
    runs: [{ data: frame(64) }, { data: frame(200) }],
    expect: { retval: [3, 2], globals: { hits: hits(0n, 0n, 0n, 0n, 0n, 2n) } },
  },
];
