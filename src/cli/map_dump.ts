/** All entries of a map as bytes: what `bpfmaps run` prints at the end. */
import type { AnyMap } from "../api/any_map.ts";
import type { BpfHost } from "../api/bpf_host.ts";
import { bytes, lpmKey, type PerCpu, u32 } from "../api/codec/index.ts";

export interface RawEntry {
  /** Absent for types without keys. */
  readonly key?: Uint8Array;
  /** One value, or one a CPU. */
  readonly value: Uint8Array | readonly Uint8Array[];
}

const PREFIX_LENGTH_SIZE = 4;

/** Types that cannot be listed, such as a bloom filter, or have none, such as an arena, have no entries. The records of a ring are consumed. */
export function dumpMap(host: BpfHost, map: AnyMap): RawEntry[] {
  const { fd, info } = map;
  const key = bytes(info.keySize);
  const value = bytes(info.valueSize);
  switch (map.type) {
    case "hash":
    case "lru_hash":
      return list(host.openMap({ fd }, { type: map.type, key, value }), (k) => k);
    case "percpu_hash":
    case "lru_percpu_hash":
      return listPerCpu(host.openMap({ fd }, { type: map.type, key, value }), (k) => k);
    case "array":
      return list(host.openMap({ fd }, { type: "array", value }), (i) => u32.encode(i));
    case "percpu_array":
      return listPerCpu(host.openMap({ fd }, { type: "percpu_array", value }), (i) => u32.encode(i));
    case "lpm_trie": {
      const prefix = lpmKey(bytes(info.keySize - PREFIX_LENGTH_SIZE));
      return list(host.openMap({ fd }, { type: "lpm_trie", key: prefix, value }), (k) => prefix.encode(k));
    }
    // Nothing reads the middle of a queue: all is taken out, in the order in which it comes, and put back.
    case "queue": {
      const queue = host.openMap({ fd }, { type: "queue", value });
      const values = [...queue.drain()];
      for (const each of values) queue.push(each);
      return values.map((v) => ({ value: v }));
    }
    case "stack": {
      const stack = host.openMap({ fd }, { type: "stack", value });
      const values = [...stack.drain()];
      for (const each of values.toReversed()) stack.push(each);
      return values.map((v) => ({ value: v }));
    }
    case "ringbuf": {
      const records: RawEntry[] = [];
      host.openMap({ fd }, { type: "ringbuf" }).drain((record) => {
        records.push({ value: record.slice() });
      });
      return records;
    }
    // Ids of what is in there.
    case "prog_array":
    case "array_of_maps":
      return Array.from(map, ([index, id]) => ({ key: u32.encode(index), value: u32.encode(id) }));
    case "hash_of_maps": {
      const outer = host.openMap({ fd }, { type: "hash_of_maps", key });
      return Array.from(outer, ([k, id]) => ({ key: k, value: u32.encode(id) }));
    }
    case "devmap":
    case "devmap_hash":
    case "cpumap":
      return Array.from(map, ([index, { target, programId }]) => ({
        key: u32.encode(index),
        value: new Uint8Array([...u32.encode(target), ...u32.encode(programId)].slice(0, info.valueSize)),
      }));
    case "stack_trace":
      return Array.from(map, ([id, frames]) => ({
        key: u32.encode(id),
        value: new Uint8Array(new BigUint64Array(frames.map((frame) => frame.ip)).buffer),
      }));
    case "perf_event_array":
    case "bloom_filter":
    case "user_ringbuf":
    case "arena":
    case "other":
      return [];
  }
}

function list<K>(entries: Iterable<readonly [K, Uint8Array]>, encode: (key: K) => Uint8Array): RawEntry[] {
  return Array.from(entries, ([key, value]) => ({ key: encode(key), value }));
}

function listPerCpu<K>(
  entries: Iterable<readonly [K, PerCpu<Uint8Array>]>,
  encode: (key: K) => Uint8Array,
): RawEntry[] {
  return Array.from(entries, ([key, value]) => ({ key: encode(key), value: value.toArray() }));
}
