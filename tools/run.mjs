/** Runs a TypeScript file of this project: Node 20 cannot. `node tools/run.mjs FILE.ts [args]`. */
import { spawnSync } from "node:child_process";
import { rmSync } from "node:fs";
import { buildSync } from "esbuild";

const [entry, ...args] = process.argv.slice(2);
// Its own: it may start itself again much later, when somebody else has built another one.
const outfile = `node_modules/.cache/bpfmaps/${entry.replace(/\.ts$/, "").replaceAll("/", "_")}.${process.pid}.mjs`;
buildSync({
  entryPoints: [entry],
  bundle: true,
  platform: "node",
  // What Node 20 does not know (`using`) is written in other words.
  target: "node20",
  format: "esm",
  outfile,
  logLevel: "warning",
});
process.exitCode = spawnSync(process.execPath, [outfile, ...args], { stdio: "inherit" }).status ?? 1;
rmSync(outfile);
