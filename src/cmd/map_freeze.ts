/** BPF_MAP_FREEZE: from then on commands only read the map; programs may still write. There is no way back. */
import { entryMode, entryObject, FMODE_WRITE, getEntry } from "../kern/fds.ts";
import type { Kernel } from "../kern/kernel.ts";
import { hasWriter } from "../kern/use.ts";
import { OBJ_KIND, OBJ_MAP } from "../mem/layout.ts";
import { MAP_FIELDS, MAP_FROZEN, MAP_WRITERS } from "../struct/map.ts";
import { EBADF, EBUSY, EINVAL, ENOTSUPP, EPERM } from "../uapi/index.ts";

export function mapFreeze(kernel: Kernel, attr: number): number {
  const { mem, process } = kernel;
  const entry = getEntry(mem, process, mem.u32[attr >>> 2]!);
  if (entry === 0) return -EBADF;
  const object = entryObject(entry);
  const ret = mem.u32[(object + OBJ_KIND) >>> 2] === OBJ_MAP ? freeze(kernel, object, entryMode(entry)) : -EINVAL;
  kernel.done(object);
  return ret;
}

/** Whether a map can be frozen at all comes before what the fd may do. */
function freeze(kernel: Kernel, map: number, mode: number): number {
  const { u32, atomics } = kernel.mem;
  if (u32[(map + MAP_FIELDS) >>> 2] !== 0) return -ENOTSUPP;
  if ((mode & FMODE_WRITE) === 0) return -EPERM;
  // First the mark, then the look at the writers: one who begins in between sees the mark.
  if (atomics.cas32(map + MAP_FROZEN, 0, 1) !== 0) return -EPERM;
  if (atomics.load32(map + MAP_WRITERS) === 0 && !hasWriter(kernel.mem, map)) return 0;
  atomics.store32(map + MAP_FROZEN, 0);
  return -EBUSY;
}
