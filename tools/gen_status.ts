/** Writes the table of map types into README.md: `npm run gen`. Names and releases come from the registry and the UAPI. */
import { readFileSync, writeFileSync } from "node:fs";
import { helperTable } from "../src/helpers/table.ts";
import { laterTypes, mapRegistry } from "../src/maps/registry.ts";
import { type BpfMapType, bpfFuncNames, bpfMapTypeNames, newerThan618 } from "../src/uapi/index.ts";

const BEGIN = "<!-- status:begin -->";
const END = "<!-- status:end -->";

/** The table, one row a map type that Linux 6.18 has. */
function statusTable(): string {
  const types = Object.entries(bpfMapTypeNames).filter(([type, name]) => type !== "0" && !(name in newerThan618));
  const shortName = (name: string): string => name.replace("BPF_MAP_TYPE_", "");
  const rows = types.flatMap(([type, name]) => {
    const entry = mapRegistry[Number(type) as BpfMapType];
    if (entry === undefined) return [];
    const { since, traits } = entry;
    const helpers = traits.helpers
      .filter((id) => id in helperTable)
      .map((id) => bpfFuncNames[id]?.replace("BPF_FUNC_", ""))
      .join(", ");
    return [`| [${shortName(name)}](docs/maps/${shortName(name).toLowerCase()}.md) | ${since} | ${helpers} |`];
  });
  const missing = types.filter(([type]) => mapRegistry[Number(type) as BpfMapType] === undefined);
  const later = Object.entries(laterTypes).map(([type, { since }]) => {
    return `${shortName(bpfMapTypeNames[Number(type)] ?? type)} (${since})`;
  });
  return [
    `The embedded host has ${rows.length} of the ${types.length} map types of Linux 6.18; the kernel host has what the kernel has.`,
    "",
    "| map type | since Linux | for programs |",
    "|---|---|---|",
    ...rows,
    "",
    `Not there yet: ${missing.map(([, name]) => shortName(name)).join(", ")}.`,
    "",
    `Of later kernels, and refused as Linux 6.18 refuses them: ${later.join(", ")}.`,
  ].join("\n");
}

/** A page with the table put between its markers. */
export function withStatus(page: string): string {
  const [from, to] = [page.indexOf(BEGIN), page.indexOf(END)];
  if (from < 0 || to < from) throw new Error(`README.md has no ${BEGIN} ... ${END}`);
  return `${page.slice(0, from + BEGIN.length)}\n${statusTable()}\n${page.slice(to)}`;
}

if (process.argv[2] !== undefined) writeFileSync(process.argv[2], withStatus(readFileSync(process.argv[2], "utf8")));
