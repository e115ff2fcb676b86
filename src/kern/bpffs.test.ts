import { expect, test } from "vitest";
import { attachEmbeddedHost, createEmbeddedHost } from "../host/embedded.ts";
import * as u from "../uapi/index.ts";

const MAP = { map_type: u.BPF_MAP_TYPE_ARRAY, key_size: 4, value_size: 4, max_entries: 1 };
const OPTIONS = { memory: 16 << 20, seed: 1, clock: "virtual" } as const;

test("every client sees the pins, which outlive the fds of the one that made them", () => {
  const host = createEmbeddedHost({ ...OPTIONS, shared: true });
  const ticket = host.share();
  const other = attachEmbeddedHost(ticket);
  const fd = other.bpf(u.BPF_MAP_CREATE, MAP);
  expect(other.bpffs.mkdir("/sys/fs/bpf/d")).toBe(0);
  expect(other.bpf(u.BPF_OBJ_PIN, { pathname: "/sys/fs/bpf/d/m", bpf_fd: fd })).toBe(0);
  other.bpf(u.BPF_MAP_UPDATE_ELEM, { map_fd: fd, key: new Uint8Array(4), value: Uint8Array.of(7, 0, 0, 0) });
  other.close(fd);
  other.dispose();
  const again = host.bpf(u.BPF_OBJ_GET, { pathname: "/sys/fs/bpf/d/m" });
  const value = new Uint8Array(4);
  expect(host.bpf(u.BPF_MAP_LOOKUP_ELEM, { map_fd: again, key: new Uint8Array(4), value })).toBe(0);
  expect([...value]).toEqual([7, 0, 0, 0]);
  host.dispose();
});

test.each([false, true])("what the tree took comes back (shared: %s)", (shared) => {
  const host = createEmbeddedHost({ ...OPTIONS, shared });
  const { bpffs } = host;
  const fd = host.bpf(u.BPF_MAP_CREATE, MAP);
  const round = (): void => {
    for (let i = 0; i < 40; i++) {
      expect(bpffs.mkdir(`/sys/fs/bpf/d${i}`)).toBe(0);
      expect(host.bpf(u.BPF_OBJ_PIN, { pathname: `/sys/fs/bpf/d${i}/m`, bpf_fd: fd })).toBe(0);
      expect(bpffs.rename(`/sys/fs/bpf/d${i}/m`, "/sys/fs/bpf/m")).toBe(0);
    }
    expect(bpffs.rename("/sys/fs/bpf/d0", "/sys/fs/bpf/d1")).toBe(0);
    expect(bpffs.rename("/sys/fs/bpf/d1", "/sys/fs/bpf/d2/d")).toBe(0);
    const dir = bpffs.open("/sys/fs/bpf/d2/d");
    expect(bpffs.rmdir("/sys/fs/bpf/d2/d")).toBe(0);
    for (let i = 2; i < 40; i++) expect(bpffs.rmdir(`/sys/fs/bpf/d${i}`)).toBe(0);
    // It holds the directory that it was in, although that is gone too.
    const pin = { bpf_fd: fd, file_flags: u.BPF_F_PATH_FD, path_fd: dir };
    expect(host.bpf(u.BPF_OBJ_PIN, { ...pin, pathname: "../m" })).toBe(-u.ENOENT);
    expect(host.bpf(u.BPF_OBJ_PIN, { ...pin, pathname: "../../n" })).toBe(0);
    host.close(dir);
    expect(bpffs.readdir("/sys/fs/bpf")).toEqual(["m", "n"]);
    for (const name of ["m", "n"]) expect(bpffs.unlink(`/sys/fs/bpf/${name}`)).toBe(0);
  };
  round();
  const before = host.memory();
  round();
  expect(host.memory()).toEqual(before);
  host.close(fd);
  expect(host.openFds()).toEqual([]);
  host.dispose();
});

test("memory out: nothing is named and nothing is taken", () => {
  const host = createEmbeddedHost({ ...OPTIONS, memory: 1 << 20 });
  const fd = host.bpf(u.BPF_MAP_CREATE, MAP);
  const path = (i: number): string => `/sys/fs/bpf/${String(i).padStart(200, "x")}`;
  let made = 0;
  let ret = 0;
  for (; ret === 0; made++) ret = host.bpf(u.BPF_OBJ_PIN, { pathname: path(made), bpf_fd: fd });
  expect(ret).toBe(-u.ENOMEM);
  expect(host.bpffs.mkdir(path(made))).toBe(-u.ENOMEM);
  expect(host.bpffs.rename(path(0), path(made))).toBe(-u.ENOMEM);
  expect((host.bpffs.readdir("/sys/fs/bpf") as string[]).length).toBe(made - 1);
  host.close(fd);
  for (let i = 0; i < made - 1; i++) expect(host.bpffs.unlink(path(i))).toBe(0);
  expect(host.bpf(u.BPF_MAP_GET_NEXT_ID, { start_id: 0 })).toBe(-u.ENOENT);
  host.dispose();
});

test("paths that say something else in C are refused", () => {
  const host = createEmbeddedHost(OPTIONS);
  expect(() => host.bpffs.mkdir("/sys/fs/bpf/a\0b")).toThrow(TypeError);
  host.dispose();
  expect(() => host.bpffs.readdir("/sys/fs/bpf")).toThrow(/disposed/);
});
