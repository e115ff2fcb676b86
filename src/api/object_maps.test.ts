import { afterAll, expect, test } from "vitest";
import { kernelHost } from "../../test/kernel.ts";
import { exit, mov64Imm, R0 } from "../insn/index.ts";
import { BPF_F_INNER_MAP, BPF_F_XDP_HAS_FRAGS } from "../uapi/index.ts";
import { BpfHost } from "./bpf_host.ts";
import { u32, u64 } from "./codec/index.ts";
import { createEmbedded } from "./embedded.ts";
import { BpfError } from "./error.ts";

const seam = kernelHost();
const hosts: readonly BpfHost[] = [
  createEmbedded({ memory: 32 << 20 }),
  createEmbedded({ memory: 32 << 20, shared: true }),
  ...(seam === undefined ? [] : [new BpfHost(seam)]),
];
afterAll(() => {
  for (const host of hosts) host.close();
});
const each = test.each(hosts.map((host) => [host.kind, host] as const));
const inner = { type: "hash", key: u32, value: u64, maxEntries: 4 } as const;

/** The error's code and its text. */
function refused(call: () => unknown): [string, string] {
  try {
    call();
  } catch (error) {
    if (error instanceof BpfError) return [error.code, error.message];
    throw error;
  }
  return ["", ""];
}

each("%s: an array of maps gives typed maps back, and holds them", (_kind, host) => {
  const outer = host.createMap({ type: "array_of_maps", inner, maxEntries: 3 });
  const first = host.createMap({ ...inner, name: "first" });
  const { id } = first;
  first.set(7, 70n);
  expect(outer.get(0)).toBeUndefined();
  outer.set(2, first);
  first.close();
  const found = outer.get(2)!;
  expect([found.type, found.name, found.id, found.get(7)]).toEqual(["hash", "first", id, 70n]);
  found.set(8, 80n);
  found.close();
  expect([outer.getId(2), outer.getId(0), outer.has(0), outer.length]).toEqual([id, undefined, false, 3]);
  expect([[...outer], [...outer.keys()], [...outer.ids()]]).toEqual([[[2, id]], [2], [id]]);
  expect(outer.stats()).toMatchObject({ entries: 1, maxEntries: 3 });
  expect([outer.delete(2), outer.delete(2), [...outer]]).toEqual([true, false, []]);
  expect(() => outer.delete(3)).toThrow("index 3 is outside");
  outer.close();
});

each("%s: a hash of maps, by keys", (_kind, host) => {
  const outer = host.createMap({
    type: "hash_of_maps",
    key: u64,
    inner: { type: "array", value: u32, maxEntries: 2 },
    maxEntries: 2,
  });
  const map = host.createMap({ type: "array", value: u32, maxEntries: 2 });
  outer.set(5n, map, { ifExists: "fail" });
  expect(refused(() => outer.set(5n, map, { ifExists: "fail" }))[0]).toBe("EEXIST");
  expect(refused(() => outer.set(6n, map, { ifMissing: "fail" }))[0]).toBe("ENOENT");
  map.set(1, 11);
  const found = outer.get(5n)!;
  expect([found.get(1), [...outer]]).toEqual([11, [[5n, map.id]]]);
  outer.set(6n, map);
  expect(refused(() => outer.set(7n, map))).toEqual(["E2BIG", expect.stringContaining("is full: 2 of 2")]);
  // As it is opened without a shape: by what the maps' BTF says.
  const plain = host.openMap({ fd: outer.fd });
  if (plain.type !== "hash_of_maps") throw new Error(plain.type);
  const [key] = plain.keys();
  const again = plain.get(key)!;
  expect([again.type, again.id]).toEqual(["array", map.id]);
  for (const open of [again, plain, found, map, outer]) open.close();
});

