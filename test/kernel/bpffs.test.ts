/** Random calls on names in bpffs, on the embedded host and on the kernel: the same results, and the same tree after each. */
import { afterAll, expect, test } from "vitest";
import { createEmbeddedHost } from "../../src/host/embedded.ts";
import type { Host } from "../../src/host/host.ts";
import * as u from "../../src/uapi/index.ts";
import { EMBEDDED_BPFFS, emptyBpffs } from "../bpffs.ts";
import { kernelHost } from "../kernel.ts";
import { mountBpffs } from "../mount_bpffs.ts";

const ROUNDS = 16;
const CALLS = 150;
/** So deep that no path of the calls leads out of bpffs. */
const BASE = "/1/2/3/4/5/6/7";

interface Side {
  readonly host: Host;
  readonly dir: string;
  /** Where the calls work. */
  readonly base: string;
  /** Two maps, and fds of directories by the number that the calls know. */
  readonly maps: readonly number[];
  readonly dirs: number[];
}

const kernel = kernelHost();
const mount = kernel === undefined ? undefined : mountBpffs();
const embedded = createEmbeddedHost({ memory: 16 << 20, seed: 1, clock: "virtual" });
afterAll(() => {
  mount?.unmount();
  kernel?.dispose();
  embedded.dispose();
});

function side(host: Host, dir: string): Side {
  const attr = { map_type: u.BPF_MAP_TYPE_ARRAY, key_size: 4, value_size: 4, max_entries: 1 };
  return {
    host,
    dir,
    base: dir + BASE,
    maps: [host.bpf(u.BPF_MAP_CREATE, attr), host.bpf(u.BPF_MAP_CREATE, attr)],
    dirs: [],
  };
}

/** A name, mostly one of few, so that calls meet. */
function path(random: (below: number) => number): string {
  const names = ["a", "b", "c", "d", "..", ".", "", "x.y"];
  const parts = Array.from({ length: 1 + random(3) }, () => names[random(random(4) === 0 ? names.length : 4)]!);
  return parts.join("/") + (random(10) === 0 ? "/" : "");
}

/** Makes the same call on a side each time it is run: returns what shows. */
function randomCall(random: (below: number) => number): { readonly what: string; run(side: Side): unknown } {
  const [one, two] = [path(random), path(random)];
  const [which, dirIndex, relative] = [random(2), random(4), random(4) === 0];
  const at = (s: Side, name: string): string => `${s.base}/${name}`;
  const place = (s: Side): Record<string, number | string> =>
    relative && s.dirs[dirIndex] !== undefined
      ? { pathname: one, file_flags: u.BPF_F_PATH_FD, path_fd: s.dirs[dirIndex] }
      : { pathname: at(s, one) };
  switch (random(9)) {
    case 0:
      return {
        what: `pin ${one} ${relative ? dirIndex : ""}`,
        run: (s) => s.host.bpf(u.BPF_OBJ_PIN, { ...place(s), bpf_fd: s.maps[which]! }),
      };
    case 2:
      return {
        what: `get ${one} ${relative ? dirIndex : ""}`,
        run: (s) => {
          const fd = s.host.bpf(u.BPF_OBJ_GET, place(s));
          return fd < 0 ? fd : mapOf(s, fd);
        },
      };
    case 3:
      return { what: `mkdir ${one}`, run: (s) => s.host.bpffs.mkdir(at(s, one)) };
    case 4:
      return { what: `rmdir ${one}`, run: (s) => s.host.bpffs.rmdir(at(s, one)) };
    case 5:
    case 1:
      return { what: `unlink ${one}`, run: (s) => s.host.bpffs.unlink(at(s, one)) };
    case 6:
    case 7:
      return { what: `rename ${one} ${two}`, run: (s) => s.host.bpffs.rename(at(s, one), at(s, two)) };
    default:
      return {
        what: `open ${one} as ${dirIndex}`,
        run: (s) => {
          const fd = s.host.bpffs.open(at(s, one));
          if (fd < 0) return fd;
          const old = s.dirs[dirIndex];
          if (old !== undefined) s.host.close(old);
          s.dirs[dirIndex] = fd;
          return 0;
        },
      };
  }
}

