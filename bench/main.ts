/** `npm run bench [-- name ...]`: runs the benchmarks named, or all. */
import { benchCodecs } from "./codec.ts";
import { benchMaps } from "./maps.ts";
import { printMachine } from "./measure.ts";

const benchmarks: Readonly<Record<string, () => void>> = {
  maps: benchMaps,
  codec: benchCodecs,
};

const names = process.argv.slice(2);
const unknown = names.filter((n) => !(n in benchmarks));
if (unknown.length > 0) {
  console.error(`no benchmark named ${unknown.join(", ")}: there are ${Object.keys(benchmarks).join(", ")}`);
  process.exitCode = 2;
} else {
  printMachine();
  for (const name of names.length > 0 ? names : Object.keys(benchmarks)) benchmarks[name]?.();
}
