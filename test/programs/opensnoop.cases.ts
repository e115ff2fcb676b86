import { expect } from "vitest";
import type { RingBuf } from "../../src/index.ts";
import type { CaseScene, ProgramCase } from "./cases.ts";
import { btfOf, type Layout, place } from "./layouts.ts";

/** What a system call's tracepoints look like on every kernel. */
const tracepoints: Layout = {
  trace_event_raw_sys_enter: { size: 64, fields: { id: ["long", 8], args: ["u64[6]", 16] } },
  trace_event_raw_sys_exit: { size: 24, fields: { id: ["long", 8], ret: ["long", 16] } },
  uid_struct: { size: 4, fields: {} },
};

/** Two kernels: the same types, nothing at the same place; `in_execve` in the first and in the last bit of a word. */
const one: Layout = {
  ...tracepoints,
  cred: { size: 64, fields: { euid: ["struct uid_struct", 8], uid: ["struct uid_struct", 20] } },
  fdtable: { size: 16, fields: { max_fds: ["u32", 0] } },
  files_struct: { size: 64, fields: { fdt: ["pointer", 32] } },
  task_struct: {
    size: 256,
    fields: {
      in_execve: ["u32", 16, 0, 1],
      no_cgroup_migration: ["u32", 16, 1, 1],
      tgid: ["int", 60],
      real_parent: ["pointer", 64],
      cred: ["pointer", 80],
      comm: ["char[16]", 88],
      files: ["pointer", 120],
    },
  },
};

const other: Layout = {
  ...tracepoints,
  cred: { size: 64, fields: { uid: ["struct uid_struct", 4], euid: ["struct uid_struct", 40] } },
  fdtable: { size: 32, fields: { max_fds: ["u32", 24] } },
  files_struct: { size: 64, fields: { fdt: ["pointer", 8] } },
  task_struct: {
    size: 512,
    fields: {
      comm: ["char[16]", 8],
      files: ["pointer", 40],
      tgid: ["int", 200],
      no_cgroup_migration: ["u32", 208, 3, 1],
      in_execve: ["u32", 208, 31, 1],
      cred: ["pointer", 300],
      real_parent: ["pointer", 308],
    },
  },
};

const TASK = 0xffff_8880_0001_0000n;
const PARENT = 0xffff_8880_0002_0000n;
const CRED = 0xffff_8880_0003_0000n;
const FILES = 0xffff_8880_0004_0000n;
const TABLE = 0xffff_8880_0005_0000n;
const NAME = 0x7fff_1234_5678n;
const O_CREAT = 64;
const ENOENT = 2;
const OPENAT = 257;
const task = { pid: 41, tgid: 42, uid: 1000, gid: 100, comm: "cat", address: TASK };

function memoryOf(layout: Layout, executing: boolean) {
  return [
    place(layout, "task_struct", TASK, {
      tgid: 42,
      comm: "cat",
      cred: CRED,
      real_parent: PARENT,
      files: FILES,
      in_execve: executing ? 1 : 0,
      no_cgroup_migration: executing ? 0 : 1,
    }),
    place(layout, "task_struct", PARENT, { tgid: 4200 }),
    place(layout, "cred", CRED, { uid: 1000, euid: 0 }),
    place(layout, "files_struct", FILES, { fdt: TABLE }),
    place(layout, "fdtable", TABLE, { max_fds: 256 }),
    { address: NAME, bytes: new TextEncoder().encode("/etc/hosts\0") },
  ];
}

/** The bytes of a tracepoint's context. */
function entered(layout: Layout): Uint8Array {
  const context = place(layout, "trace_event_raw_sys_enter", 0n, { id: OPENAT }).bytes.slice();
  const view = new DataView(context.buffer);
  [-100n, NAME, BigInt(O_CREAT), 0o644n, 0n, 0n].forEach((arg, i) => {
    view.setBigInt64(16 + i * 8, arg, true);
  });
  return context;
}

const left = (layout: Layout, ret: number): Uint8Array =>
  place(layout, "trace_event_raw_sys_exit", 0n, { id: OPENAT, ret }).bytes.slice();

interface Report {
  readonly pid: number;
  readonly parent: number;
  readonly uid: number;
  readonly ret: number;
  readonly flags: number;
  readonly open_limit: number;
  readonly executing: number;
}

function reports({ object }: CaseScene): Report[] {
  const found: Report[] = [];
  (object.map("events") as RingBuf<unknown>).drain((record) => {
    const bytes = record as Uint8Array;
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
    const [pid, parent, uid, ret, flags, open_limit] = [0, 4, 8, 12, 16, 20].map((at) => view.getInt32(at, true));
    expect(new TextDecoder().decode(bytes.subarray(25, 28))).toBe("cat");
    expect(new TextDecoder().decode(bytes.subarray(41, 52))).toBe("/etc/hosts\0");
    found.push({ pid, parent, uid, ret, flags, open_limit, executing: view.getUint8(24) } as Report);
  });
  return found;
}

const report = (ret: number, executing: number): Report => ({
  ...{ pid: 42, parent: 4200, uid: 1000, flags: O_CREAT, open_limit: 256 },
  ...{ ret, executing },
});

export const cases: readonly ProgramCase[] = [one, other].flatMap((layout, i): ProgramCase[] => {
  const load = { targetBtf: btfOf(layout) };
  const kernel = i === 0 ? "one kernel" : "another kernel";
  const enter =
    (executing: boolean) =>
    ({ object }: CaseScene): void => {
      object.program("enter_openat").run({ ctx: entered(layout), task, memory: memoryOf(layout, executing) });
    };
  return [
    ...[false, true].map(
      (executing): ProgramCase => ({
        name: `${kernel}: a file is opened${executing ? " by a process that begins" : ""}`,
        program: "exit_openat",
        kernel: "load",
        load,
        before: enter(executing),
        runs: [{ ctx: left(layout, 3), task, memory: memoryOf(layout, executing) }],
        expect: {
          retval: 0,
          after: (scene) => expect(reports(scene)).toEqual([report(3, executing ? 1 : 0)]),
          maps: { started: [] },
        },
      }),
    ),
    {
      name: `${kernel}: only failures`,
      program: "exit_openat",
      kernel: "load",
      load: { ...load, globals: { failed_only: true } },
      before: enter(false),
      runs: [
        { ctx: left(layout, -ENOENT), task, memory: memoryOf(layout, false) },
        { ctx: left(layout, 3), task, memory: memoryOf(layout, false) },
      ],
      expect: { retval: 0, after: (scene) => expect(reports(scene)).toEqual([report(-ENOENT, 0)]) },
    },
    {
      name: `${kernel}: another user is passed over`,
      program: "enter_openat",
      kernel: "load",
      load: { ...load, globals: { only_uid: 1001 } },
      runs: [{ ctx: entered(layout), task, memory: memoryOf(layout, false) }],
      expect: { retval: 0, maps: { started: [] } },
    },
    {
      name: `${kernel}: the current task's fields are what helpers say`,
      program: "self_check",
      kernel: "load",
      load,
      runs: [{ task, memory: memoryOf(layout, false) }],
      expect: { retval: 31 },
    },
  ];
});
