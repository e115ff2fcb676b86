/** The command line, in the test's process: a process each would cost more than what it tests. */
import { vi } from "vitest";
import { bpfmaps as commandLine } from "../../src/cli/bpfmaps.ts";

export interface Ended {
  readonly code: number | null;
  readonly out: string;
  readonly err: string;
}

/** What a command printed, and its exit code. */
export async function printed(command: () => Promise<number>): Promise<Ended> {
  const said = { log: "", error: "" };
  for (const to of ["log", "error"] as const)
    vi.spyOn(console, to).mockImplementation((text) => {
      said[to] += `${text}\n`;
    });
  try {
    return { code: await command(), out: said.log, err: said.error };
  } finally {
    vi.restoreAllMocks();
  }
}

export function bpfmaps(...args: string[]): Promise<Ended> {
  return printed(() => commandLine(args));
}
