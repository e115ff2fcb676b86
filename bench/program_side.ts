/** A program of bench/programs as a side of a comparison. */
import type { Program } from "../src/index.ts";
import { randomOf } from "../test/random.ts";
import { cpuNs, type Side } from "./measure.ts";

const PACKET = 1500;

export function randomBytes(count: number): Uint8Array {
  const random = randomOf(count);
  return Uint8Array.from({ length: count }, () => random(256));
}

/** Runs over a packet, each of which counts as so many operations. */
export class ProgramSide implements Side {
  readonly name: string;
  readonly few = 1;
  readonly #program: Program;
  readonly #kernel: boolean;
  readonly #operations: number;
  readonly #data = randomBytes(PACKET);

  constructor(name: string, program: Program, kernel: boolean, operations = 1) {
    this.name = name;
    this.#program = program;
    this.#kernel = kernel;
    this.#operations = operations;
  }

  retval(): number {
    return this.#program.run({ data: this.#data }).retval;
  }

  time(count: number): number {
    const repeat = Math.max(1, Math.round(count / this.#operations));
    let mean = 0;
    const ns = cpuNs(() => {
      mean = this.#program.run({ data: this.#data, repeat }).duration!;
    });
    return (this.#kernel ? mean : ns / repeat) / this.#operations;
  }
}
