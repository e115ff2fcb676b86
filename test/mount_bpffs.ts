/**
 * A bpffs of the tests' own on the machine: mounted in a mount namespace that only this thread sees, so that nothing is
 * left behind however the tests end.
 */
import { mkdtempSync, rmdirSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { notRun } from "./kernel.ts";

export interface BpffsMount {
  readonly path: string;
  unmount(): void;
}

const CLONE_NEWNS = 0x20000;
const MS_REC_PRIVATE = 0x4000 | 0x40000;
const MNT_DETACH = 2;

/** Undefined, with a line that says so, where it cannot be mounted. For those who have a kernel host, which needs koffi. */
export function mountBpffs(): BpffsMount | undefined {
  const koffi = createRequire(import.meta.url)("koffi");
  const lib = koffi.load(null);
  const unshare = lib.func("int unshare(int flags)");
  const mount = lib.func("int mount(str from, str to, str type, ulong flags, void *data)");
  const umount2 = lib.func("int umount2(str path, int flags)");
  const path = mkdtempSync(join(tmpdir(), "bpfmaps-bpffs-"));
  const mounted =
    unshare(CLONE_NEWNS) === 0 &&
    mount("none", "/", null, MS_REC_PRIVATE, null) === 0 &&
    mount("bpf", path, "bpf", 0, null) === 0;
  if (!mounted) {
    notRun("pins on the kernel", `bpffs cannot be mounted: errno ${koffi.errno()}`);
    rmdirSync(path);
    return undefined;
  }
  const unmount = (): void => {
    umount2(path, MNT_DETACH);
    rmdirSync(path);
  };
  return { path, unmount };
}
