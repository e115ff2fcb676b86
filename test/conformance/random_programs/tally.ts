/** What came of random programs: of each one, and of a run. */

/** Of one program. Only what the kernel takes is compared. */
export type Outcome =
  | { readonly kind: "compiled"; readonly instructions: number }
  /** No difference, but the interpreter ran it where compiled code was wanted. */
  | { readonly kind: "interpreted"; readonly instructions: number; readonly why: string }
  | { readonly kind: "refused"; readonly instructions: number; readonly why: string }
  | { readonly kind: "different"; readonly instructions: number; readonly what: string };

/** Of a run. */
export interface ProgramTally {
  readonly seed: number;
  count: number;
  instructions: number;
  differences: number;
  /** Programs that the kernel refused, by the last line of its log with the numbers taken out. */
  readonly refused: Map<string, number>;
  /** Of those that the kernel took and that made no difference: that ran as compiled code. */
  compiled: number;
  /** And why the interpreter ran the others in its place, numbers taken out. */
  readonly interpreted: Map<string, number>;
  /** The numbers of programs that the kernel fell over, which count nowhere else. */
  readonly fallen: number[];
}

/** Classes of refusals that are told. */
const CLASSES = 20;

export function emptyTally(seed: number): ProgramTally {
  return {
    seed,
    count: 0,
    instructions: 0,
    differences: 0,
    refused: new Map(),
    compiled: 0,
    interpreted: new Map(),
    fallen: [],
  };
}

export function addOutcome(tally: ProgramTally, outcome: Outcome): void {
  tally.count++;
  tally.instructions += outcome.instructions;
  switch (outcome.kind) {
    case "compiled":
      tally.compiled++;
      break;
    case "different":
      tally.differences++;
      break;
    case "interpreted":
    case "refused": {
      const { [outcome.kind]: reasons } = tally;
      const why = withoutNumbers(outcome.why);
      reasons.set(why, (reasons.get(why) ?? 0) + 1);
      break;
    }
    default:
      outcome satisfies never;
  }
}

function refusedOf({ refused }: ProgramTally): number {
  return [...refused.values()].reduce((sum, n) => sum + n, 0);
}

/** That the kernel took. */
export function takenOf(tally: ProgramTally): number {
  return tally.count - refusedOf(tally);
}

/** Per cent of the programs that the kernel took. */
export function acceptedOf(tally: ProgramTally): number {
  return tally.count === 0 ? 0 : (100 * takenOf(tally)) / tally.count;
}

function withoutNumbers(text: string): string {
  return text.replace(/-?0x[0-9a-f]+|-?\d+/g, "N").trim();
}

export const fallText = (seed: number, index: number): string =>
  `the kernel fell over on program ${index} of seed ${seed}, see dmesg: it is left out`;

/** One line for the whole run, and one for each class of refusals. */
export function summary(tally: ProgramTally): string {
  const { seed, count, differences, instructions, refused, compiled, interpreted, fallen } = tally;
  const n = (value: number): string => value.toLocaleString("en");
  const reasons = (of: ReadonlyMap<string, number>): string[] =>
    [...of].sort((a, b) => b[1] - a[1]).map(([reason, times]) => `  ${n(times)} x ${reason}`);
  return [
    `random programs of seed ${seed}: ${n(count)}, ${acceptedOf(tally).toFixed(1)} % accepted by the kernel, ${n(differences)} differences`,
    `${(instructions / Math.max(1, count)).toFixed(0)} instructions each; refused: ${n(refusedOf(tally))}`,
    ...reasons(refused).slice(0, CLASSES),
    `${n(compiled)} of ${n(takenOf(tally))} compiled`,
    ...reasons(interpreted),
    ...fallen.map((index) => fallText(seed, index)),
  ].join("\n");
}
