/** BPF_MAP_FREEZE: from then on commands only read the map; programs may still write. There is no way back. */
import { FMODE_WRITE } from "../kern/fds.ts";
import type { Kernel } from "../kern/kernel.ts";
import { MAP_FROZEN, MAP_WRITERS } from "../struct/map.ts";
import { EBUSY, EPERM } from "../uapi/index.ts";

export function mapFreeze(kernel: Kernel, attr: number): number {
  const { u32, atomics } = kernel.mem;
  const map = kernel.getMap(u32[attr >>> 2]!, FMODE_WRITE);
  if (map < 0) return map;
  let ret = 0;
  // First the mark, then the look at the writers: one who begins in between sees the mark.
  if (atomics.cas32(map + MAP_FROZEN, 0, 1) !== 0) ret = -EPERM;
  else if (atomics.load32(map + MAP_WRITERS) !== 0) {
    atomics.store32(map + MAP_FROZEN, 0);
    ret = -EBUSY;
  }
  kernel.done(map);
  return ret;
}
