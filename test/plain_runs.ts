/** Plain runs beside BPF_PROG_TEST_RUN: the same program as two objects, and all that can be seen of its runs. */
import { InputError } from "../src/errors.ts";
import type { EmbeddedOptions } from "../src/host/embedded_options.ts";
import { BpfError, EmbeddedBpfHost, type Program, RunFault, type RunOptions } from "../src/index.ts";
import type { Insn } from "../src/insn/index.ts";
import { createTestHost } from "./compiled.ts";

export const hostOptions: EmbeddedOptions = { memory: 16 << 20, cpus: 2, seed: 1, clock: "virtual", runBudget: 1000 };
/** A host, and programs on it as two objects: the first has the fast way, the second the command alone. */
export function pairs(more: { readonly shared?: boolean; readonly engine?: "interp" } = {}): {
  readonly host: EmbeddedBpfHost;
  readonly load: (type: string, insns: readonly Insn[]) => readonly Program[];
} {
  const seam = createTestHost({ ...hostOptions, ...more });
  const host = new EmbeddedBpfHost(seam);
  const { plainRun } = seam;
  const load = (type: string, insns: readonly Insn[]): readonly Program[] => {
    seam.plainRun = plainRun;
    const plain = host.loadProgram({ type, name: "under_test", insns, license: "GPL" });
    seam.plainRun = () => () => undefined;
    return [plain, host.openProgram({ id: plain.id })];
  };
  return { host, load };
}

/** All that can be seen of a run. */
export function outcome(program: Program, given: RunOptions): unknown {
  try {
    const { data, ...result } = program.run(given);
    // Compared as text: a Uint8Array is compared byte by byte.
    return { ...result, data: data && Buffer.from(data).toString("base64") };
  } catch (error) {
    if (error instanceof RunFault) {
      const { message, log, stopped, events, engine, whyInterpreted } = error;
      return { message, log, stopped, events, engine, whyInterpreted };
    }
    if (error instanceof BpfError || error instanceof InputError || error instanceof RangeError) {
      return { message: error.message, name: error.name };
    }
    throw error;
  }
}

/** At any place in a word, no byte like its neighbours. */
export function packet(length: number, place = 0): Uint8Array {
  const bytes = new Uint8Array(length + 8 + place).subarray(8 + place);
  for (let i = 0; i < length; i++) bytes[i] = length + i * 7;
  return bytes;
}
