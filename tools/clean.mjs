/**
 * Empties dist/: what has no source any more must not be packed. The compiler writes into files that are there and leaves
 * their modes, so the program is made executable here: `npx bpfmaps` in a clone runs it as it is.
 */
import { mkdirSync, rmSync, writeFileSync } from "node:fs";

rmSync("dist", { recursive: true, force: true });
mkdirSync("dist/cli", { recursive: true });
writeFileSync("dist/cli/main.js", "", { mode: 0o755 });
