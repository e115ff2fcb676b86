/** The same loops in C, compiled where a compiler is at hand, on the very map of the kernel host's side. */
import { execFileSync, spawnSync } from "node:child_process";
import { closeSync, mkdtempSync, openSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { KeySet } from "./keys.ts";
import { compiler } from "./machine.ts";
import type { Side } from "./measure.ts";
import type { RawMap } from "./raw_map.ts";

export const C_LOOP = "kernel, C loop";

export type Operation =
  | "lookup"
  | "update"
  | "delete+insert"
  | "iterate"
  | "batch lookup"
  | "batch update"
  | "batch delete+insert";

export class CLoops {
  readonly #dir: string;
  readonly #program: string;
  readonly #files: number[] = [];

  constructor(dir: string, program: string) {
    this.#dir = dir;
    this.#program = program;
  }

  /** The process gets the map as an fd, so it works on the same elements in the same memory. */
  side(operation: Operation, map: RawMap, keys: KeySet): Side {
    const path = join(this.#dir, `keys${this.#files.length}`);
    writeFileSync(path, keys.words);
    const input = openSync(path, "r");
    this.#files.push(input);
    let first = 0;
    return {
      name: C_LOOP,
      time: (count) => {
        const args = [operation, keys.stride * 4, map.valueBytes, count, first].map(String);
        first = (first + count) % keys.count;
        const { status, stdout, stderr } = spawnSync(this.#program, args, {
          encoding: "utf8",
          stdio: [input, "pipe", "pipe", map.fd],
        });
        if (status !== 0) throw new Error(`${operation} in C: ${stderr.trim()}`);
        return Number(stdout);
      },
    };
  }

  close(): void {
    for (const fd of this.#files) closeSync(fd);
    rmSync(this.#dir, { recursive: true });
  }
}

/** Undefined, and a line that says so, where no compiler is. */
export function compileCLoops(say: (line: string) => void): CLoops | undefined {
  const cc = compiler();
  if (cc === undefined) {
    say("the loops in C are missing: found neither clang nor cc");
    return undefined;
  }
  const dir = mkdtempSync(join(tmpdir(), "bpfmaps-bench-"));
  const program = join(dir, "c_loop");
  try {
    execFileSync(cc.command, ["-O2", "-o", program, "bench/c_loop.c"], { stdio: "pipe" });
  } catch (error) {
    rmSync(dir, { recursive: true });
    say(`the loops in C are missing: ${cc.command} does not compile bench/c_loop.c: ${String(error).split("\n")[0]}`);
    return undefined;
  }
  return new CLoops(dir, program);
}
