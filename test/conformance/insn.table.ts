/** The instruction set as tables, each kind of instruction in a file of its own. `insn.test.ts` runs them everywhere. */
export * from "./insn_alu.table.ts";
export * from "./insn_control.table.ts";
export * from "./insn_jump.table.ts";
export * from "./insn_memory.table.ts";
