import { type CaseScene, type ProgramCase, put } from "./cases.ts";
import { btfOf, type Layout, place } from "./layouts.ts";

const why = "the kernel that is compared with lets nobody load programs at functions (EPERM)";

const layout: Layout = { pt_regs: { size: 168, fields: { si: ["u64", 32] } } };
const kernelBtf = btfOf(layout, { functions: { __x64_sys_openat: ["long", "pointer"] } });

const REGS = 0xffff_c900_0001_0f58n;
const PATH = 0x7fff_0000_1000n;
const task = { pid: 71, tgid: 70 };
const ENOMEM = 12;
const EPERM = 1;

const open = (path: string, before = 0): NonNullable<ProgramCase["runs"]>[number] => ({
  args: [REGS, before],
  task,
  memory: [
    place(layout, "pt_regs", REGS, { si: PATH }),
    { address: PATH, bytes: new TextEncoder().encode(`${path}\0`) },
  ],
});
const rule = (process: number, every: number, prefix: string) => (scene: CaseScene) =>
  put(scene, "rules", process, { every, error: -ENOMEM, opens: 0n, prefix });
const fails = -ENOMEM >>> 0;
const plain = { program: "fail_open", kernel: "none", why, kernelBtf } as const;

export const cases: readonly ProgramCase[] = [
  {
    ...plain,
    name: "every second open below a folder fails",
    before: rule(70, 2, "/tmp/"),
    runs: ["/tmp/a", "/etc/passwd", "/tmp/b", "/tmp/c", "/tmp/d"].map((path) => open(path)),
    expect: {
      retval: [0, 0, fails, 0, fails],
      globals: { injected: 2n, earlier: 0n, last_path: "/tmp/d" },
      maps: { rules: [[70, { every: 2, error: -ENOMEM, opens: 4n, prefix: "/tmp/" }]] },
    },
  },
  {
    ...plain,
    name: "other processes are left alone",
    before: rule(71, 1, ""),
    runs: [open("/tmp/a")],
    expect: { retval: 0, globals: { injected: 0n } },
  },
  {
    ...plain,
    name: "what another program has decided stays",
    before: rule(70, 1, ""),
    runs: [open("/tmp/a", -EPERM), open("/tmp/a")],
    expect: { retval: [-EPERM >>> 0, fails], globals: { injected: 1n, earlier: BigInt(-EPERM) } },
  },
  {
    ...plain,
    name: "a path that cannot be read",
    before: rule(70, 1, ""),
    runs: [{ args: [REGS], task, memory: [place(layout, "pt_regs", REGS, { si: PATH })] }],
    expect: { retval: 0, globals: { injected: 0n } },
  },
];
