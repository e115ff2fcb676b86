/** Every kernel function that programs of this host may call, sorted by name: a loaded call has the index in here. */
import { arenaKfuncs } from "./arena.ts";
import { commonKfuncs } from "./common_kfuncs.ts";
import { cpumaskKfuncs } from "./cpumask.ts";
import { dynptrKfuncs } from "./dynptr_kfuncs.ts";
import { iteratorKfuncs } from "./iterators.ts";
import { listKfuncs } from "./list.ts";
import { objectKfuncs } from "./objects.ts";
import { rbtreeKfuncs } from "./rbtree.ts";
import { sectionKfuncs } from "./sections.ts";
import { resilientLockKfuncs } from "./spin_lock.ts";
import { stringKfuncs } from "./strings.ts";
import { workKfuncs } from "./timer.ts";
import type { Kfunc } from "./types.ts";

export const kfuncTable: readonly Kfunc[] = [
  ...sectionKfuncs,
  ...commonKfuncs,
  ...cpumaskKfuncs,
  ...workKfuncs,
  ...dynptrKfuncs,
  ...arenaKfuncs,
  ...iteratorKfuncs,
  ...stringKfuncs,
  ...objectKfuncs,
  ...listKfuncs,
  ...rbtreeKfuncs,
  ...resilientLockKfuncs,
].sort((a, b) => (a.name < b.name ? -1 : 1));

/** The index of the function with this name, or -1. */
export function kfuncIndex(name: string): number {
  return kfuncTable.findIndex((each) => each.name === name);
}
