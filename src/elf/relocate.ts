/** CO-RE relocations of a linked program: its instructions as they are to be where the types are the target's. */
import type { CoreRelocator } from "../btf/core.ts";
import { patchInsn } from "../btf/core_patch.ts";
import { isFieldKind } from "../btf/core_path.ts";
import { InputError } from "../errors.ts";
import { BPF_CORE_TYPE_ID_LOCAL } from "../uapi/index.ts";
import type { CoreRelo, ProgramSpec } from "./spec.ts";

/** An instruction that could not be given what it wants: it must not be reached. */
export interface PoisonedInsn {
  readonly insn: number;
  /** Where it stands, what it wants and what the target lacks, in lines. */
  readonly text: readonly string[];
}

export interface RelocatedProgram {
  readonly program: ProgramSpec;
  readonly poisoned: readonly PoisonedInsn[];
}

/** Whether it asks for anything that a target must tell. */
export function needsTarget(program: ProgramSpec): boolean {
  return program.coreRelos.some(({ kind }) => kind !== BPF_CORE_TYPE_ID_LOCAL);
}

/** The first relocation that asks where fields are. */
export function fieldRelocation(program: ProgramSpec): CoreRelo | undefined {
  return program.coreRelos.find(({ kind }) => isFieldKind(kind));
}

/** A copy of the program, relocated. Throws InputError where the relocation itself is wrong, or the target ambiguous. */
export function relocateProgram(program: ProgramSpec, relocator: CoreRelocator): RelocatedProgram {
  if (program.coreRelos.length === 0) return { program, poisoned: [] };
  const insns = [...program.insns];
  const poisoned: PoisonedInsn[] = [];
  for (const relo of program.coreRelos) {
    const fault = patchInsn(insns, relo.insn, relocator.resolve(relo));
    if (fault === undefined) continue;
    const [at, wanted] = [placeOf(program, relo.insn), relocator.describe(relo)];
    if (!fault.poisoned)
      throw new InputError(`CO-RE: program ${program.name}, ${at.join(": ")}: ${wanted}: ${fault.why}`);
    poisoned.push({
      insn: relo.insn,
      text: [...at, `CO-RE: ${wanted}`, `the target BTF does not have it: ${fault.why}`],
    });
  }
  return { program: { ...program, insns }, poisoned };
}

/** The instruction, and its source line where it has one. */
export function placeOf(program: ProgramSpec, insn: number): string[] {
  const { lines } = program;
  let source: string[] = [];
  for (const line of lines) {
    if (line.insn > insn) break;
    source = [`${line.file}:${line.line}:${line.column}: ${line.text.trim()}`];
  }
  return [`instruction ${insn}`, ...source];
}
