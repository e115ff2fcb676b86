/** Lives of maps: created, filled, perhaps emptied in part, closed. For tests and benchmarks that look for leaks. */
import type { EmbeddedHost } from "../../src/host/embedded.ts";
import * as u from "../../src/uapi/index.ts";

export interface Shape {
  readonly map_type: number;
  readonly key_size: number;
  readonly value_size: number;
  readonly max_entries: number;
  readonly map_flags?: number;
  /** Values in bpf(2) are of every CPU. */
  readonly percpu?: boolean;
  /** No updates from commands, or none without a program. */
  readonly closed?: boolean;
  readonly inner?: boolean;
  /** Every value is this number. */
  readonly value?: number;
  /** It cannot be so large that memory is out. */
  readonly small?: boolean;
}

const hash = { key_size: 8, value_size: 16, max_entries: 200 };
const pages = { key_size: 0, value_size: 0, closed: true };

export const shapes: readonly Shape[] = [
  { map_type: u.BPF_MAP_TYPE_HASH, ...hash },
  { map_type: u.BPF_MAP_TYPE_HASH, ...hash, map_flags: u.BPF_F_NO_PREALLOC },
  { map_type: u.BPF_MAP_TYPE_PERCPU_HASH, ...hash, percpu: true },
  { map_type: u.BPF_MAP_TYPE_PERCPU_HASH, ...hash, percpu: true, map_flags: u.BPF_F_NO_PREALLOC },
  { map_type: u.BPF_MAP_TYPE_LRU_HASH, ...hash },
  { map_type: u.BPF_MAP_TYPE_LRU_HASH, ...hash, map_flags: u.BPF_F_NO_COMMON_LRU },
  { map_type: u.BPF_MAP_TYPE_LRU_PERCPU_HASH, ...hash, percpu: true },
  { map_type: u.BPF_MAP_TYPE_ARRAY, key_size: 4, value_size: 24, max_entries: 200 },
  { map_type: u.BPF_MAP_TYPE_ARRAY, key_size: 4, value_size: 24, max_entries: 200, map_flags: u.BPF_F_MMAPABLE },
  { map_type: u.BPF_MAP_TYPE_PERCPU_ARRAY, key_size: 4, value_size: 24, max_entries: 200, percpu: true },
  { map_type: u.BPF_MAP_TYPE_LPM_TRIE, key_size: 8, value_size: 16, max_entries: 200, map_flags: u.BPF_F_NO_PREALLOC },
  { map_type: u.BPF_MAP_TYPE_QUEUE, key_size: 0, value_size: 16, max_entries: 200 },
  { map_type: u.BPF_MAP_TYPE_STACK, key_size: 0, value_size: 16, max_entries: 200 },
  { map_type: u.BPF_MAP_TYPE_BLOOM_FILTER, key_size: 0, value_size: 16, max_entries: 200 },
  { map_type: u.BPF_MAP_TYPE_RINGBUF, ...pages, max_entries: 4096 },
  { map_type: u.BPF_MAP_TYPE_USER_RINGBUF, ...pages, max_entries: 4096 },
  { map_type: u.BPF_MAP_TYPE_ARENA, ...pages, max_entries: 4, map_flags: u.BPF_F_MMAPABLE },
  { map_type: u.BPF_MAP_TYPE_PROG_ARRAY, key_size: 4, value_size: 4, max_entries: 8, closed: true },
  { map_type: u.BPF_MAP_TYPE_ARRAY_OF_MAPS, key_size: 4, value_size: 4, max_entries: 8, inner: true },
  { map_type: u.BPF_MAP_TYPE_HASH_OF_MAPS, key_size: 4, value_size: 4, max_entries: 8, inner: true },
  { map_type: u.BPF_MAP_TYPE_DEVMAP, key_size: 4, value_size: 4, max_entries: 200, value: 1 },
  { map_type: u.BPF_MAP_TYPE_DEVMAP_HASH, key_size: 4, value_size: 4, max_entries: 200, value: 1 },
  { map_type: u.BPF_MAP_TYPE_CPUMAP, key_size: 4, value_size: 4, max_entries: 2, value: 1, small: true },
  { map_type: u.BPF_MAP_TYPE_STACK_TRACE, key_size: 4, value_size: 64, max_entries: 200, closed: true },
  { map_type: u.BPF_MAP_TYPE_PERF_EVENT_ARRAY, key_size: 4, value_size: 4, max_entries: 8, closed: true },
];

const inner = { map_type: u.BPF_MAP_TYPE_ARRAY, key_size: 4, value_size: 8, max_entries: 2 };

/** MAP_CREATE; for types that hold maps with one to stand for them. */
export function createMap(host: EmbeddedHost, shape: Shape, max_entries: number = shape.max_entries): number {
  const { map_type, key_size, value_size, map_flags = 0 } = shape;
  const inner_map_fd = shape.inner ? host.bpf(u.BPF_MAP_CREATE, inner) : 0;
  const fd = host.bpf(u.BPF_MAP_CREATE, { map_type, key_size, value_size, max_entries, map_flags, inner_map_fd });
  if (inner_map_fd > 0) host.close(inner_map_fd);
  return fd;
}

/** The `n`th key: different ones, for every type. */
export function keyOf({ key_size, map_type }: Shape, n: number): Uint8Array | null {
  if (key_size === 0) return null;
  const key = new Uint8Array(key_size);
  const view = new DataView(key.buffer);
  if (map_type === u.BPF_MAP_TYPE_LPM_TRIE) {
    view.setUint32(0, 32, true);
    view.setUint32(4, Math.imul(n, 0x9e37_79b1));
  } else {
    view.setUint32(0, n, true);
  }
  return key;
}

export function update(host: EmbeddedHost, shape: Shape, fd: number, n: number): number {
  const bytes = shape.percpu ? Math.ceil(shape.value_size / 8) * 8 * host.possibleCpus : shape.value_size;
  const value = new Uint8Array(bytes).fill(n);
  if (shape.value !== undefined) new DataView(value.buffer).setUint32(0, shape.value, true);
  if (!shape.inner) return host.bpf(u.BPF_MAP_UPDATE_ELEM, { map_fd: fd, key: keyOf(shape, n), value });
  const map = host.bpf(u.BPF_MAP_CREATE, inner);
  new DataView(value.buffer).setUint32(0, map, true);
  const ret = map < 0 ? map : host.bpf(u.BPF_MAP_UPDATE_ELEM, { map_fd: fd, key: keyOf(shape, n), value });
  if (map >= 0) host.close(map);
  return ret;
}

/** One life of a map; `i` chooses its type, how full it gets and whether some of it is deleted again. */
export function cycle(host: EmbeddedHost, i: number): void {
  const shape = shapes[i % shapes.length]!;
  const fd = createMap(host, shape);
  if (fd < 0) throw new Error(`cycle ${i}: MAP_CREATE of type ${shape.map_type} gave ${fd}`);
  const count = shape.closed ? 0 : Math.min(shape.max_entries, 1 + (i % 17));
  for (let n = 0; n < count; n++) {
    const ret = update(host, shape, fd, n);
    if (ret !== 0) throw new Error(`cycle ${i}: update ${n} of type ${shape.map_type} gave ${ret}`);
  }
  if (shape.key_size > 0) {
    for (let n = 0; n < count; n += 3) host.bpf(u.BPF_MAP_DELETE_ELEM, { map_fd: fd, key: keyOf(shape, n) });
  }
  const ret = host.close(fd);
  if (ret !== 0) throw new Error(`cycle ${i}: close gave ${ret}`);
}
