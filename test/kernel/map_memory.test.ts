/** `kernelMapMemory` against memlock of the running kernel, for every type that can be made without more than sizes. */
import { expect, test } from "vitest";
import { kernelMapMemory } from "../../src/struct/kernel_memory.ts";
import * as u from "../../src/uapi/index.ts";
import { kernelHost } from "../kernel.ts";

const host = kernelHost();

interface Shapes {
  readonly type: number;
  readonly keys: readonly number[];
  readonly values: readonly number[];
  readonly entries: readonly number[];
  readonly flags?: readonly number[];
  readonly extra?: readonly number[];
}

const COUNTS = [1, 2, 3, 4, 5, 100, 1000];
const hash = { keys: [1, 4, 9], values: [1, 8, 13], entries: COUNTS };
const slots = { keys: [4], values: [4], entries: COUNTS };

const shapes: readonly Shapes[] = [
  { type: u.BPF_MAP_TYPE_HASH, ...hash, flags: [0, u.BPF_F_NO_PREALLOC] },
  { type: u.BPF_MAP_TYPE_PERCPU_HASH, ...hash, flags: [0, u.BPF_F_NO_PREALLOC] },
  { type: u.BPF_MAP_TYPE_LRU_HASH, ...hash, flags: [0, u.BPF_F_NO_COMMON_LRU] },
  { type: u.BPF_MAP_TYPE_LRU_PERCPU_HASH, ...hash, flags: [0, u.BPF_F_NO_COMMON_LRU] },
  { type: u.BPF_MAP_TYPE_ARRAY, keys: [4], values: [1, 8, 5000], entries: COUNTS, flags: [0, u.BPF_F_MMAPABLE] },
  { type: u.BPF_MAP_TYPE_PERCPU_ARRAY, keys: [4], values: [1, 8, 5000], entries: COUNTS },
  { type: u.BPF_MAP_TYPE_PROG_ARRAY, ...slots },
  { type: u.BPF_MAP_TYPE_PERF_EVENT_ARRAY, ...slots },
  { type: u.BPF_MAP_TYPE_CGROUP_ARRAY, ...slots },
  { type: u.BPF_MAP_TYPE_DEVMAP, ...slots, values: [4, 8] },
  { type: u.BPF_MAP_TYPE_DEVMAP_HASH, ...slots, values: [4, 8] },
  { type: u.BPF_MAP_TYPE_CPUMAP, ...slots, values: [4, 8], entries: [1, 2, 3, 100] },
  { type: u.BPF_MAP_TYPE_XSKMAP, ...slots },
  { type: u.BPF_MAP_TYPE_SOCKMAP, ...slots, values: [4, 8] },
  { type: u.BPF_MAP_TYPE_SOCKHASH, ...slots, keys: [4, 9], values: [4, 8] },
  { type: u.BPF_MAP_TYPE_REUSEPORT_SOCKARRAY, ...slots, values: [4, 8] },
  { type: u.BPF_MAP_TYPE_STACK_TRACE, keys: [4], values: [8, 64, 1016], entries: COUNTS },
  { type: u.BPF_MAP_TYPE_LPM_TRIE, keys: [5, 20], values: [1, 9], entries: COUNTS, flags: [u.BPF_F_NO_PREALLOC] },
  { type: u.BPF_MAP_TYPE_QUEUE, keys: [0], values: [1, 9], entries: COUNTS },
  { type: u.BPF_MAP_TYPE_STACK, keys: [0], values: [1, 9], entries: COUNTS },
  { type: u.BPF_MAP_TYPE_BLOOM_FILTER, keys: [0], values: [4], entries: [...COUNTS, 100_000], extra: [0, 1, 3, 15] },
  { type: u.BPF_MAP_TYPE_RINGBUF, keys: [0], values: [0], entries: [4096, 8192, 1 << 20] },
  { type: u.BPF_MAP_TYPE_USER_RINGBUF, keys: [0], values: [0], entries: [4096, 1 << 20] },
  { type: u.BPF_MAP_TYPE_ARENA, keys: [0], values: [0], entries: [1, 100], flags: [u.BPF_F_MMAPABLE] },
  { type: u.BPF_MAP_TYPE_CGROUP_STORAGE, keys: [8, 16], values: [8, 100], entries: [0] },
  { type: u.BPF_MAP_TYPE_PERCPU_CGROUP_STORAGE, keys: [8, 16], values: [8, 100], entries: [0] },
];

function memlock(fd: number): number {
  const text = host!.fdinfo(fd);
  return Number(/^memlock:\t(\d+)$/m.exec(String(text))?.[1]);
}

test.runIf(host !== undefined)("memlock of every type, many sizes", () => {
  const differences: string[] = [];
  for (const { type, keys, values, entries, flags = [0], extra = [0] } of shapes) {
    for (const key_size of keys) {
      for (const value_size of values) {
        for (const max_entries of entries) {
          for (const map_flags of flags) {
            for (const map_extra of extra) {
              const attr = { map_type: type, key_size, value_size, max_entries, map_flags, map_extra };
              const fd = host!.bpf(u.BPF_MAP_CREATE, attr);
              expect(fd, JSON.stringify(attr)).toBeGreaterThan(0);
              const found = memlock(fd);
              const expected = kernelMapMemory(attr, host!.possibleCpus);
              if (found !== expected) differences.push(`${JSON.stringify(attr)}: ${expected}, the kernel ${found}`);
              host!.close(fd);
            }
          }
        }
      }
    }
  }
  expect(differences).toEqual([]);
});
