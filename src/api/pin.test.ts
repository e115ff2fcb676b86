/** Pins through the typed API, on every host. On the kernel they are in a bpffs of the test's own. */
import { readFileSync } from "node:fs";
import { afterAll, afterEach, describe, expect, test, vi } from "vitest";
import { EMBEDDED_BPFFS, emptyBpffs } from "../../test/bpffs.ts";
import { onEachHost } from "../../test/hosts.ts";
import { kernelHost } from "../../test/kernel.ts";
import { mountBpffs } from "../../test/mount_bpffs.ts";
import { thrown } from "../../test/thrown.ts";
import {
  BpfError,
  type BpfHost,
  createEmbedded,
  diffSpec,
  type Host,
  IncompatibleMapError,
  InputError,
  ipv4,
  lpmKey,
  type MapSpec,
  struct,
  u16,
  u32,
  u64,
} from "../index.ts";
import { exit, mov64Imm, R0 } from "../insn/index.ts";
import { BPF_OBJ_PIN } from "../uapi/index.ts";

const kernel = kernelHost();
const mount = kernel === undefined ? undefined : mountBpffs();
kernel?.dispose();
afterAll(() => mount?.unmount());

const Flow = struct({ packets: u64, bytes: u64 });
const spec = { type: "hash", name: "flows", key: u32, value: Flow, maxEntries: 16 } as const satisfies MapSpec;

/** `body` gets the host and its bpffs. */
function onEachBpffs(body: (host: BpfHost, dir: string) => void): void {
  onEachHost((host) => {
    const dir = host.kind === "embedded" ? EMBEDDED_BPFFS : (mount?.path ?? "");
    describe.skipIf(dir === "")("bpffs", () => {
      afterEach(() => emptyBpffs(host, dir));
      body(host, dir);
    });
  });
}

