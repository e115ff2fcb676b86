/** bpf_redirect_map: where an XDP packet goes next, out of a map of devices, CPUs or sockets. */

import type { Kernel } from "../kern/kernel.ts";
import { entryOfMap } from "../kern/map.ts";
import { noteEvent } from "../kern/scene.ts";
import { OBJ_ID } from "../mem/layout.ts";
import { BPF_F_BROADCAST, BPF_FUNC_redirect_map, XDP_ABORTED, XDP_REDIRECT } from "../uapi/index.ts";
import type { Helper } from "./types.ts";

/** The part of the flags that is returned when there is no target: XDP_ABORTED .. XDP_TX. */
const ACTION_MASK = 3;

/** A target is found by the lower half of its key; a broadcast goes to all that there are, also to none. */
function redirectMap(
  kernel: Kernel,
  map: number,
  _key: number,
  _keyHigh: number,
  flags: number,
  flagsHigh: number,
): number {
  const key = _key >>> 0;
  const at = map >>> 0;
  const { ops, traits } = entryOfMap(kernel, at);
  const known = ACTION_MASK | (traits.redirectFlags ?? 0);
  if (flagsHigh !== 0 || (flags & ~known) !== 0) return XDP_ABORTED;
  const found = ops.map_redirect(kernel, at, key) !== 0;
  if (!found && (flags & BPF_F_BROADCAST & known) === 0) return flags & ACTION_MASK;
  noteEvent(kernel.scene, {
    kind: "redirect_map",
    map: kernel.mem.u32[(at + OBJ_ID) >>> 2]!,
    key,
    flags: flags >>> 0,
  });
  return XDP_REDIRECT;
}

export const redirectMapHelpers: Readonly<Record<number, Helper>> = {
  [BPF_FUNC_redirect_map]: {
    name: "bpf_redirect_map",
    since: "4.14",
    gplOnly: false,
    args: ["map", "u64", "u64"],
    result: "errno",
    fn: redirectMap,
  },
};
