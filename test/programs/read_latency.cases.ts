import type { RunOptions } from "../../src/index.ts";
import { bytesOf, type CaseScene, chars, type ProgramCase } from "./cases.ts";
import { btfOf, type Layout, place } from "./layouts.ts";
import { vmlinuxLike } from "./vmlinux.ts";

const why = "the kernel that is compared with lets nobody load programs at functions (EPERM)";

/** A kernel of our own making. */
const layout: Layout = {
  inode: { size: 128, fields: { i_ino: ["u64", 24], i_mode: ["u16", 90] } },
  qstr: { size: 24, fields: { name: ["pointer", 16] } },
  dentry: { size: 96, fields: { d_name: ["struct qstr", 8], d_parent: ["pointer", 64] } },
  path: { size: 24, fields: { dentry: ["pointer", 8] } },
  file: { size: 160, fields: { f_path: ["struct path", 56], f_inode: ["pointer", 120] } },
};
const kernelBtf = btfOf(layout, { functions: { vfs_read: ["long", "pointer", "pointer", "u64", "pointer"] } });

const FILE = 0xffff_8881_0001_0000n;
const INODE = 0xffff_8881_0002_0000n;
const ENTRY = 0xffff_8881_0003_0000n;
const FOLDER = 0xffff_8881_0004_0000n;
const NAMES = 0xffff_8881_0005_0000n;
const FUNCTION = 0xffff_ffff_8123_4560n;
const [REGULAR, SOCKET] = [0o100644, 0o140755];

/** The file `var/a long name of a file`, in memory as the kernel's types have it. */
function memoryOf(types: Layout, mode = REGULAR): NonNullable<RunOptions["memory"]> {
  const names = new TextEncoder().encode("a long name of a file\0var\0");
  return [
    place(types, "file", FILE, { f_inode: INODE, "f_path.dentry": ENTRY }),
    place(types, "inode", INODE, { i_ino: 0x1_0000_0007n, i_mode: mode }),
    place(types, "dentry", ENTRY, { "d_name.name": NAMES, d_parent: FOLDER }),
    place(types, "dentry", FOLDER, { "d_name.name": NAMES + 22n, d_parent: FOLDER }),
    { address: NAMES, bytes: names },
  ];
}

const task = { pid: 8, tgid: 80 };
const WANTED = 4096n;
const args = [FILE, 0x7f00_0000_0000n, WANTED, 0n];

/** A read that begins and, after so many milliseconds, has returned. */
function read(types: Layout, milliseconds: number): (scene: CaseScene) => void {
  return ({ object, sleep }) => {
    object.program("read_begins").run({ args, task, memory: memoryOf(types) });
    sleep(milliseconds);
  };
}

function ended(types: Layout, result: bigint, more: Partial<RunOptions> = {}): RunOptions {
  return { args: [...args, result], task, memory: memoryOf(types), attachment: { ip: FUNCTION }, ...more };
}

const slots = (which: number): { readonly slots: readonly number[] } => ({
  slots: Array.from({ length: 24 }, (_, i) => (i === which ? 1 : 0)),
});
const none = { kernel: "none", why } as const;

/** 70 ms are between 2^16 and 2^17 us. */
function slow(name: string, types: Layout, btf: Uint8Array): ProgramCase {
  return {
    name,
    program: "read_ends",
    ...none,
    kernelBtf: btf,
    before: read(types, 70),
    runs: [ended(types, 100n)],
    expect: {
      retval: 0,
      globals: { failed: 0n },
      maps: {
        reading: [],
        latencies: [[FUNCTION, slots(16)]],
        slow_reads: [
          bytesOf(70_000_000n, 0x1_0000_0007n, WANTED, 100n, 8, chars("a long name of a fi", 20), chars("var", 16)),
        ],
      },
    },
  };
}

const real = vmlinuxLike(layout, ["vfs_read"]);

export const cases: readonly ProgramCase[] = [
  slow("a slow read, with its file and folder", layout, kernelBtf),
  ...(real === undefined
    ? []
    : [slow("the same in the types of the kernel that runs here", real.layout, real.kernelBtf)]),
  {
    name: "a read that is quick is only counted",
    program: "read_ends",
    ...none,
    kernelBtf,
    load: { globals: { slow_from: 3_000_001n } },
    before: read(layout, 3),
    runs: [ended(layout, 0n)],
    expect: { retval: 0, maps: { slow_reads: [], latencies: [[FUNCTION, slots(11)]] } },
  },
  {
    name: "one that failed is not",
    program: "read_ends",
    ...none,
    kernelBtf,
    load: { globals: { slow_from: 1n << 40n } },
    before: read(layout, 3),
    runs: [ended(layout, -5n)],
    expect: { retval: 0, globals: { failed: 1n }, maps: { reading: [], latencies: [] } },
  },
  {
    name: "what has not begun here does not end here",
    program: "read_ends",
    ...none,
    kernelBtf,
    before: read(layout, 3),
    runs: [ended(layout, 1n, { task: { pid: 9, tgid: 80 } })],
    expect: { retval: 0, maps: { latencies: [], slow_reads: [] } },
  },
  {
    name: "sockets are no files",
    program: "read_begins",
    ...none,
    kernelBtf,
    runs: [{ args, task, memory: memoryOf(layout, SOCKET) }],
    expect: { retval: 0, maps: { reading: [] } },
  },
  {
    name: "memory that is not there reads as zero, as in the kernel",
    program: "read_begins",
    ...none,
    kernelBtf,
    runs: [{ args, task }],
    expect: { retval: 0, maps: { reading: [] } },
  },
];
