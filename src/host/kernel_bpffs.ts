/** host.bpffs of the kernel host: the C library's calls on the machine's files. */
import { pathBytes } from "./attr_fields.ts";
import type { Bpffs } from "./host.ts";
import type { Libc } from "./kernel_libc.ts";
import type { NativeMemory } from "./user_memory.ts";

const MODE = 0o777;
/** O_RDONLY | O_DIRECTORY | O_CLOEXEC: generic, and as arm64 has them. */
const openFlags: Readonly<Record<string, number>> = { arm64: 0o40000 | 0o2000000 };
const OPEN_FLAGS = 0o200000 | 0o2000000;
/** Room for entries of getdents64. */
const LIST_BYTES = 32 * 1024;
// struct linux_dirent64
const ENTRY_LENGTH = 16;
const ENTRY_NAME = 19;

/** `opened`: hears of new fds. */
export function kernelBpffs(
  libc: Libc,
  memory: NativeMemory,
  requireOpen: () => void,
  opened: (fd: number) => void,
): Bpffs {
  const result = (ret: number): number => (ret < 0 ? -libc.errno() : ret);
  /** A path that says the same in C, unless the host is closed. */
  const given = (path: string): string => {
    requireOpen();
    pathBytes(path);
    return path;
  };
  const open = (path: string): number => result(libc.open(given(path), openFlags[process.arch] ?? OPEN_FLAGS));
  return {
    mkdir: (path) => result(libc.mkdir(given(path), MODE)),
    rmdir: (path) => result(libc.rmdir(given(path))),
    unlink: (path) => result(libc.unlink(given(path))),
    rename: (from, to) => result(libc.rename(given(from), given(to))),
    readdir: (path) => {
      const fd = open(path);
      if (fd < 0) return fd;
      const names = readNames(libc, memory, fd);
      libc.close(fd);
      return names;
    },
    open: (path) => {
      const fd = open(path);
      if (fd >= 0) opened(fd);
      return fd;
    },
  };
}

function readNames(libc: Libc, memory: NativeMemory, fd: number): string[] | number {
  const names: string[] = [];
  const buffer = memory.alloc(LIST_BYTES);
  try {
    const { bytes } = buffer;
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
    for (;;) {
      const got = libc.getdents64(libc.nrGetdents64, fd, Number(buffer.address), LIST_BYTES);
      if (got < 0) return -libc.errno();
      if (got === 0) return names.filter((name) => name !== "." && name !== "..").sort();
      for (let at = 0; at < got; at += view.getUint16(at + ENTRY_LENGTH, true)) {
        names.push(new TextDecoder().decode(bytes.subarray(at + ENTRY_NAME, bytes.indexOf(0, at + ENTRY_NAME))));
      }
    }
  } finally {
    buffer.free();
  }
}
