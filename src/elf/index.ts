/** ELF object files: sections and symbols, and the maps and programs that they describe. Needs no kernel and no Node. */
export { dataMapName } from "./data_sections.ts";
export { KCONFIG } from "./externs.ts";
export { encodeKconfig, type KconfigValue, parseKconfig } from "./kconfig.ts";
export { globalBytes, insnsWithFds, type ParseObjectOptions, parseObject, requireSupported } from "./object.ts";
export { parseElf } from "./parse.ts";
export {
  fieldRelocation,
  needsTarget,
  type PoisonedInsn,
  placeOf,
  type RelocatedProgram,
  relocateProgram,
} from "./relocate.ts";
export { kindOfSection, type SectionKind } from "./section_names.ts";
export type * from "./spec.ts";
export * from "./types.ts";
