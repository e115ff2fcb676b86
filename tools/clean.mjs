/** Empties dist/: what has no source any more must not be packed. */
import { rmSync } from "node:fs";

rmSync("dist", { recursive: true, force: true });
