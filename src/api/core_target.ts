/** Against which types an object is relocated (CO-RE), and what a load error says when these lack something. */
import { BAD_RELO, type Btf, CoreRelocator, parseBtf } from "../btf/index.ts";
import {
  fieldRelocation,
  needsTarget,
  type ObjectSpec,
  type PoisonedInsn,
  type ProgramSpec,
  placeOf,
  type RelocatedProgram,
  relocateProgram,
} from "../elf/index.ts";
import { InputError } from "../errors.ts";
import type { Host, KernelBtf } from "../host/host.ts";

/** The types that an object's are looked up in: raw BTF, or one that is parsed; `self`, the object's own. */
export type TargetBtf = Uint8Array | Btf | "self";

const HOW =
  'give loadObject `targetBtf` (bpfmaps run: --btf): the bytes of a kernel\'s /sys/kernel/btf/vmlinux, a Btf, or "self" for the layout ' +
  "that the object was compiled with";

export class CoreTarget {
  readonly #host: Host;
  readonly #spec: ObjectSpec;
  readonly #given: TargetBtf | undefined;
  #target: KernelBtf | undefined;
  #relocator: CoreRelocator | undefined;

  constructor(host: Host, spec: ObjectSpec, given: TargetBtf | undefined) {
    this.#host = host;
    this.#spec = spec;
    this.#given = given;
  }

  /** The program as it is to be loaded. `InputError` where there is nothing to relocate it against. */
  relocate(program: ProgramSpec): RelocatedProgram {
    if (program.coreRelos.length === 0) return { program, poisoned: [] };
    const { btf } = this.#spec;
    if (btf === undefined) throw new InputError(`program ${program.name}: found CO-RE relocations without BTF`);
    if (!needsTarget(program)) return relocateProgram(program, new CoreRelocator(btf, undefined));
    this.#target ??= this.#find(btf);
    this.#relocator ??= new CoreRelocator(btf, this.#target?.btf);
    const field = fieldRelocation(program);
    if (this.#target === undefined || (!this.#target.complete && field !== undefined)) {
      const relo = field ?? program.coreRelos[0]!;
      const where = placeOf(program, relo.insn).join(": ");
      throw new InputError(
        `program ${program.name}, ${where}: found a CO-RE relocation (${this.#relocator.describe(relo)}), ` +
          `but this host has no types of a kernel: ${HOW}`,
      );
    }
    const relocated = relocateProgram(program, this.#relocator);
    if (this.#target.complete) return relocated;
    const hint = `this host has no types of a kernel: ${HOW}`;
    return {
      program: relocated.program,
      poisoned: relocated.poisoned.map(({ insn, text }) => ({ insn, text: [...text, hint] })),
    };
  }

  #find(own: Btf): KernelBtf | undefined {
    const given = this.#given;
    if (given === undefined) return this.#host.kernelBtf();
    return { btf: given === "self" ? own : given instanceof Uint8Array ? parseTarget(given) : given, complete: true };
  }
}

function parseTarget(bytes: Uint8Array): Btf {
  try {
    return parseBtf(bytes);
  } catch (error) {
    if (!(error instanceof InputError)) throw error;
    throw new InputError(`loadObject: targetBtf: ${error.message}`, { cause: error });
  }
}

/** What a log says of an instruction that was poisoned: undefined, the program was refused for something else. */
export function explainPoison(log: string, poisoned: readonly PoisonedInsn[]): readonly string[] | undefined {
  const call = new RegExp(`^(\\d+): .*unknown#${BAD_RELO}$`, "m").exec(log);
  if (call === null) return undefined;
  return poisoned.find(({ insn }) => insn === Number(call[1]))?.text;
}