function idOf(host: Host, fd: number): number {
  const info = new Uint8Array(8);
  host.bpf(u.BPF_OBJ_GET_INFO_BY_FD, { bpf_fd: fd, info_len: 8, info });
  return new DataView(info.buffer).getUint32(4, true);
}

/** Which of the side's maps an fd is, which is closed. */
function mapOf({ host, maps }: Side, fd: number): string {
  const id = idOf(host, fd);
  host.close(fd);
  return `map ${maps.findIndex((map) => idOf(host, map) === id)}`;
}

/** The whole tree: paths of directories, and of pins with what is pinned. */
function tree(s: Side, dir: string = s.base, prefix = ""): string[] {
  const names = s.host.bpffs.readdir(dir);
  if (typeof names === "number") return [`${prefix}: ${names}`];
  return names
    .filter((name) => !name.includes("."))
    .flatMap((name) => {
      const fd = s.host.bpf(u.BPF_OBJ_GET, { pathname: `${dir}/${name}` });
      if (fd >= 0) return [`${prefix}${name} ${mapOf(s, fd)}`];
      return [`${prefix}${name}/`, ...tree(s, `${dir}/${name}`, `${prefix}${name}/`)];
    });
}

test.skipIf(mount === undefined)(`${ROUNDS} times ${CALLS} random calls`, () => {
  const sides = [side(embedded, EMBEDDED_BPFFS), side(kernel!, mount!.path)];
  let seed = 1;
  const random = (below: number): number => {
    seed = (Math.imul(seed, 1664525) + 1013904223) >>> 0;
    return Math.floor((seed / 2 ** 32) * below);
  };
  const seen = new Map<string, number>();
  for (let round = 0; round < ROUNDS; round++) {
    const calls: string[] = [];
    for (const { host, dir } of sides) {
      for (let end = 2; end <= BASE.length; end += 2) host.bpffs.mkdir(dir + BASE.slice(0, end));
    }
    for (let i = 0; i < CALLS; i++) {
      const call = randomCall(random);
      const [ours, theirs] = sides.map((s) => call.run(s));
      calls.push(`${call.what}: ${theirs}`);
      const kind = `${call.what.split(" ")[0]} ${theirs}`;
      seen.set(kind, (seen.get(kind) ?? 0) + 1);
      if (ours !== theirs) expect.fail(`round ${round}: got ${ours} after\n${calls.join("\n")}`);
      if (i % 10 === 9) expect(tree(sides[0]!), calls.join("\n")).toEqual(tree(sides[1]!));
    }
    for (const s of sides) {
      for (const fd of s.dirs.splice(0)) if (fd !== undefined) s.host.close(fd);
      emptyBpffs(s.host, s.dir);
    }
  }
  for (const s of sides) for (const fd of s.maps) s.host.close(fd);
  expect(embedded.openFds()).toEqual([]);
  expect(embedded.bpf(u.BPF_MAP_GET_NEXT_ID, { start_id: 0 })).toBe(-u.ENOENT);
  // Nothing is compared that never happens.
  expect(seen.size).toBeGreaterThan(30);
});

test.skipIf(mount === undefined)("an fd of a directory shows what the kernel's does", () => {
  const texts = [side(embedded, EMBEDDED_BPFFS), side(kernel!, mount!.path)].map(({ host, dir, maps }) => {
    const fd = host.bpffs.open(dir);
    const text = String(host.fdinfo(fd)).split("\n");
    for (const each of [fd, ...maps]) host.close(each);
    // What the embedded host leaves out.
    return text.filter((line) => !/^(mnt_id|ino):/.test(line));
  });
  expect(texts[0]).toEqual(texts[1]);
});
