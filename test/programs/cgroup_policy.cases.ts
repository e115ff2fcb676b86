import { expect } from "vitest";
import { bpf_cgroup_dev_ctx, bpf_sock, bpf_sockopt, bpf_sysctl } from "../../src/uapi/index.ts";
import { bytesOf, type CaseScene, chars, type ProgramCase, put } from "./cases.ts";

const why = "programs of cgroups around system calls have no PROG_TEST_RUN";
const OURS = 0x0bad_cafe;
const [SOL_IP, SOL_SOCKET, SOL_TCP] = [0, 1, 6];
const [IP_TOS, SO_SNDBUF, TCP_CONGESTION] = [1, 7, 13];
const [EACCES, EINVAL, ENOPROTOOPT] = [13, 22, 92];

type Field = { readonly offset: number };

function struct(size: number, ...values: readonly (readonly [Field, number])[]): Uint8Array {
  const view = new DataView(new ArrayBuffer(size));
  for (const [{ offset }, value] of values) view.setInt32(offset, value, true);
  return new Uint8Array(view.buffer);
}

const word = (ctx: Uint8Array | undefined, { offset }: Field): number =>
  new DataView(ctx!.buffer).getInt32(offset, true);

/* ---- socket options ---- */

const { fields: opt } = bpf_sockopt;
const option = (level: number, name: number, length: number, retval = 0): Uint8Array =>
  struct(bpf_sockopt.size, [opt.level, level], [opt.optname, name], [opt.optlen, length], [opt.retval, retval]);
const text = (value: string): Uint8Array => chars(value, 16);
const socket = (family: number): Uint8Array => struct(bpf_sock.size, [bpf_sock.fields.family, family]);

const options: readonly ProgramCase[] = [
  {
    name: "an option that is kept here: the kernel is not asked",
    program: "set_option",
    kernel: "load",
    why,
    runs: [{ ctx: option(OURS, 7, 4), data: bytesOf(0x1234_5678) }],
    expect: {
      retval: 1,
      maps: { own_options: [[7, 0x1234_5678]] },
      after: (_scene, [result]) => expect(word(result!.ctx, opt.optlen)).toBe(-1),
    },
  },
  {
    name: "one that is too short is refused",
    program: "set_option",
    kernel: "load",
    why,
    runs: [
      { ctx: option(OURS, 7, 3), data: bytesOf(1).subarray(0, 3) },
      // What user space says is less than what there is.
      { ctx: option(OURS, 7, 3), data: bytesOf(1) },
    ],
    expect: {
      retval: 0,
      maps: { own_options: [] },
      after: (_scene, results) => expect(results.map((each) => each.syscallRetval)).toEqual([-EINVAL, -EINVAL]),
    },
  },
  {
    name: "one of the kernel's that nobody may set",
    program: "set_option",
    kernel: "load",
    why,
    runs: [{ ctx: option(SOL_IP, IP_TOS, 4), data: bytesOf(16), attachment: { retval: -1 } }],
    expect: { retval: 0, after: (_scene, [result]) => expect(result!.syscallRetval).toBe(-EACCES) },
  },
  {
    name: "a large buffer is made smaller, others stay",
    program: "set_option",
    kernel: "load",
    why,
    load: { globals: { most_buffer: 50_000 } },
    runs: [50_001, 50_000].map((size) => ({ ctx: option(SOL_SOCKET, SO_SNDBUF, 4), data: bytesOf(size) })),
    expect: {
      retval: 1,
      globals: { limited: 1n },
      after: (_scene, results) => expect(results.map(({ data }) => data)).toEqual([bytesOf(50_000), bytesOf(50_000)]),
    },
  },
  {
    name: "what is kept here is got back, though the kernel knew nothing of it",
    program: "get_option",
    kernel: "load",
    why,
    before: (scene) => put(scene, "own_options", 7, 0x1234_5678),
    runs: [{ ctx: option(OURS, 7, 16, -ENOPROTOOPT), data: text("") }],
    expect: {
      retval: 1,
      after: (_scene, [result]) => {
        expect([word(result!.ctx, opt.optlen), word(result!.ctx, opt.retval)]).toEqual([4, 0]);
        expect(result!.data!.subarray(0, 4)).toEqual(bytesOf(0x1234_5678));
      },
    },
  },
  {
    name: "what nobody has set, and room that is too small, are refused",
    program: "get_option",
    kernel: "load",
    why,
    before: (scene) => put(scene, "own_options", 7, 1),
    runs: [
      { ctx: option(OURS, 8, 16, -ENOPROTOOPT), data: text("") },
      { ctx: option(OURS, 7, 2, -ENOPROTOOPT), data: new Uint8Array(2) },
    ],
    expect: { retval: 0 },
  },
  {
    name: "everybody sees the same congestion control; IPv6 the real one",
    program: "get_option",
    kernel: "load",
    why,
    runs: [2, 10].map((family) => ({
      ctx: option(SOL_TCP, TCP_CONGESTION, 4),
      data: text("bbr"),
      sock: socket(family),
    })),
    expect: {
      retval: 1,
      after: (_scene, results) => {
        expect(results.map(({ data }) => data)).toEqual([text("cubic"), text("bbr")]);
        expect(results.map(({ ctx }) => word(ctx, opt.optlen))).toEqual([6, 4]);
      },
    },
  },
];

