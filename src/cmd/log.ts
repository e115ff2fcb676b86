/** The text log that BTF_LOAD and PROG_LOAD write into a buffer of the caller's: why something was refused. */
import type { Kernel } from "../kern/kernel.ts";
import { EFAULT, EINVAL, ENOSPC } from "../uapi/index.ts";
import { putU32 } from "./attr.ts";

export interface UserLogAttr {
  /** 0: no log. Bits 1 and 2 more words, 4 statistics, 8 fixed buffer. */
  readonly level: number;
  readonly buffer: number;
  readonly size: number;
  /** Where log_true_size of the attributes lies; 0: the caller's attributes end before it. */
  readonly trueSize: number;
}

export interface UserLog {
  readonly line: (text: string) => void;
  /** Writes the log out. Returns `ret`, or -ENOSPC, -EFAULT in its place when the log did not fit, could not be written. */
  readonly end: (ret: number) => number;
}

const LEVEL_MASK = 15;
const BPF_LOG_FIXED = 8;
const SIZE_MAX = 0xffff_ffff >>> 2;

/** A log into the caller's buffer, or -EINVAL: level, size and buffer contradict each other. */
export function userLog(kernel: Kernel, attr: UserLogAttr): UserLog | number {
  const { level, buffer, size } = attr;
  if ((buffer !== 0) !== (size !== 0)) return -EINVAL;
  if (buffer !== 0 && level === 0) return -EINVAL;
  if (level & ~LEVEL_MASK || size > SIZE_MAX) return -EINVAL;
  let text = "";
  return {
    line: (line) => {
      text += `${line}\n`;
    },
    end: (ret) => {
      const bytes = new TextEncoder().encode(`${text}\0`);
      const told = level === 0 ? 0 : bytes.length;
      if (attr.trueSize !== 0 && putU32(kernel, attr.trueSize, told) !== 0) return -EFAULT;
      if (level === 0 || buffer === 0) return ret;
      const n = Math.min(size, bytes.length);
      if (!kernel.userOk(buffer, n, true)) return -EFAULT;
      // What does not fit is the beginning, unless the caller wants that.
      const from = level & BPF_LOG_FIXED ? 0 : bytes.length - n;
      kernel.mem.u8.set(bytes.subarray(from, from + n), buffer);
      kernel.mem.u8[buffer + n - 1] = 0;
      return n < bytes.length ? -ENOSPC : ret;
    },
  };
}
