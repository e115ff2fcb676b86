/** Every map type of the registry has its file, its table and its page, and none of these is there without a type. */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { createEmbeddedHost } from "../../src/host/embedded.ts";
import type { AttrObject } from "../../src/host/host.ts";
import type { MinimalAttr } from "../../src/maps/ops.ts";
import { laterTypes, mapRegistry } from "../../src/maps/registry.ts";
import { BPF_MAP_CREATE, type BpfMapType, bpfMapTypeNames, newerThan618 } from "../../src/uapi/index.ts";
import { mapTables, tables } from "../conformance/tables.ts";
import { kernelHost } from "../kernel.ts";

const root = join(import.meta.dirname, "../..");
/** Files of src/maps that are no types. */
const notTypes = ["ops", "registry"];

const kernelNames = Object.keys(mapRegistry).map((type) => bpfMapTypeNames[Number(type)]!);
const names = kernelNames.map((name) => name.replace("BPF_MAP_TYPE_", "").toLowerCase()).sort();

/** Names of a folder's files with this ending, without it. */
function namesIn(folder: string, ending: string): string[] {
  const files = readdirSync(join(root, folder)).filter((f) => f.endsWith(ending) && !f.includes(".test."));
  return files.map((f) => f.slice(0, -ending.length)).sort();
}

test("types of later kernels have a row that says since when, and no entry", () => {
  const rows = Object.entries(laterTypes).map(([type, { since }]) => [bpfMapTypeNames[Number(type)], since]);
  expect(rows).toEqual(Object.entries(newerThan618).filter(([name]) => name.startsWith("BPF_MAP_TYPE_")));
  expect(Object.keys(laterTypes).filter((type) => type in mapRegistry)).toEqual([]);
});

test("src/maps has a file for each type", () => {
  expect(namesIn("src/maps", ".ts").filter((name) => !notTypes.includes(name))).toEqual(names);
});

test("test/conformance/maps has a table for each type, and they are run", () => {
  expect(namesIn("test/conformance/maps", ".table.ts")).toEqual(names);
  expect(mapTables.map((table) => table.type).sort()).toEqual([...kernelNames].sort());
});

test("docs/maps has a page for each type", () => {
  expect(namesIn("docs/maps", ".md")).toEqual(names);
});

const ids = new Set(tables.flatMap((table) => table.cases.map((one) => one.id)));
const firstWords = new Set([...ids].map((id) => id.split(".")[0]));

test.each(names)("the page of %s tells since when, and names cases that exist", (name) => {
  const text = readFileSync(join(root, "docs/maps", `${name}.md`), "utf8");
  const type = Object.keys(mapRegistry)[kernelNames.findIndex((k) => k.endsWith(`_TYPE_${name.toUpperCase()}`))];
  expect(text).toContain(`since Linux ${mapRegistry[Number(type) as keyof typeof mapRegistry]?.since}.`);
  const quoted = [...text.matchAll(/`([a-z_]+)\.([\w.]+)`/g)].filter(([, first]) => firstWords.has(first));
  const cases = quoted.map(([, first, rest]) => `${first}.${rest}`);
  expect(cases.length).toBeGreaterThan(3);
  expect(cases.filter((id) => !ids.has(id))).toEqual([]);
});

/** Attributes as bpf() takes them: without what belongs to another map. */
function plain({ inner: _, ...attr }: MinimalAttr & { readonly map_type: number }): AttrObject {
  return attr;
}

/** Every host that is here takes what an entry calls its smallest attributes. */
test.each(names)("%s: its minimalAttr creates a map", (name) => {
  const type = Number(
    Object.keys(mapRegistry)[kernelNames.findIndex((k) => k.endsWith(`_TYPE_${name.toUpperCase()}`))],
  );
  const { minimalAttr } = mapRegistry[type as BpfMapType]!;
  const hosts = [createEmbeddedHost({ memory: 16 << 20 }), kernelHost()];
  for (const host of hosts) {
    if (host === undefined) continue;
    const { inner } = minimalAttr;
    const inner_map_fd = inner === undefined ? 0 : host.bpf(BPF_MAP_CREATE, plain(inner));
    const fd = host.bpf(BPF_MAP_CREATE, { ...plain({ map_type: type, ...minimalAttr }), inner_map_fd });
    expect(fd, host.kind).toBeGreaterThanOrEqual(0);
    host.dispose();
  }
});
