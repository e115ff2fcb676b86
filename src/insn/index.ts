/** The BPF instruction set: table, codec, assembler, disassembler, structural checks. Needs no kernel and no Node. */
export * from "./asm.ts";
export { decodeInsns, encodeInsns, INSN_SIZE } from "./codec.ts";
export { type DisasmNames, disassemble, disassembleAll } from "./disasm.ts";
export { Disassembly, type ListingSource, type SourceLine, sourceText } from "./listing.ts";
export { insnTable, LD_IMM64_OPCODE, opcodeOf, variantOf } from "./table.ts";
export type * from "./types.ts";
export {
  addressedFunctions,
  functionStarts,
  type InsnFault,
  type Rules,
  validateInsn,
  validateProgram,
} from "./validate.ts";
