import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { bpf } from "../cmd/bpf.ts";
import { alloc, memoryUse, POOL_USER } from "../mem/alloc.ts";
import { GRANULE } from "../mem/layout.ts";
import { LEFT } from "../struct/gen.ts";
import { MAP_FIELDS } from "../struct/map.ts";
import * as u from "../uapi/index.ts";
import { attachKernel, createKernel } from "./create.ts";
import { UNKNOWN } from "./element_gen.ts";
import type { Kernel } from "./kernel.ts";
import { detach, reap } from "./leave.ts";

const WHOLE = 32;
const KEY_ONLY = 16;
const HASH = { map_type: u.BPF_MAP_TYPE_HASH, key_size: 4, value_size: 8, max_entries: 16, map_flags: 0 };
const ARRAY = { ...HASH, map_type: u.BPF_MAP_TYPE_ARRAY };
const LPM = { ...HASH, map_type: u.BPF_MAP_TYPE_LPM_TRIE, key_size: 8, map_flags: u.BPF_F_NO_PREALLOC };
type Attr = typeof HASH;

/** A host of one client, its attributes and buffers. */
class User {
  readonly kernel: Kernel;
  readonly attr: number;
  readonly key: number;
  readonly value: number;

  constructor(shared: boolean, patience: number, memory: number = 2 ** 25) {
    this.kernel = createKernel({ memory, cpus: 1, shared, seed: 1, virtualClock: true });
    this.kernel.elements.patience = patience;
    [this.attr, this.key, this.value] = [128, 64, 64].map((size) => alloc(this.kernel.mem, size, POOL_USER)) as [
      number,
      number,
      number,
    ];
  }

  create(attr: Attr): number {
    const { mem } = this.kernel;
    mem.zero(this.attr, 128);
    mem.u32.set(Object.values(attr), this.attr >>> 2);
    return bpf(this.kernel, u.BPF_MAP_CREATE, this.attr, 72);
  }

  /** Attributes of an element command; `words` go over them. */
  fill(fd: number, key: number, value = 0, flags = 0, words: Readonly<Record<number, number>> = {}): void {
    const { mem } = this.kernel;
    mem.zero(this.attr, 128);
    const fields = { 0: fd, 8: this.key, 16: this.value, 24: flags, ...words };
    for (const [at, word] of Object.entries(fields)) mem.u32[(this.attr + Number(at)) >>> 2] = word;
    mem.u32.set([key, key], this.key >>> 2);
    mem.u32.set([value, value], this.value >>> 2);
  }

  lookup(fd: number, key: number): number {
    this.fill(fd, key);
    return bpf(this.kernel, u.BPF_MAP_LOOKUP_ELEM, this.attr, WHOLE);
  }

  update(fd: number, key: number, value: number, flags = 0): number {
    this.fill(fd, key, value, flags);
    return bpf(this.kernel, u.BPF_MAP_UPDATE_ELEM, this.attr, WHOLE);
  }

  delete(fd: number, key: number): number {
    this.fill(fd, key, 0, 0, { 16: 0 });
    return bpf(this.kernel, u.BPF_MAP_DELETE_ELEM, this.attr, KEY_ONLY);
  }

  /** What compiled code alone says. */
  compiled(command: "lookup" | "update" | "delete", fd: number, key: number, value = 0): number {
    this.fill(fd, key, value);
    return this.kernel.elements[command](this.attr);
  }

  get found(): number {
    return this.kernel.mem.u32[this.value >>> 2]!;
  }

  freeze(fd: number): number {
    this.fill(fd, 0, 0, 0, { 8: 0, 16: 0 });
    return bpf(this.kernel, u.BPF_MAP_FREEZE, this.attr, 4);
  }

  mapOf(fd: number): number {
    const map = this.kernel.getMap(fd, 0);
    this.kernel.endMap();
    return map;
  }
}