onEachBpffs((host, dir) => {
  test("a map is pinned, opened with its types, and dropped", () => {
    const flows = host.createMap(spec);
    flows.set(1, { packets: 1n, bytes: 60n });
    flows.pin(`${dir}/flows`);
    flows.close();
    const again = host.openMap({ pin: `${dir}/flows` }, { type: "hash", key: u32, value: Flow });
    expect(again.get(1)).toEqual({ packets: 1n, bytes: 60n });
    const reader = host.openMap({ pin: `${dir}/flows`, access: "ro" });
    expect(reader.type === "hash" && reader.get(1)).toEqual({ packets: 1n, bytes: 60n });
    expect(thrown(BpfError, () => reader.type === "hash" && reader.delete(1)).code).toBe("EPERM");
    reader.close();
    host.unpin(`${dir}/flows`);
    expect(host.bpffs.readdir(dir)).not.toContain("flows");
    expect(again.get(1)).toEqual({ packets: 1n, bytes: 60n });
    again.close();
    expect(thrown(BpfError, () => again.pin(`${dir}/x`)).message).toContain("hash map `flows` is closed");
    expect(thrown(BpfError, () => host.openMap({ pin: `${dir}/flows` })).message).toBe(
      `cannot open what is pinned at ${dir}/flows: nothing is there\n  BPF_OBJ_GET: ENOENT`,
    );
    expect(thrown(BpfError, () => host.unpin(`${dir}/flows`)).code).toBe("ENOENT");
  });

  test("a program is pinned and opened", () => {
    const pass = host.loadProgram({ type: "xdp", name: "pass", insns: [mov64Imm(R0, 2), exit()], license: "GPL" });
    pass.pin(`${dir}/pass`);
    pass.close();
    const again = host.openProgram({ pin: `${dir}/pass` });
    const { name, type, id } = again;
    expect({ name, type }).toEqual({ name: "pass", type: "xdp" });
    expect(again.run({ data: new Uint8Array(64) }).retval).toBe(2);
    const byId = host.openProgram({ id });
    expect(byId.tag).toBe(again.tag);
    byId.close();
    again.close();
    expect(thrown(BpfError, () => host.openMap({ pin: `${dir}/pass` })).message).toMatch(
      /pass is no map\n {2}BPF_OBJ_GET: EINVAL/,
    );
    expect(thrown(BpfError, () => host.createMap({ ...spec, pin: `${dir}/pass` })).message).toMatch(/is no map/);
    const map = host.createMap({ ...spec, pin: `${dir}/flows` });
    map.close();
    expect(thrown(BpfError, () => host.openProgram({ pin: `${dir}/flows` })).message).toMatch(/flows is no program/);
    expect(thrown(BpfError, () => again.pin(`${dir}/y`)).code).toBe("EBADF");
  });

  test("createMap with a pin makes the map once", () => {
    const first = host.createMap({ ...spec, pin: `${dir}/flows` });
    first.set(1, { packets: 1n, bytes: 60n });
    const second = host.createMap({ ...spec, pin: `${dir}/flows` });
    expect(second.id).toBe(first.id);
    expect(second.get(1)).toEqual({ packets: 1n, bytes: 60n });
    const reader = host.createMap({ ...spec, access: "ro", pin: { path: `${dir}/flows` } });
    expect(reader.get(1)?.packets).toBe(1n);
    expect(() => reader.set(1, { packets: 1n, bytes: 60n })).toThrow(/read only|EPERM/);
    for (const map of [first, second, reader]) map.close();
    // It lives on in its pin.
    const third = host.createMap({ ...spec, pin: `${dir}/flows` });
    expect([...third.keys()]).toEqual([1]);
    third.close();
  });

  test("what the kernel makes of a spec still fits it", () => {
    const specs: MapSpec[] = [
      { type: "lru_hash", key: u32, value: u32, maxEntries: 7, commonLru: false },
      { type: "lpm_trie", key: lpmKey(ipv4), value: u32, maxEntries: 1 },
      { type: "array", value: u32, maxEntries: 3, mmapable: true },
      { type: "percpu_array", value: u16, maxEntries: 3 },
      { type: "bloom_filter", value: u32, maxEntries: 9 },
      { type: "queue", value: u32, maxEntries: 3, access: "ro", progAccess: "ro" },
      { type: "ringbuf", maxEntries: 4096 },
      { type: "user_ringbuf", maxEntries: 4096 },
      { type: "arena", maxEntries: 2, address: 1n << 44n },
      { type: "prog_array", maxEntries: 3 },
      { type: "array_of_maps", inner: { type: "array", value: u32, maxEntries: 1 }, maxEntries: 3 },
      { type: "hash_of_maps", key: u32, inner: { type: "array", value: u32, maxEntries: 1 }, maxEntries: 3 },
      { type: "hash", key: u32, value: u32, maxEntries: 9, prealloc: false, zeroSeed: true, numaNode: 0 },
    ];
    specs.forEach((each, i) => {
      const made = host.createMap({ ...each, pin: `${dir}/m${i}` } as MapSpec);
      const again = host.createMap({ ...each, pin: `${dir}/m${i}` } as MapSpec);
      expect([each.type, again.id]).toEqual([each.type, made.id]);
      made.close();
      again.close();
    });
  });

  test("a pinned map that does not fit: every difference, and what to do", () => {
    const old = host.createMap({ ...spec, pin: `${dir}/flows` });
    const wider = struct({ packets: u64, bytes: u64, drops: u64 });
    const wanted = { ...spec, value: wider, maxEntries: 32, prealloc: false } as const;
    const error = thrown(BpfError, () => host.createMap({ ...wanted, pin: `${dir}/flows` }));
    expect(error).toBeInstanceOf(IncompatibleMapError);
    expect(error.message.split("\n").slice(0, 5)).toEqual([
      `hash map \`flows\` is pinned at ${dir}/flows and is not what was asked for`,
      "  BPF_OBJ_GET: EINVAL",
      "  valueSize: 16 bytes there, 24 bytes wanted",
      "  maxEntries: 16 there, 32 wanted",
      "  flags: 0x0 there, 0x1 (BPF_F_NO_PREALLOC) wanted",
    ]);
    expect(error.message).toMatch(/value: its layout is another\n.*\n.*\n.*drops +u64 at 16 +nothing/);
    expect(error.hint).toContain(`host.unpin("${dir}/flows")`);
    const { differences } = error as IncompatibleMapError;
    expect(differences.map(({ field }) => field)).toEqual(["valueSize", "maxEntries", "flags", "value"]);
    expect(diffSpec(wanted, old.info).map(({ field }) => field)).toEqual(["valueSize", "maxEntries", "flags"]);
    expect(diffSpec(spec, old.info)).toEqual([]);
    // As it is: only where the codecs fit.
    const used = host.createMap({ ...spec, maxEntries: 32, pin: { path: `${dir}/flows`, onIncompatible: "use" } });
    expect([used.id, used.maxEntries]).toEqual([old.id, 16]);
    used.close();
    expect(() => host.createMap({ ...wanted, pin: { path: `${dir}/flows`, onIncompatible: "use" } })).toThrow(
      /codec does not fit its value/,
    );
    expect(() =>
      host.createMap({
        type: "array",
        value: Flow,
        maxEntries: 16,
        pin: { path: `${dir}/flows`, onIncompatible: "use" },
      }),
    ).toThrow(InputError);
    // Another map takes the name.
    const seen: string[] = [];
    const fresh = host.createMap({
      ...wanted,
      pin: {
        path: `${dir}/flows`,
        onIncompatible: (found, existing) => {
          seen.push(existing.name, ...found.map(({ field }) => field));
          return "replace";
        },
      },
    });
    expect(seen).toEqual(["flows", "valueSize", "maxEntries", "flags", "value"]);
    expect(fresh.id).not.toBe(old.id);
    const names = host.bpffs.readdir(dir) as string[];
    expect(names.filter((name) => !name.includes("."))).toEqual(["flows"]);
    const again = host.createMap({ ...wanted, pin: `${dir}/flows` });
    expect(again.id).toBe(fresh.id);
    for (const map of [old, fresh, again]) map.close();
  });

  test("a layout of the same size that means something else does not fit", () => {
    host.createMap({ ...spec, pin: `${dir}/flows` }).close();
    const swapped = struct({ bytes: u64, packets: u64 });
    const error = thrown(BpfError, () => host.createMap({ ...spec, value: swapped, pin: `${dir}/flows` }));
    expect((error as IncompatibleMapError).differences.map(({ field }) => field)).toEqual(["value"]);
    expect(error.message).toMatch(/bytes +u64 at 0 +.* at 8 +offset/);
  });

  test("who loses the race takes the winner's map", () => {
    const path = `${dir}/flows`;
    const { seam } = (host as unknown as { readonly context: { readonly seam: Host } }).context;
    const bpf = seam.bpf.bind(seam);
    let winner = 0;
    // Between our look and our pin somebody else pins.
    const spy = vi.spyOn(seam, "bpf").mockImplementation((cmd, attr, size) => {
      if (cmd === BPF_OBJ_PIN) {
        spy.mockRestore();
        const theirs = host.createMap({ ...spec, pin: path });
        winner = theirs.id;
        theirs.close();
      }
      return bpf(cmd, attr, size);
    });
    const ours = host.createMap({ ...spec, pin: path });
    expect(winner).toBeGreaterThan(0);
    expect(ours.id).toBe(winner);
    ours.close();
  });

  test("errors say what is wrong with the path", () => {
    const map = host.createMap(spec);
    const at = (path: string): string => thrown(BpfError, () => map.pin(path)).message;
    map.pin(`${dir}/taken`);
    host.bpffs.mkdir(`${dir}/d`);
    expect(at(`${dir}/taken`)).toBe(
      [
        `cannot pin hash map \`flows\` at ${dir}/taken: the name is taken`,
        "  BPF_OBJ_PIN: EEXIST",
        `  hint: open it with openMap({ pin }), or drop it: host.unpin("${dir}/taken")`,
      ].join("\n"),
    );
    expect(at(`${dir}/app/v1/flows`)).toContain(`there is no directory ${dir}/app\n`);
    expect(at(`${dir}/d/v1/flows`)).toContain(`hint: host.bpffs.mkdir("${dir}/d/v1")`);
    expect(at(`${dir}/taken/flows`)).toContain(`${dir}/taken is no directory`);
    expect(at(`${dir}/flows.v1`)).toContain("names in bpffs have no dot: flows.v1");
    expect(at(`${dir}/${"x".repeat(300)}`)).toContain("has 300 bytes, 255 are the most");
    expect(at(`/${"x/".repeat(3000)}`)).toContain("the path has 6001 bytes, 4095 are the most");
    expect(at("/sys/fs/flows")).toMatch(/that is not in a bpffs\n {2}BPF_OBJ_PIN: EPERM\n {2}hint: .*\/sys\/fs\/bpf/);
    expect(at("/no/such/dir")).toMatch(/there is no directory \/no\n.*ENOENT\n {2}hint: .*\/sys\/fs\/bpf/);
    expect(thrown(BpfError, () => host.openMap({ pin: `${dir}/d` })).message).toContain("it is a directory");
    expect(thrown(BpfError, () => host.unpin(`${dir}/d`)).message).toContain(
      `it is a directory\n  unlink: EISDIR\n  hint: host.bpffs`,
    );
    expect(() => map.pin("flows")).toThrow(/expected an absolute path/);
    expect(() => host.createMap({ ...spec, pin: "flows" })).toThrow(InputError);
    const inner = { type: "array", value: u32, maxEntries: 1, pin: "by-name" } as const;
    expect(() => host.createMap({ type: "array_of_maps", inner, maxEntries: 1 })).toThrow(
      /inner of array_of_maps has a pin/,
    );
    expect(() => host.createMap({ type: "queue", value: u32, maxEntries: 1, pin: "by-name" })).toThrow(/with a name/);
    map.close();
  });

  test("maps that an object pins by name", () => {
    const object = readFileSync(new URL("../../test/fixtures/bpf/maps.bpf.o", import.meta.url));
    const load = (edit?: (max: { maxEntries: number }) => void): Map<string, number> => {
      const loaded = host.loadObject(object, {
        pinPath: dir,
        programs: [],
        edit: (found) => {
          found.maps = found.maps.filter((map) => map.pinning === "byName");
          for (const map of found.maps) {
            // The source asks for a NUMA node that most machines do not have.
            map.flags = 0;
            edit?.(map);
          }
        },
      });
      const ids = new Map([...loaded.maps].map(([name, map]) => [name, map.id]));
      loaded.close();
      return ids;
    };
    const first = load();
    expect(first.size).toBeGreaterThan(0);
    expect(load()).toEqual(first);
    const error = thrown(BpfError, () =>
      load((map) => {
        map.maxEntries += 1;
      }),
    );
    expect((error as IncompatibleMapError).differences.map(({ field }) => field)).toEqual(["maxEntries"]);
  });
});

test("by-name is the map's name in /sys/fs/bpf, dots as underscores", () => {
  const host = createEmbedded();
  const map = host.createMap({ ...spec, name: "my.flows", pin: "by-name" });
  expect(host.bpffs.readdir("/sys/fs/bpf")).toEqual(["my_flows"]);
  const again = host.createMap({ ...spec, name: "my.flows", pin: { path: "by-name" } });
  expect(again.id).toBe(map.id);
  host.close();
});

test("an object that cannot be loaded leaves no pin", () => {
  const host = createEmbedded();
  const object = readFileSync(new URL("../../test/fixtures/bpf/maps.bpf.o", import.meta.url));
  expect(() =>
    host.loadObject(object, {
      programs: [],
      edit: (found) => {
        found.maps = found.maps.filter((map) => map.pinning === "byName");
        found.maps[0]!.flags = 0;
        found.maps.push({ ...found.maps[0]!, name: "broken", pinning: "none", maxEntries: 0 });
      },
    }),
  ).toThrow(BpfError);
  expect(host.bpffs.readdir("/sys/fs/bpf")).toEqual([]);
  host.close();
});
