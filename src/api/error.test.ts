/** What errors say: the numbers, the call, and what to do. The same on every host. */
import { expect, test } from "vitest";
import { onEachHost } from "../../test/hosts.ts";
import { thrown } from "../../test/thrown.ts";
import {
  BPF_F_NO_PREALLOC,
  BPF_F_NUMA_NODE,
  BPF_F_RDONLY_PROG,
  BPF_F_WRONLY_PROG,
  BpfError,
  type BpfHost,
  bytes,
  createEmbedded,
  InputError,
  ipv4,
  lpmKey,
  type MapSpec,
  struct,
  u8,
  u16,
  u32,
  u64,
} from "../index.ts";

onEachHost((host: BpfHost) => {
  test("a full map", () => {
    const name = "flows";
    const hash = host.createMap({ type: "hash", name, key: u32, value: u8, maxEntries: 2 });
    const error = thrown(BpfError, () => hash.set(1, 1).set(2, 2).set(3, 3));
    expect(error.message).toBe(
      "hash map `flows` is full: 2 of 2\n  BPF_MAP_UPDATE_ELEM: E2BIG\n  hint: use lru_hash, or raise maxEntries",
    );
    expect(error).toMatchObject({
      name: "BpfError",
      code: "E2BIG",
      errno: 7,
      cmd: "BPF_MAP_UPDATE_ELEM",
      map: { name, type: "hash", id: hash.id, maxEntries: 2 },
      hint: "use lru_hash, or raise maxEntries",
    });
    const trie = host.createMap({ type: "lpm_trie", name, key: lpmKey(ipv4), value: u8, maxEntries: 1 });
    const set = (data: string): unknown => trie.set({ prefixLen: 32, data }, 1);
    set("10.0.0.1");
    expect(thrown(BpfError, () => set("10.0.0.2"))).toMatchObject({
      code: "ENOSPC",
      message: expect.stringContaining("lpm_trie map `flows` is full: 1 of 1"),
    });
    const queue = host.createMap({ type: "queue", value: u8, maxEntries: 1 });
    expect(thrown(BpfError, () => queue.push(1).push(2)).message).toContain(`queue map ${queue.id} is full: 1 of 1`);
    expect(thrown(BpfError, () => queue.push(2)).hint).toContain("whenFull");
    for (const map of [hash, trie, queue]) map.close();
  });

  test("an index outside", () => {
    const array = host.createMap({ type: "array", name: "stats", value: u8, maxEntries: 4 });
    expect(thrown(BpfError, () => array.set(7, 1)).message).toMatch(
      /^index 7 is outside array map `stats`: max_entries 4\n/,
    );
    array.close();
  });

  test("keys that are there, or not", () => {
    const key = struct({ saddr: ipv4, port: u16, id: u64, raw: bytes(2) });
    const map = host.createMap({ type: "hash", name: "m", key, value: u8, maxEntries: 4 });
    const at = { saddr: "10.0.0.1", port: 80, id: 5n, raw: Uint8Array.of(1, 255) };
    map.set(at, 1);
    const exists = thrown(BpfError, () => map.set(at, 1, { ifExists: "fail" }));
    expect(exists.message).toContain(
      'key {"saddr":"10.0.0.1","port":80,"id":"5","raw":"01ff"} is in hash map `m` already',
    );
    expect(exists.code).toBe("EEXIST");
    const missing = thrown(BpfError, () => map.set({ ...at, port: 1 }, 1, { ifMissing: "fail" }));
    expect(missing.message).toContain("is not in hash map `m`");
    expect(missing.code).toBe("ENOENT");
    map.close();
  });

  const refused: readonly (readonly [rule: RegExp, code: string, spec: MapSpec])[] = [
    [/maxEntries is 0; at least 1 is needed/, "EINVAL", { type: "hash", key: u32, value: u8, maxEntries: 0 }],
    [/the key has no bytes/, "EINVAL", { type: "hash", key: bytes(0), value: u8, maxEntries: 1 }],
    [/the value has no bytes/, "EINVAL", { type: "array", value: bytes(0), maxEntries: 1 }],
    [
      /key and value have 5000004 bytes, 4194255/,
      "E2BIG",
      { type: "hash", key: u32, value: bytes(5e6), maxEntries: 1 },
    ],
    [/40000 bytes a CPU, 32768/, "E2BIG", { type: "percpu_array", value: bytes(40_000), maxEntries: 1 }],
    [/40000 bytes a CPU, 32768/, "E2BIG", { type: "percpu_hash", key: u8, value: bytes(40_000), maxEntries: 1 }],
    [/40000 bytes a CPU, 32768/, "E2BIG", { type: "lru_percpu_hash", key: u8, value: bytes(40_000), maxEntries: 1 }],
    [
      /do not take the flags 0x1$/m,
      "ENOTSUPP",
      { type: "lru_percpu_hash", key: u8, value: u8, maxEntries: 1, rawFlags: BPF_F_NO_PREALLOC },
    ],
    [/5000000 bytes, 4194304/, "E2BIG", { type: "queue", value: bytes(5e6), maxEntries: 1 }],
    [/5000000 bytes, 4194304/, "E2BIG", { type: "bloom_filter", value: bytes(5e6), maxEntries: 1 }],
    [
      /the key has 304 bytes; 5 to 260/,
      "EINVAL",
      { type: "lpm_trie", key: lpmKey(bytes(300)), value: u8, maxEntries: 1 },
    ],
    [/16 hashes, 15 are the most/, "EINVAL", { type: "bloom_filter", value: u8, maxEntries: 1, hashes: 16 }],
    [
      /maxEntries is 5000 bytes; a ring has a power of two, at least 4096/,
      "EINVAL",
      { type: "ringbuf", maxEntries: 5000 },
    ],
    [/maxEntries is 2048 bytes; a ring/, "EINVAL", { type: "ringbuf", maxEntries: 2048 }],
    [
      /do not take the flags 0x1$/m,
      "ENOTSUPP",
      { type: "lru_hash", key: u8, value: u8, maxEntries: 1, rawFlags: BPF_F_NO_PREALLOC },
    ],
    [/do not take the flags 0x1$/m, "EINVAL", { type: "array", value: u8, maxEntries: 1, rawFlags: BPF_F_NO_PREALLOC }],
    [
      /programs could neither read nor write it/,
      "EINVAL",
      { type: "array", value: u8, maxEntries: 1, rawFlags: BPF_F_RDONLY_PROG | BPF_F_WRONLY_PROG },
    ],
    [/NUMA node 9 is not there/, "EINVAL", { type: "array", value: u8, maxEntries: 1, numaNode: 9 }],
    [
      /do not take the flags 0x4$/m,
      "EINVAL",
      { type: "percpu_array", value: u8, maxEntries: 1, rawFlags: BPF_F_NUMA_NODE },
    ],
  ];

  test.each(refused)("creation says which rule is broken: %s", (rule, code, spec) => {
    const error = thrown(BpfError, () => host.createMap(spec));
    expect(error).toMatchObject({ code, cmd: "BPF_MAP_CREATE", map: { type: spec.type, id: 0 } });
    expect(error.message).toMatch(rule);
  });

  test("arguments that never reach the host", () => {
    const map = { type: "hash", key: u32, value: u32, maxEntries: 1 } as const;
    expect(() => host.createMap({ ...map, name: "sixteen_letters_" })).toThrow(InputError);
    expect(() => host.createMap({ ...map, name: "sixteen_letters_" })).toThrow(/16 bytes\).*at most 15/);
    expect(() => host.createMap({ ...map, name: "a-b" })).toThrow(/letters, digits/);
    expect(() => host.createMap({ ...map, maxEntries: 1.5 })).toThrow(/maxEntries is 1.5/);
    expect(() => host.createMap({ ...map, maxEntries: 2 ** 32 })).toThrow(/maxEntries is 4294967296/);
    expect(() => host.createMap({ ...map, type: "hsh" as "hash" })).toThrow(/type is "hsh", expected one of hash/);
  });

  test("a codec that does not fit a map", () => {
    const Key = struct({ saddr: ipv4, port: u16 });
    const map = host.createMap({ type: "hash", name: "flows", key: Key, value: u64, maxEntries: 4 });
    const open = (value: typeof u64 | typeof u32): unknown =>
      host.openMap({ id: map.id }, { type: "hash", key: Key, value });
    (open(u64) as { close(): void }).close();
    expect(() => open(u32)).toThrow(/hash map `flows`: the codec does not fit its value: u32 has 4 bytes.* have 8/);
    const Wrong = struct({ port: u16, saddr: ipv4 });
    expect(() => host.openMap({ id: map.id }, { type: "hash", key: Wrong, value: u64 })).toThrow(
      /does not fit its key\nfield +codec +map +difference\n/,
    );
    expect(() => host.openMap({ id: map.id }, { type: "queue", value: u64 })).toThrow(
      /hash map `flows`: found type hash, expected queue/,
    );
    const bare = host.createMap({ type: "hash", name: "bare", key: Key, value: u64, maxEntries: 4, btf: false });
    expect(bare.info.btfId).toBe(0);
    // Without BTF only the sizes are known.
    host.openMap({ id: bare.id }, { type: "hash", key: Wrong, value: u64 }).close();
    const Short = struct({ saddr: ipv4 });
    expect(() => host.openMap({ id: bare.id }, { type: "hash", key: Short, value: u64 })).toThrow(
      /does not fit its key: struct has 4 bytes.* have 8\nfield {2}offset {2}size {2}type\nsaddr {2}0 {7}4 {5}ipv4\n.*8 bytes: it has no BTF/,
    );
    for (const each of [map, bare]) each.close();
  });

  test("maps that are not there", () => {
    expect(thrown(BpfError, () => host.openMap({ id: 0x7fff_fff0 }))).toMatchObject({
      code: "ENOENT",
      cmd: "BPF_MAP_GET_FD_BY_ID",
    });
    expect(thrown(BpfError, () => host.openMap({ fd: 999 }))).toMatchObject({ code: "EBADF" });
    const program = host.loadProgram({
      type: "xdp",
      insns: Uint8Array.of(0xb7, 0, 0, 0, 2, 0, 0, 0, 0x95, 0, 0, 0, 0, 0, 0, 0),
    });
    expect(thrown(BpfError, () => host.openMap({ fd: program.fd })).message).toContain(`fd ${program.fd} is no map`);
    program.close();
  });
});

test("memory that is used up", () => {
  const host = createEmbedded({ memory: 4 * 1024 * 1024 });
  const error = thrown(BpfError, () =>
    host.createMap({ type: "array", name: "big", value: bytes(4096), maxEntries: 4096 }),
  );
  expect(error.code).toBe("ENOMEM");
  expect(error.message).toContain("cannot create array map `big`: no memory for 4096 elements with 4 + 4096 bytes");
  expect(error.hint).toContain("createEmbedded() more `memory`");
  const hash = host.createMap({ type: "hash", key: u32, value: bytes(65_536), maxEntries: 100, prealloc: false });
  const full = thrown(BpfError, () => {
    for (let i = 0; i < 100; i++) hash.set(i, new Uint8Array(65_536));
  });
  expect(full).toMatchObject({ code: "ENOMEM", hint: "give createEmbedded() more `memory`" });
  host.close();
});