describe.each([false, true])("shared: %s", (shared) => {
  let host: User;
  beforeEach(() => {
    host = new User(shared, 0);
  });
  afterEach(() => {
    // Whatever ran, nothing is in use.
    expect(host.kernel.mem.u32[host.kernel.use >>> 2]).toBe(0);
    detach(host.kernel);
  });

  test("a shape gets code when its maps were met often enough, others go on as before", () => {
    host.kernel.elements.patience = 3;
    const fd = host.create(HASH);
    for (let i = 0; i < 4; i++) {
      expect(host.compiled("lookup", fd, 1)).toBe(UNKNOWN);
      expect(host.update(fd, 1, 5)).toBe(0);
    }
    expect(host.compiled("lookup", fd, 1)).toBe(0);
    expect(host.found).toBe(5);
    // Another map of the shape at once, another shape not.
    const [again, other] = [host.create({ ...HASH, max_entries: 1000 }), host.create({ ...HASH, key_size: 8 })];
    expect(host.compiled("lookup", again, 1)).toBe(-u.ENOENT);
    expect(host.compiled("lookup", other, 1)).toBe(UNKNOWN);
    expect(host.compiled("lookup", fd, 2)).toBe(-u.ENOENT);
    expect(host.compiled("update", fd, 2, 6)).toBe(0);
    expect(host.lookup(fd, 2)).toBe(0);
    expect(host.found).toBe(6);
    host.fill(fd, 2, 0, 0, { 16: 0 });
    expect(host.kernel.elements.delete(host.attr)).toBe(0);
    expect(host.kernel.elements.delete(host.attr)).toBe(-u.ENOENT);
    expect(host.lookup(fd, 2)).toBe(-u.ENOENT);
  });

  test("arrays and tries", () => {
    const [array, trie, queue] = [
      host.create(ARRAY),
      host.create(LPM),
      host.create({ ...HASH, map_type: u.BPF_MAP_TYPE_QUEUE, key_size: 0 }),
    ];
    for (const fd of [array, trie, queue]) host.lookup(fd, 8);
    expect(host.compiled("update", array, 3, 9)).toBe(0);
    expect(host.compiled("lookup", array, 3)).toBe(0);
    expect(host.found).toBe(9);
    expect(host.compiled("lookup", array, 16)).toBe(-u.ENOENT);
    expect(host.compiled("update", array, 16)).toBe(LEFT);
    expect(host.compiled("delete", array, 3)).toBe(LEFT);
    // prefixlen and address are the same word in these keys: 32 bits of 32.0.0.0.
    expect(host.compiled("lookup", trie, 32)).toBe(-u.ENOENT);
    expect(host.compiled("update", trie, 32, 7)).toBe(LEFT);
    expect(host.update(trie, 32, 7)).toBe(0);
    expect(host.compiled("lookup", trie, 32)).toBe(0);
    expect(host.found).toBe(7);
    // Shorter keys are looked up by the trie's own function.
    expect(host.compiled("lookup", trie, 8)).toBe(LEFT);
    expect(host.compiled("lookup", queue, 0)).toBe(LEFT);
  });

  test("a map that takes the fd and the address of one that went is served as what it is", () => {
    const fd = host.create(HASH);
    for (let i = 0; i < 3; i++) expect(host.update(fd, i, i)).toBe(0);
    const at = host.mapOf(fd);
    for (const [attr, missing] of [
      [{ ...HASH, max_entries: 2 }, -u.ENOENT],
      [ARRAY, 0],
      [{ ...HASH, value_size: 16 }, -u.ENOENT],
      [{ ...HASH, key_size: 2 }, -u.ENOENT],
      [HASH, -u.ENOENT],
    ] as const) {
      host.kernel.close(fd);
      expect(host.compiled("lookup", fd, 1)).toBe(LEFT);
      expect(host.lookup(fd, 1)).toBe(-u.EBADF);
      expect(host.create(attr)).toBe(fd);
      expect(host.mapOf(fd)).toBe(at);
      for (let i = 0; i < 3; i++) expect(host.lookup(fd, 1)).toBe(missing);
      expect(host.update(fd, 1, 44)).toBe(0);
      expect(host.lookup(fd, 1)).toBe(0);
      expect(host.found).toBe(44);
    }
  });

  test("rights of the fd, and a map that is frozen", () => {
    const [readOnly, writeOnly, fd] = [
      host.create({ ...HASH, map_flags: u.BPF_F_RDONLY }),
      host.create({ ...HASH, map_flags: u.BPF_F_WRONLY }),
      host.create(HASH),
    ];
    host.lookup(fd, 1);
    expect(host.compiled("lookup", readOnly, 1)).toBe(-u.ENOENT);
    expect(host.update(readOnly, 1, 1)).toBe(-u.EPERM);
    expect(host.delete(readOnly, 1)).toBe(-u.EPERM);
    expect(host.lookup(writeOnly, 1)).toBe(-u.EPERM);
    expect(host.compiled("update", writeOnly, 1, 1)).toBe(0);
    expect(host.update(fd, 1, 1)).toBe(0);
    expect(host.freeze(fd)).toBe(0);
    expect(host.update(fd, 1, 2)).toBe(-u.EPERM);
    expect(host.delete(fd, 1)).toBe(-u.EPERM);
    expect(host.compiled("lookup", fd, 1)).toBe(0);
    expect(host.found).toBe(1);
  });

  test("values with special fields are left to TypeScript", () => {
    const fd = host.create(HASH);
    host.update(fd, 1, 1);
    const at = (host.mapOf(fd) + MAP_FIELDS) >>> 2;
    host.kernel.mem.u32[at] = 1;
    for (const command of ["lookup", "update", "delete"] as const) expect(host.compiled(command, fd, 1)).toBe(LEFT);
    host.kernel.mem.u32[at] = 0;
    expect(host.compiled("lookup", fd, 1)).toBe(0);
  });

  test("a value that goes where its key or the attributes are", () => {
    const fd = host.create(HASH);
    for (let i = 0; i < 3; i++) expect(host.update(fd, 1, 5)).toBe(0);
    const { mem, elements } = host.kernel;
    const key = host.key + 16;
    const run = (attr: number): number => bpf(host.kernel, u.BPF_MAP_LOOKUP_ELEM, attr, WHOLE);
    // On a shared host the value may be copied more than once, and what has to look for it again needs the others.
    const left = shared ? LEFT : 0;
    for (const [value, taken] of [
      [key - 8, 0],
      [key - 7, left],
      [key, left],
      [key + 3, left],
      [key + 4, 0],
      [host.attr, left],
      [host.attr + 31, left],
      [host.attr + 32, 0],
    ] as const) {
      for (const [lookup, expected] of [
        [elements.lookup, taken],
        [run, 0],
      ] as const) {
        host.fill(fd, 0, 0, 0, { 8: key, 16: value });
        mem.u32.set([0, 0, 1, 0], (key - 8) >>> 2);
        expect([value, lookup(host.attr)]).toEqual([value, expected]);
        if (expected === 0) expect(mem.u8[value]).toBe(5);
        else expect([mem.u32[key >>> 2], mem.u32[host.attr >>> 2]]).toEqual([1, fd]);
      }
    }
  });

  test("whatever is wrong with a call, it is what TypeScript says", () => {
    const plain = new User(shared, Number.POSITIVE_INFINITY);
    const users = [host, plain];
    const fds = users.map((user) =>
      [HASH, ARRAY, LPM, { ...HASH, map_flags: u.BPF_F_RDONLY }].map((a) => user.create(a)),
    );
    expect(fds[0]).toEqual(fds[1]);
    for (const user of users) for (const fd of fds[0]!) for (let i = 0; i < 3; i++) user.update(fd, i, i);
    const nowhere = 0x10;
    // The last bytes of a granule; what lies behind is no user memory, or is.
    const edge = ((host.key >>> 16) + 1) * GRANULE - 2;
    const wrong: Readonly<Record<number, number>>[] = [
      ...[0, 2, 99, 0xffff_ffff].map((fd) => ({ 0: fd })),
      ...[8, 16].flatMap((at) => [{ [at]: nowhere }, { [at]: edge }, { [at + 4]: 1 }, { [at]: 0 }]),
      ...[1, 2, 3, 4, 5, 8].map((flags) => ({ 24: flags })),
      { 28: 1 },
      { 0: 99, 8: nowhere, 24: 1 },
      { 8: nowhere, 16: nowhere },
      { 8: nowhere, 24: 9 },
    ];
    const answers = new Set<number>();
    for (const fd of fds[0]!) {
      for (const cmd of [u.BPF_MAP_LOOKUP_ELEM, u.BPF_MAP_UPDATE_ELEM, u.BPF_MAP_DELETE_ELEM]) {
        for (const words of wrong) {
          for (const key of [1, 77]) {
            for (const size of [WHOLE, KEY_ONLY, 12]) {
              const [is, expected] = users.map((user) => {
                user.fill(fd, key, 5, 0, cmd === u.BPF_MAP_DELETE_ELEM ? { 16: 0, ...words } : words);
                return [bpf(user.kernel, cmd, user.attr, size), user.found];
              });
              expect({ cmd, words, key, size, is }).toEqual({ cmd, words, key, size, is: expected });
              answers.add(expected![0]!);
            }
          }
        }
      }
    }
    expect([...answers].sort((a, b) => a - b)).toEqual(
      [0, u.EPERM, u.ENOENT, u.EBADF, u.EFAULT, u.EEXIST, u.EINVAL, u.E2BIG]
        .map((e) => (e === 0 ? 0 : -e))
        .sort((a, b) => a - b),
    );
    for (const at of [-1, 2 ** 32 + host.attr, 1.5, Number.NaN, 0, host.attr + 1]) {
      const [is, expected] = users.map((user) => {
        user.fill(fds[0]![0]!, 1);
        return bpf(user.kernel, u.BPF_MAP_LOOKUP_ELEM, at, WHOLE);
      });
      expect({ at, is }).toEqual({ at, is: expected });
    }
    detach(plain.kernel);
  });

  test("more shapes than there is code for", () => {
    for (let size = 1; size <= 20; size++) {
      const fd = host.create({ ...HASH, value_size: size });
      expect(host.update(fd, 1, size)).toBe(0);
      expect(host.lookup(fd, 1)).toBe(0);
      expect(host.kernel.mem.u8[host.value]).toBe(size);
      expect(host.compiled("lookup", fd, 1)).toBe(size <= 16 ? 0 : LEFT);
    }
  });
});