each("%s: many at once, and all", (_kind, host) => {
  const outer = host.createMap({ type: "hash_of_maps", key: u32, inner, maxEntries: 3 });
  const shards = host.createMap({ type: "array_of_maps", inner, maxEntries: 3 });
  const maps = [1, 2, 3].map(() => host.createMap(inner));
  const ids = maps.map((map) => map.id);
  expect([outer.setMany(maps.map((map, i) => [i + 1, map])), outer.count()]).toEqual([3, 3]);
  expect(new Set(outer.ids())).toEqual(new Set(ids));
  expect([shards.setMany(maps.entries()), [...shards.ids()]]).toEqual([3, ids]);
  // One that does not fit: what was put before it stays.
  const other = host.createMap({ ...inner, key: u64 });
  const mixed = [maps[0]!, other, maps[1]!].map((map, i) => [i, map] as const);
  expect(() => shards.setMany(mixed as never)).toThrow(expect.objectContaining({ code: "EINVAL", done: 1, key: 1 }));
  expect([outer.deleteMany([1, 9]), outer.clear(), outer.count()]).toEqual([1, 2, 0]);
  expect([shards.deleteMany([0]), shards.clear(), shards.count()]).toEqual([1, 2, 0]);
  const progs = host.createMap({ type: "prog_array", maxEntries: 4 });
  const pass = host.loadProgram({ type: "xdp", insns: [mov64Imm(R0, 2), exit()], license: "GPL" });
  expect([
    progs.setMany([
      [0, pass],
      [3, pass],
    ]),
    progs.clear(),
    progs.count(),
  ]).toEqual([2, 2, 0]);
  for (const open of [pass, progs, other, ...maps, shards, outer]) open.close();
});

each("%s: what does not fit is named", (_kind, host) => {
  const outer = host.createMap({ type: "array_of_maps", name: "shards", inner, maxEntries: 1 });
  const other = host.createMap({ type: "hash", name: "other", key: u64, value: u64, maxEntries: 8, prealloc: false });
  const put = (): unknown => outer.set(0, other as never);
  expect(refused(put)).toEqual([
    "EINVAL",
    expect.stringContaining(
      "cannot put into array_of_maps map `shards`: hash map `other` has keySize 8 bytes, `inner` has 4 bytes; flags 0x1 (BPF_F_NO_PREALLOC), `inner` has 0x0",
    ),
  ]);
  const arrays = host.createMap({
    type: "array_of_maps",
    inner: { type: "array", value: u32, maxEntries: 2 },
    maxEntries: 1,
  });
  const long = host.createMap({ type: "array", name: "long", value: u32, maxEntries: 3 });
  expect(refused(() => arrays.set(0, long))[1]).toContain("array map `long` has maxEntries 3, `inner` has 2");
  const loose = { type: "array", value: u32, maxEntries: 2, rawFlags: BPF_F_INNER_MAP } as const;
  const anyLength = host.createMap({ type: "array_of_maps", inner: loose, maxEntries: 1 });
  const three = host.createMap({ ...loose, maxEntries: 3 });
  anyLength.set(0, three);
  const unknown = host.openMap({ fd: outer.fd }, { type: "array_of_maps" });
  expect(refused(() => unknown.set(0, other))[1]).toContain("is not like the map that it was created after");
  for (const open of [unknown, three, anyLength, long, arrays, other, outer]) open.close();
  const nest = { type: "array_of_maps", inner, maxEntries: 1 };
  expect(() => host.createMap({ type: "array_of_maps", inner: nest as never, maxEntries: 1 })).toThrow(
    'inner of array_of_maps is "array_of_maps", expected',
  );
  expect(() => host.createMap({ type: "array_of_maps", maxEntries: 1 } as never)).toThrow(
    "inner of array_of_maps is undefined",
  );
});

each("%s: an array of programs", (_kind, host) => {
  const progs = host.createMap({ type: "prog_array", maxEntries: 4 });
  const insns = [mov64Imm(R0, 2), exit()];
  const pass = host.loadProgram({ type: "xdp", insns, license: "GPL", name: "pass" });
  const frags = host.loadProgram({ type: "xdp", insns, license: "GPL", name: "frags", flags: BPF_F_XDP_HAS_FRAGS });
  progs.set(1, pass).set(3, pass);
  expect([[...progs], progs.getId(0), progs.has(3)]).toEqual([
    [
      [1, pass.id],
      [3, pass.id],
    ],
    undefined,
    true,
  ]);
  expect(refused(() => progs.set(0, frags))).toEqual([
    "EINVAL",
    expect.stringContaining("xdp program `frags` is not of the kind"),
  ]);
  expect(refused(() => progs.set(4, pass))).toEqual(["E2BIG", expect.stringContaining("index 4 is outside")]);
  expect([progs.delete(3), progs.delete(3), [...progs.ids()]]).toEqual([true, false, [pass.id]]);
  for (const open of [progs, pass, frags]) open.close();
});

each("%s: nothing stays open", (_kind, host) => {
  const before = host.leaks();
  const outer = host.createMap({ type: "array_of_maps", inner, maxEntries: 1 });
  expect(() => host.createMap({ type: "array_of_maps", inner, maxEntries: 0 })).toThrow("maxEntries is 0");
  outer.close();
  expect(host.leaks()).toEqual(before);
});