/* ---- sysctls ---- */

const { fields: sys } = bpf_sysctl;
const sysctl = (write: number): Uint8Array => struct(bpf_sysctl.size, [sys.write, write]);
const NAME = "net/ipv4/tcp_notsent_lowat";
const limits = (scene: CaseScene): void => {
  const name = { text: chars(NAME, 48) };
  put(scene, "limits", name, { least: 1000n, most: 2000n, writes: 0n });
};
const says = (...answers: readonly number[]): bigint[] => answers.map(BigInt);

/** A write of `written` that sets `result`, or goes through as it is. */
function write(name: string, written: string, result: string | undefined, after: bigint): ProgramCase {
  return {
    name,
    program: "on_sysctl",
    kernel: "load",
    why,
    before: limits,
    runs: [{ ctx: sysctl(1), attachment: { sysctl: { name: NAME, value: "1500\n", newValue: written } } }],
    expect: {
      retval: 1,
      globals: { last_before: 1500n, last_after: after, says: says(17, 26, 5, written.length) },
      after: (_scene, [run]) => {
        const events = result === undefined ? [] : [{ kind: "sysctl_set_new_value", value: result }];
        expect(run!.events).toEqual(events);
      },
    },
  };
}

const sysctls: readonly ProgramCase[] = [
  {
    name: "everybody may read, and the name is told",
    program: "on_sysctl",
    kernel: "load",
    why,
    runs: [{ ctx: sysctl(0), attachment: { sysctl: { name: "kernel/ostype", value: "Linux\n" } } }],
    expect: { retval: 1, globals: { says: says(6, 13, 0, 0), last_sysctl: "ostype", last_after: 0n } },
  },
  {
    name: "a name that is longer than the memory for it",
    program: "on_sysctl",
    kernel: "load",
    why,
    runs: [{ ctx: sysctl(1), attachment: { sysctl: { name: `net/ipv4/conf/${"x".repeat(40)}`, newValue: "1" } } }],
    expect: { retval: 0, globals: { says: says(-7, -7, 0, 0) } },
  },
  {
    name: "what has no limits is not written",
    program: "on_sysctl",
    kernel: "load",
    why,
    before: limits,
    runs: [{ ctx: sysctl(1), attachment: { sysctl: { name: "kernel/hostname", value: "a\n", newValue: "b" } } }],
    expect: { retval: 0, globals: { says: says(8, 15, 0, 0) } },
  },
  write("a number within its limits", "1234\n", undefined, 1234n),
  write("one that is too small", "12\n", "1000", 1000n),
  write("one that is too large", "0xffffffff", "2000", 2000n),
  {
    name: "a value that cannot be read, none that is written, one that is no number",
    program: "on_sysctl",
    kernel: "load",
    why,
    before: limits,
    runs: [{ newValue: "1" }, { value: "1500\n" }, { value: "1500\n", newValue: "many" }].map((values) => ({
      ctx: sysctl(1),
      attachment: { sysctl: { name: NAME, ...values } },
    })),
    expect: { retval: 0, globals: { says: says(17, 26, 5, 4), last_after: 0n } },
  },
];

/* ---- devices ---- */

const { fields: dev } = bpf_cgroup_dev_ctx;
const [BLOCK, CHAR] = [1, 2];
const [MKNOD, READ, WRITE] = [1, 2, 4];
const device = (type: number, major: number, minor: number, access: number): { readonly ctx: Uint8Array } => ({
  ctx: struct(
    bpf_cgroup_dev_ctx.size,
    [dev.access_type, (access << 16) | type],
    [dev.major, major],
    [dev.minor, minor],
  ),
});

const devices: readonly ProgramCase[] = [
  {
    name: "devices by type and number, and what may be done with them",
    program: "on_device",
    kernel: "load",
    why,
    before: (scene) => {
      put(scene, "devices", { type: CHAR, major: 1, minor: 3 }, READ | WRITE | MKNOD);
      put(scene, "devices", { type: CHAR, major: 136, minor: 0xffff_ffff }, READ | WRITE);
      put(scene, "devices", { type: CHAR, major: 136, minor: 9 }, READ);
    },
    runs: [
      device(CHAR, 1, 3, READ | WRITE),
      device(CHAR, 1, 3, MKNOD),
      device(BLOCK, 1, 3, READ),
      device(CHAR, 136, 8, WRITE),
      device(CHAR, 136, 8, MKNOD | READ),
      device(CHAR, 136, 9, WRITE),
    ],
    expect: { retval: [1, 1, 0, 1, 0, 0], globals: { kept_out: 3n } },
  },
];

export const cases: readonly ProgramCase[] = [...options, ...sysctls, ...devices];
