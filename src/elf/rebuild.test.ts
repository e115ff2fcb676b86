/** Where clang is at hand, the fixtures compiled now say the same as the committed ones. */
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";
import { fixtureNames, readFixture } from "../../test/fixtures/bpf/read.ts";
import { notRun } from "../../test/kernel.ts";
import { parseObject } from "./object.ts";
import type { ObjectSpec } from "./spec.ts";

const version = spawnSync("clang", ["--version"], { encoding: "utf8" }).stdout ?? "";
const major = Number(/version (\d+)/.exec(version)?.[1]);
const compiles = major >= 12;
if (!compiles) notRun("fixtures compiled anew", "there is no clang of version 12 or later in PATH");

/** What no compiler may change: code generation, type ids and line tables differ between versions. */
function gist(object: ObjectSpec): unknown {
  return {
    license: object.license,
    version: object.version,
    maps: object.maps
      .map(({ keyTypeId, valueTypeId, innerSpec, structOps, ...map }) => ({
        ...map,
        inner: innerSpec?.maxEntries,
        programs: structOps?.programs,
      }))
      .filter((map) => !map.name.startsWith(".rodata.str"))
      .sort((a, b) => (a.name < b.name ? -1 : 1)),
    externs: object.externs.map(({ typeId, ...extern }) => extern),
    globals: object.globals.map(({ name, section, size }) => `${section} ${name} ${size}`).sort(),
    programs: object.programs.map(
      ({ name, section, type, expectedAttachType, flags, unsupported, functions, mapRefs }) => ({
        name,
        section,
        type,
        expectedAttachType,
        flags,
        unsupported: unsupported.length > 0,
        functions: functions.map((fn) => fn.name).sort(),
        maps: [...new Set(mapRefs.map((ref) => ref.map))].sort(),
      }),
    ),
  };
}

test.runIf(compiles)("every fixture", () => {
  const folder = mkdtempSync(`${tmpdir()}/bpf-fixtures-`);
  try {
    const script = fileURLToPath(new URL("../../test/fixtures/bpf/build.sh", import.meta.url));
    const run = spawnSync("sh", [script, folder], { encoding: "utf8" });
    expect(run.stderr).toBe("");
    expect(run.status).toBe(0);
    for (const name of fixtureNames) {
      const built = readFixture(name, folder);
      expect(gist(parseObject(built, { name }))).toEqual(gist(parseObject(readFixture(name), { name })));
    }
  } finally {
    rmSync(folder, { recursive: true });
  }
});
