/** host.bpffs of the embedded host: the tree in its memory, by paths as the kernel host takes them. */
import { listDir, makeDir, openObject, removeDir, renamePin, rootDir, unlinkPin } from "../kern/bpffs.ts";
import { isDir } from "../kern/bpffs_tree.ts";
import { FMODE_READ } from "../kern/fds.ts";
import type { Kernel } from "../kern/kernel.ts";
import { ENOTDIR } from "../uapi/index.ts";
import { pathBytes } from "./attr_fields.ts";
import type { Bpffs } from "./host.ts";

export function embeddedBpffs(kernel: Kernel, requireOpen: () => void): Bpffs {
  /** The path's bytes, unless the host is closed. */
  const given = (path: string): Uint8Array => {
    requireOpen();
    return pathBytes(path);
  };
  return {
    mkdir: (path) => makeDir(kernel, given(path)),
    rmdir: (path) => removeDir(kernel, given(path)),
    unlink: (path) => unlinkPin(kernel, given(path)),
    rename: (from, to) => renamePin(kernel, given(from), given(to)),
    readdir: (path) => {
      const names = listDir(kernel, given(path));
      return typeof names === "number" ? names : names.map((name) => new TextDecoder().decode(name)).sort();
    },
    open: (path) => {
      const object = openObject(kernel, rootDir(kernel), given(path));
      if (object < 0) return object;
      if (isDir(kernel.mem, object)) return kernel.install(object, FMODE_READ);
      kernel.putUser(object);
      return -ENOTDIR;
    },
  };
}
