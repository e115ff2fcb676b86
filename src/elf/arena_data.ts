/**
 * Variables in the object's arena (__arena), which compilers put into a section of the address space. They are the first
 * bytes of the one arena that the object declares, as libbpf 1.5 and later have it.
 */
import { BPF_MAP_TYPE_ARENA } from "../uapi/index.ts";
import { globalsOf } from "./data_sections.ts";
import { fail } from "./fail.ts";
import type { Source } from "./source.ts";
import type { GlobalSpec, MapSpec } from "./spec.ts";
import { SHT_PROGBITS } from "./types.ts";

/** The second is what the first compilers that knew address spaces wrote. */
const SECTIONS: readonly string[] = [".addr_space.1", ".arena.1"];
/** Most pages of an arena, and the smallest page that there is: nothing larger fits. */
const MAX_BYTES = 2 ** 32;
const SMALLEST_PAGE = 4096;

export interface ArenaData {
  /** Index of the section. */
  readonly section: number;
  readonly map: MapSpec;
  readonly globals: readonly GlobalSpec[];
}

/** Gives the object's arena its first bytes. Undefined: it has no variables there. */
export function readArenaData(source: Source, maps: readonly MapSpec[]): ArenaData | undefined {
  const found = SECTIONS.flatMap((name) => source.sections.get(name) ?? []);
  const [section, other] = found.filter(({ type, size }) => type === SHT_PROGBITS && size > 0);
  if (section === undefined) return undefined;
  const where = `section ${section.name}`;
  if (other !== undefined) fail(where, `variables in ${other.name} as well`, "one section of variables in the arena");
  const [map, second] = maps.filter(({ type }) => type === BPF_MAP_TYPE_ARENA);
  if (map === undefined) return fail(where, "no map of type ARENA", "the arena that its variables lie in, in .maps");
  if (second !== undefined) fail(where, `the arenas ${map.name} and ${second.name}`, "one");
  const room = Math.min(map.maxEntries * SMALLEST_PAGE, MAX_BYTES);
  if (section.size > room)
    fail(where, `${section.size} bytes`, `at most ${room}: map ${map.name} has ${map.maxEntries} pages`);
  map.initialData = new Uint8Array(section.data);
  return { section: section.index, map, globals: globalsOf(source, section, map.name) };
}
