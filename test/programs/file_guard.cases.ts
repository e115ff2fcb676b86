import { expect } from "vitest";
import type { RunOptions } from "../../src/index.ts";
import { bytesOf, type CaseScene, chars, type ProgramCase, put } from "./cases.ts";
import { btfOf, type Layout, place } from "./layouts.ts";
import { vmlinuxLike } from "./vmlinux.ts";

const why = "the kernel that is compared with lets nobody load LSM programs (EPERM)";

const layout: Layout = {
  super_block: { size: 64, fields: { s_dev: ["u32", 44] } },
  inode: { size: 96, fields: { i_sb: ["pointer", 8], i_ino: ["u64", 40] } },
  file: { size: 80, fields: { f_inode: ["pointer", 16], f_mode: ["u32", 60] } },
  linux_binprm: { size: 200, fields: { argc: ["int", 4], filename: ["pointer", 104] } },
};
const kernelBtf = btfOf(layout, {
  functions: {
    bpf_lsm_file_open: ["int", "pointer"],
    bpf_lsm_bprm_check_security: ["int", "pointer"],
    bpf_lsm_socket_create: ["int", "int", "int", "int", "int"],
  },
});

const FILE = 0xffff_8881_0001_0000n;
const INODE = 0xffff_8881_0002_0000n;
const SUPER = 0xffff_8881_0003_0000n;
const BPRM = 0xffff_8881_0004_0000n;
const NAME = 0xffff_8881_0005_0000n;
const [FMODE_READ, FMODE_WRITE] = [1, 2];
const [EPERM, EACCES] = [1, 13];
const [WRITES, RUNS, ARGUMENTS, SOCKET] = [0, 1, 2, 3];
const task = { pid: 71, tgid: 70, uid: 1000, comm: "editor" };
const file = { inode: 0x1_0000_0009n, device: 0x80_0001n };

const refusal = (reason: number, what: bigint): Uint8Array => bytesOf(reason, 1000, what, chars("editor", 16));
const errno = (error: number): number => -error >>> 0;

function opens(types: Layout, mode: number, more: Partial<RunOptions> = {}): RunOptions {
  return {
    args: [FILE, 0],
    task,
    memory: [
      place(types, "file", FILE, { f_mode: mode, f_inode: INODE }),
      place(types, "inode", INODE, { i_ino: file.inode, i_sb: SUPER }),
      place(types, "super_block", SUPER, { s_dev: Number(file.device) }),
    ],
    ...more,
  };
}

function runs(types: Layout, name: string, argc: number): RunOptions {
  return {
    args: [BPRM],
    task,
    memory: [
      place(types, "linux_binprm", BPRM, { argc, filename: NAME }),
      { address: NAME, bytes: new TextEncoder().encode(`${name}\0`) },
    ],
  };
}

const protect = (scene: CaseScene): void => put(scene, "read_only", file, 1);
const forbid = (scene: CaseScene): void => put(scene, "forbidden", { text: chars("/usr/bin/nc", 64) }, 5n);
const plain = { kernel: "none", why, kernelBtf } as const;

function refusedOpen(name: string, types: Layout, btf: Uint8Array): ProgramCase {
  return {
    ...plain,
    name,
    program: "guard_open",
    kernelBtf: btf,
    before: protect,
    runs: [opens(types, FMODE_READ | FMODE_WRITE)],
    expect: { retval: errno(EPERM), maps: { refusals: [refusal(WRITES, file.inode)] } },
  };
}

const hooks = ["file_open", "bprm_check_security", "socket_create"].map((hook) => `bpf_lsm_${hook}`);
const real = vmlinuxLike(layout, hooks);

export const cases: readonly ProgramCase[] = [
  refusedOpen("a file that must not be written", layout, kernelBtf),
  ...(real === undefined
    ? []
    : [refusedOpen("the same in the types of the kernel that runs here", real.layout, real.kernelBtf)]),
  {
    ...plain,
    name: "reading it, root, and what an earlier rule has refused",
    program: "guard_open",
    before: protect,
    runs: [
      opens(layout, FMODE_READ),
      opens(layout, FMODE_WRITE, { task: { ...task, uid: 0 } }),
      opens(layout, FMODE_WRITE, { args: [FILE, -EACCES] }),
    ],
    expect: { retval: [0, 0, errno(EACCES)], maps: { refusals: [] } },
  },
  {
    ...plain,
    name: "other files may be written",
    program: "guard_open",
    before: (scene) => put(scene, "read_only", { ...file, device: 1n }, 1),
    runs: [opens(layout, FMODE_WRITE)],
    expect: { retval: 0, maps: { refusals: [] } },
  },
  {
    ...plain,
    name: "not enforced: it is only recorded",
    program: "guard_open",
    load: { globals: { enforce: false } },
    before: protect,
    runs: [opens(layout, FMODE_WRITE)],
    expect: { retval: 0, maps: { refusals: [refusal(WRITES, file.inode)] } },
  },
  {
    ...plain,
    name: "programs that must not run, and too many arguments",
    program: "guard_run",
    before: forbid,
    runs: [
      runs(layout, "/usr/bin/nc", 2),
      runs(layout, "/usr/bin/ncat", 2),
      runs(layout, "/usr/bin/ls", 101),
      runs(layout, "/usr/bin/nc", 2),
    ],
    expect: {
      retval: [errno(EACCES), 0, errno(EACCES), errno(EACCES)],
      maps: {
        refusals: [refusal(RUNS, 6n), refusal(ARGUMENTS, 101n), refusal(RUNS, 7n)],
        forbidden: [[{ text: "/usr/bin/nc" }, 7n]],
      },
    },
  },
  {
    ...plain,
    name: "sockets of a cgroup: what it may not make fails with an error of the program's",
    program: "guard_socket",
    // Family, type, protocol, whether the kernel makes it for itself.
    runs: [
      { args: [2, 1, 6, 0], task },
      { args: [17, 2, 0, 0], task },
      { args: [2, 3, 1, 0], task, attachment: { retval: -EPERM } },
    ],
    expect: {
      retval: [1, 0, 0],
      maps: { refusals: [refusal(SOCKET, 17n), refusal(SOCKET, 2n)] },
      after: (_scene, results) => {
        expect(results.map(({ syscallRetval }) => syscallRetval)).toEqual([0, -EACCES, -EACCES]);
      },
    },
  },
];
