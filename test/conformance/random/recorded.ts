/** What Linux 6.18 answered to one seed's calls: digests that stand in for the kernel where bpf(2) is not permitted. */
import { readFileSync, writeFileSync } from "node:fs";

export interface Recording {
  readonly release: string;
  readonly possibleCpus: number;
  readonly pageSize: number;
  readonly seed: number;
  readonly calls: number;
  /** By type, one digest for each batch of calls, in one text. */
  readonly digests: Readonly<Record<string, string>>;
}

const file = new URL("../recorded/random.json", import.meta.url);

export function readRecording(): Recording {
  return JSON.parse(readFileSync(file, "utf8")) as Recording;
}

export function writeRecording(recording: Recording): void {
  writeFileSync(file, `${JSON.stringify(recording, undefined, 2)}\n`);
}
