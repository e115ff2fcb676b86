/** All tables of the suite. */
import { arrayTable } from "./maps/array.table.ts";
import { hashTable } from "./maps/hash.table.ts";
import { percpuArrayTable } from "./maps/percpu_array.table.ts";
import { percpuHashTable } from "./maps/percpu_hash.table.ts";
import type { MapTable, Table } from "./step.ts";

function ofMap({ type, attr, cases }: MapTable): Table {
  return { name: type, attr: { ...attr, map_type: type }, cases };
}

export const mapTables: readonly MapTable[] = [hashTable, percpuHashTable, arrayTable, percpuArrayTable];

export const tables: readonly Table[] = [...mapTables.map(ofMap)];
