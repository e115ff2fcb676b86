/** One file of lcov's format that several processes add to. */
import { mkdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { dirname } from "node:path";
import { CoverageSums, type FileCoverage, parseLcov, toLcov } from "../index.ts";

const LOCK_WAIT = 10;
/** Who holds the lock for longer than this, in milliseconds, is dead. */
const LOCK_STALE = 10_000;

/** Adds coverage to a file of the same run, or replaces one of another. Several processes may do so at once. */
export function addToFile(file: string, run: string, files: readonly FileCoverage[]): void {
  mkdirSync(dirname(file), { recursive: true });
  const lock = `${file}.lock`;
  takeLock(lock);
  try {
    const sums = new CoverageSums();
    sums.add(files);
    const before = parseLcov(contentsOf(file));
    if (before.testName === run) sums.add(before.files);
    writeFileSync(file, toLcov(sums.files(), run));
  } finally {
    rmSync(lock, { recursive: true, force: true });
  }
}

function contentsOf(file: string): string {
  try {
    return readFileSync(file, "utf8");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ENOENT") throw error;
    return "";
  }
}

/** A folder that only one can make. */
function takeLock(lock: string): void {
  for (;;) {
    try {
      mkdirSync(lock);
      return;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "EEXIST") throw error;
      const made = statSync(lock, { throwIfNoEntry: false })?.mtimeMs ?? Date.now();
      if (Date.now() - made > LOCK_STALE) rmSync(lock, { recursive: true, force: true });
      else Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, LOCK_WAIT);
    }
  }
}
