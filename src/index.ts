/** bpfmaps: BPF maps for TypeScript. The kernel's numbers are here too, by their own names. */
export * from "./api/index.ts";
export type { GlobalSpec, MapSlot, ObjectSpec, ProgramSpec } from "./elf/index.ts";
export { Bug, InputError } from "./errors.ts";
export type { Insn } from "./insn/index.ts";
export * from "./uapi/constants.gen.ts";
export * from "./uapi/errno.ts";
export * from "./uapi/extra.ts";
