/** Object files on every host. The fixtures' sources lie beside them in test/fixtures/bpf. */
import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { onEachEngine } from "../../test/hosts.ts";
import { ArrayMap, type HashMap, InputError, type LoadedObject, struct, u32, u64 } from "../index.ts";

const path = (name: string): URL => new URL(`../../test/fixtures/bpf/${name}.bpf.o`, import.meta.url);
const Counts = struct({ packets: u64, bytes: u64 });

/** Ethernet with this protocol. */
function packetOf(proto: number, size: number): Uint8Array {
  const packet = new Uint8Array(size);
  new DataView(packet.buffer).setUint16(12, proto);
  return packet;
}

onEachEngine((host) => {
  test("counter: maps, programs, and variables of every section", () => {
    const object = host.loadObject(path("counter"));
    expect(object.name).toBe("counter");
    expect([...object.maps.keys()]).toEqual(["by_proto", "counter.rodata", "counter.bss", "counter.data"]);
    expect([...object.programs.keys()]).toEqual(["count_packets", "pass_all"]);
    expect(object.globals.toJSON()).toEqual({
      sample_every: 1,
      greeting: "hello",
      total_packets: 0n,
      hits: 0,
      limit: 1000,
      small: 7,
    });
    const count = object.program("count_packets");
    for (const [proto, size] of [
      [0x0800, 60],
      [0x0800, 100],
      [0x86dd, 80],
    ] as const) {
      expect(count.run({ data: packetOf(proto, size) }).retval).toBe(2);
    }
    const byProto = object.map("by_proto");
    if (byProto.type !== "hash") throw new Error(byProto.type);
    // Keys and values are what the file's BTF says.
    expect(new Map(byProto)).toEqual(
      new Map([
        [0x0800, { packets: 2n, bytes: 160n }],
        [0x86dd, { packets: 1n, bytes: 80n }],
      ]),
    );
    expect(object.globals.get("total_packets")).toBe(3n);
    expect(object.globals.get("hits")).toBe(3);
    object.globals.set("limit", 3);
    expect(count.run({ data: packetOf(0x0800, 60) }).retval).toBe(1);
    object.close();
    object.close();
    expect(byProto.closed).toBe(true);
    expect(() => object.globals.get("limit")).toThrow(/closed/);
  });

  test("first values, also of what is frozen then", () => {
    const bytes = readFileSync(path("counter"));
    const object = host.loadObject(bytes, { globals: { sample_every: 5, greeting: "bye", limit: 1 } });
    // Without a path there is no name.
    expect([...object.maps.keys()]).toContain(".rodata");
    const { globals } = object;
    expect([globals.get("sample_every"), globals.get("greeting")]).toEqual([5, "bye"]);
    expect(object.program("count_packets").run({ data: packetOf(1, 60) }).retval).toBe(2);
    expect(object.program("count_packets").run({ data: packetOf(1, 60) }).retval).toBe(1);
    expect(globals.get("hits")).toBe(10);
    // "bye" has no 'h'.
    expect(object.program("pass_all").run({ data: packetOf(1, 60) }).retval).toBe(0);
    const frozen = object.map(".rodata");
    if (!(frozen instanceof ArrayMap)) throw new Error(frozen.type);
    expect(() => frozen.set(0, frozen.get(0))).toThrow(/is frozen/);
    expect(() => globals.set("greeting", "x")).toThrow(
      /`greeting` is in .rodata, which is frozen.*globals: \{ greeting/,
    );
    expect(() => globals.set("limit", -1)).toThrow(/^limit: -1 is out of range for u32/);
    expect(() => globals.get("nothing")).toThrow(/no variable `nothing`; it has sample_every, greeting/);
    expect([globals.has("limit"), globals.has("nothing")]).toEqual([true, false]);
    object.close();
    expect(() => host.loadObject(bytes, { globals: { limit: "many" } })).toThrow(/^limit: u32 takes/);
  });

  test("shapes: codecs of the caller's, checked", () => {
    const object = host.loadObject(path("counter"), {
      shapes: { by_proto: { type: "hash", key: u32, value: Counts } },
      programs: ["count_packets"],
    });
    expect([...object.programs.keys()]).toEqual(["count_packets"]);
    object.program("count_packets").run({ data: packetOf(5, 64) });
    expect(object.map("by_proto").get(5)?.bytes).toBe(64n);
    expect(object.maps.get("by_proto").get(5)?.packets).toBe(1n);
    object.close();
    const Wrong = struct({ bytes: u64, packets: u32 });
    const load = (shape: Parameters<typeof host.openMap>[1]): unknown =>
      host.loadObject(path("counter"), { shapes: { by_proto: shape as never } });
    expect(() => load({ type: "hash", key: u32, value: Wrong })).toThrow(
      /`by_proto`: the codec does not fit its value/,
    );
    expect(() => load({ type: "array", value: Counts })).toThrow(/found type hash, expected array/);
    expect(() => host.loadObject(path("counter"), { shapes: { flows: { type: "hash" } } })).toThrow(
      /no map `flows`; there are by_proto, counter.rodata/,
    );
    expect(() => host.loadObject(path("counter"), { programs: ["count"] })).toThrow(
      /no program `count`; there are count_packets, pass_all/,
    );
  });

  test("edit: anything, before it is created", () => {
    const object = host.loadObject(path("counter"), {
      name: "mine",
      edit: (spec) => {
        for (const map of spec.maps) if (map.name === "by_proto") map.maxEntries = 1;
        spec.programs = spec.programs.slice(0, 1);
      },
    });
    expect(object.map("by_proto").maxEntries).toBe(1);
    expect(object.map("mine.bss")).toBeInstanceOf(ArrayMap);
    expect(object.map("mine.bss").name).toBe("mine.bss");
    expect(object.programs.size).toBe(1);
    const data = packetOf(1, 60);
    for (const proto of [1, 2, 3]) object.program("count_packets").run({ data: packetOf(proto, 60) });
    expect((object.map("by_proto") as HashMap<unknown, unknown>).count()).toBe(1);
    expect(data.length).toBe(60);
    object.close();
  });

  test("maps of the caller's in the place of the object's", () => {
    const shared = host.createMap({ type: "hash", name: "shared", key: u32, value: Counts, maxEntries: 16 });
    const objects = [1, 2].map(() => host.loadObject(path("counter"), { maps: { by_proto: shared } }));
    for (const object of objects) object.program("count_packets").run({ data: packetOf(9, 60) });
    expect(shared.get(9)).toEqual({ packets: 2n, bytes: 120n });
    for (const object of objects) object.close();
    expect(shared.get(9)).toEqual({ packets: 2n, bytes: 120n });
    const load = (by_proto: typeof shared | ReturnType<typeof small>): LoadedObject =>
      host.loadObject(path("counter"), { maps: { by_proto } });
    const small = () => host.createMap({ type: "hash", key: u32, value: u32, maxEntries: 4 });
    const wrong = small();
    expect(() => load(wrong)).toThrow(/map by_proto: found value size 4, expected 16/);
    wrong.close();
    shared.close();
    expect(() => load(shared)).toThrow(/that it is closed/);
    expect(() => host.loadObject(path("counter"), { maps: { nothing: wrong } })).toThrow(/no map `nothing`/);
  });

  test("calls of functions, with BTF and without", () => {
    // Of type sched_cls, which the embedded host does not have yet.
    if (host.kind !== "kernel") return;
    for (const withBtf of [true, false]) {
      const object = host.loadObject(path("calls"), {
        edit: (spec) => {
          if (!withBtf) delete spec.btfBytes;
          // Callbacks want a helper that not every host has.
          spec.programs = spec.programs.filter((program) => program.name !== "use_callbacks");
        },
      });
      const slots = object.map("slots");
      if (!(slots instanceof ArrayMap)) throw new Error(slots.type);
      for (const i of [0, 1, 2, 3]) slots.set(i, BigInt(100 * (i + 1)));
      // leaf(v) = slots[v & 3] + v, middle(v) = leaf(v + 1) * 2
      const leaf = (v: number): number => [100, 200, 300, 400][v & 3]! + v;
      expect(object.program("use_both").run({ data: new Uint8Array(64) }).retval).toBe(leaf(65) * 2 + leaf(3));
      object.close();
    }
  });

  test("programs that throw, and the function that runs then", () => {
    // Only the kernel calls such a function; the embedded host takes programs without one.
    const programs = host.kind === "embedded" ? ["unguarded"] : ["guarded", "unguarded"];
    const object = host.loadObject(path("exceptions"), { programs });
    const run = (name: string, size: number): number => object.program(name).run({ data: new Uint8Array(size) }).retval;
    expect([run("unguarded", 64), run("unguarded", 40)]).toEqual([2, 40]);
    if (host.kind === "kernel") expect([run("guarded", 64), run("guarded", 40)]).toEqual([42, 40]);
    else expect(() => host.loadObject(path("exceptions"))).toThrow(/nothing reaches this instruction/);
    object.close();
  });

  test("what cannot be loaded", () => {
    expect(() => host.loadObject("no/such/file.o")).toThrow(InputError);
    expect(() => host.loadObject("no/such/file.o")).toThrow(/cannot read no\/such\/file.o: ENOENT/);
    expect(() => host.loadObject(new Uint8Array(100))).toThrow(InputError);
    expect(() => host.loadObject(path("unsupported"))).toThrow(/which nothing can resolve/);
    const before = host.leaks().length;
    expect(() => host.loadObject(path("sections"), { programs: ["unknown"] })).toThrow(
      /program unknown: section `no\/such\/section` names no type/,
    );
    const spoil = { edit: (spec: { programs: { insns: unknown[] }[] }) => spec.programs[0]!.insns.pop() };
    expect(() => host.loadObject(path("counter"), spoil as never)).toThrow(/xdp program `count_packets` was refused/);
    expect(host.leaks().length).toBe(before);
  });

  test("sections without BTF are bytes", () => {
    const object = host.loadObject(path("sections_no_btf"), { programs: [] });
    const names = object.globals.names();
    expect(names).toContain("wide");
    expect(object.globals.get("wide")).toEqual(new Uint8Array(BigUint64Array.of(0x1122334455667788n).buffer));
    object.close();
  });

  test("maps of maps, slots, and every other shape", () => {
    const object = host.loadObject(path("maps"), {
      edit: (spec) => {
        for (const map of spec.maps) {
          if (map.name !== "pinned") continue;
          map.numaNode = 0;
          map.pinning = "none";
        }
      },
    });
    const outer = object.map("outer");
    if (outer.type !== "array_of_maps") throw new Error(outer.type);
    const inner = outer.get(0)!;
    expect([inner.name, inner.type, inner.id]).toEqual(["first", object.map("first").type, object.map("first").id]);
    inner.close();
    const data = new Uint8Array(64);
    expect(object.program("target").run({ data }).retval).toBe(2);
    // The tail call reaches `target` through its slot.
    expect(object.program("jump").run({ data }).retval).toBe(2);
    const routes = object.map("routes");
    if (routes.type !== "lpm_trie") throw new Error(routes.type);
    routes.set({ prefixLen: 8, data: Uint8Array.of(10, 0, 0, 0) }, new Uint8Array(8).fill(1));
    expect(routes.lookup(Uint8Array.of(10, 1, 2, 3))).toEqual(new Uint8Array(8).fill(1));
    object.close();
  });
});
