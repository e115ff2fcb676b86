/** All tables of the suite. */
import { arrayBatchTable, hashBatchTable } from "./cmd/batch.table.ts";
import { batchGenericTables } from "./cmd/batch_generic.table.ts";
import { batchHashTables } from "./cmd/batch_hash.table.ts";
import { btfTable } from "./cmd/btf.table.ts";
import { elemTable } from "./cmd/elem.table.ts";
import { entryTable } from "./cmd/entry.table.ts";
import { fdinfoTable } from "./cmd/fdinfo.table.ts";
import { fieldsTable } from "./cmd/fields.table.ts";
import { freezeTable } from "./cmd/freeze.table.ts";
import { idsTable } from "./cmd/ids.table.ts";
import { infoTable } from "./cmd/info.table.ts";
import { lockTable } from "./cmd/lock.table.ts";
import { mapCreateTable } from "./cmd/map_create.table.ts";
import { pinTable } from "./cmd/pin.table.ts";
import { pinNamesTable } from "./cmd/pin_names.table.ts";
import { arenaTable } from "./maps/arena.table.ts";
import { arrayTable } from "./maps/array.table.ts";
import { arrayOfMapsTable } from "./maps/array_of_maps.table.ts";
import { bloomFilterTable } from "./maps/bloom_filter.table.ts";
import { cpumapTable } from "./maps/cpumap.table.ts";
import { devmapTable } from "./maps/devmap.table.ts";
import { devmapHashTable } from "./maps/devmap_hash.table.ts";
import { hashTable } from "./maps/hash.table.ts";
import { hashOfMapsTable } from "./maps/hash_of_maps.table.ts";
import { lpmTrieTable } from "./maps/lpm_trie.table.ts";
import { lruHashTable } from "./maps/lru_hash.table.ts";
import { lruPercpuHashTable } from "./maps/lru_percpu_hash.table.ts";
import { percpuArrayTable } from "./maps/percpu_array.table.ts";
import { percpuHashTable } from "./maps/percpu_hash.table.ts";
import { perfEventArrayTable } from "./maps/perf_event_array.table.ts";
import { progArrayTable } from "./maps/prog_array.table.ts";
import { queueTable } from "./maps/queue.table.ts";
import { ringbufTable } from "./maps/ringbuf.table.ts";
import { stackTable } from "./maps/stack.table.ts";
import { stackTraceTable } from "./maps/stack_trace.table.ts";
import { userRingbufTable } from "./maps/user_ringbuf.table.ts";
import type { MapTable, Table } from "./step.ts";

function ofMap({ type, attr, ...rest }: MapTable): Table {
  return { name: type, attr: { ...attr, map_type: type }, ...rest };
}

export const mapTables: readonly MapTable[] = [
  hashTable,
  arrayTable,
  percpuHashTable,
  percpuArrayTable,
  lruHashTable,
  lruPercpuHashTable,
  lpmTrieTable,
  queueTable,
  stackTable,
  ringbufTable,
  bloomFilterTable,
  userRingbufTable,
  arenaTable,
  progArrayTable,
  arrayOfMapsTable,
  hashOfMapsTable,
  devmapTable,
  devmapHashTable,
  cpumapTable,
  stackTraceTable,
  perfEventArrayTable,
];

export const tables: readonly Table[] = [
  ...mapTables.map(ofMap),
  entryTable,
  mapCreateTable,
  elemTable,
  idsTable,
  infoTable,
  fdinfoTable,
  fieldsTable,
  freezeTable,
  btfTable,
  lockTable,
  pinTable,
  pinNamesTable,
  hashBatchTable,
  arrayBatchTable,
  ...batchHashTables,
  ...batchGenericTables,
];