test("addresses from 2 GiB on", () => {
  const host = new User(false, 0, 2 ** 32);
  const { mem } = host.kernel;
  const wall = host.create({ ...ARRAY, value_size: 2 ** 20, max_entries: 2200 });
  expect(wall).toBeGreaterThan(0);
  const [hash, array] = [
    host.create({ ...HASH, max_entries: 2 ** 17 }),
    host.create({ ...ARRAY, max_entries: 2 ** 17 }),
  ];
  const far = alloc(mem, 2 ** 17, POOL_USER);
  expect(far).toBeGreaterThan(2 ** 31);
  for (const fd of [hash, array]) {
    for (let i = 0; i < 300; i++) expect(host.update(fd, i, i * 3)).toBe(0);
    host.fill(fd, 7, 0, 0, { 16: far });
    expect(host.kernel.elements.lookup(host.attr)).toBe(0);
    expect(mem.u32[far >>> 2]).toBe(21);
  }
  for (let i = 0; i < 300; i++) expect(host.delete(hash, i)).toBe(0);
  expect(host.lookup(hash, 7)).toBe(-u.ENOENT);
  detach(host.kernel);
});

test("a client that ends, one way or the other, leaves no memory of its own", () => {
  const host = new User(true, Number.POSITIVE_INFINITY);
  const { kernel } = host;
  const fd = host.create(HASH);
  const use = (end: (other: Kernel) => void): void => {
    const other = attachKernel(kernel.mem.wasm, kernel.announce()!);
    other.elements.patience = 0;
    for (let i = 0; i < 3; i++) {
      host.fill(fd, 1);
      expect(bpf(other, u.BPF_MAP_LOOKUP_ELEM, host.attr, WHOLE)).toBe(-u.ENOENT);
    }
    expect(other.elements.lookup(host.attr)).toBe(-u.ENOENT);
    end(other);
  };
  const used: unknown[] = [];
  for (let i = 0; i < 3; i++) {
    use((other) => detach(other));
    use((other) => reap(kernel, other.client));
    used.push(memoryUse(kernel.mem));
  }
  expect(used[2]).toEqual(used[0]);
  // Each client has its own code.
  expect(host.compiled("lookup", fd, 1)).toBe(UNKNOWN);
  detach(kernel);
});
