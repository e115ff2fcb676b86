/** What happens when the last references to an object go, by its kind. */
import { OBJ_BTF, OBJ_DIR, OBJ_KIND, OBJ_LINK, OBJ_MAP, OBJ_PROG } from "../mem/layout.ts";
import { emptyAll, TIMER_FIELDS } from "../struct/element_fields.ts";
import { destroyDir } from "./bpffs_tree.ts";
import { destroyBtf } from "./btf.ts";
import type { Kernel } from "./kernel.ts";
import { destroyLink } from "./link.ts";
import { destroyMap, entryOfMap } from "./map.ts";
import { destroyProg } from "./prog.ts";

/** The object can no longer be found; takes it and all that it holds away. */
export function destroyObject(kernel: Kernel, object: number): void {
  const kind = kernel.mem.u32[(object + OBJ_KIND) >>> 2];
  if (kind === OBJ_MAP) destroyMap(kernel, object);
  else if (kind === OBJ_BTF) destroyBtf(kernel, object);
  else if (kind === OBJ_PROG) destroyProg(kernel, object);
  else if (kind === OBJ_DIR) destroyDir(kernel, object);
  else if (kind === OBJ_LINK) destroyLink(kernel, object);
}

/** No fd and no pin is left: only programs and other objects hold it, if anything does. Somebody may open it again. */
export function releaseUsers(kernel: Kernel, object: number): void {
  if (kernel.mem.u32[(object + OBJ_KIND) >>> 2] !== OBJ_MAP) return;
  // Their programs may be what holds the map.
  emptyAll(kernel, object, TIMER_FIELDS);
  entryOfMap(kernel, object).ops.map_release_uref(kernel, object);
}
