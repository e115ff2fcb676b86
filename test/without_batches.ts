/** A host that has no batch commands for some types, as kernels before 5.6. */
import { batchKey } from "../src/api/batch_walk.ts";
import {
  BPF_MAP_DELETE_BATCH,
  BPF_MAP_LOOKUP_AND_DELETE_BATCH,
  BPF_MAP_LOOKUP_BATCH,
  BPF_MAP_UPDATE_BATCH,
} from "../src/uapi/index.ts";

const commands = [BPF_MAP_LOOKUP_BATCH, BPF_MAP_LOOKUP_AND_DELETE_BATCH, BPF_MAP_UPDATE_BATCH, BPF_MAP_DELETE_BATCH];

/** Makes the API believe so. Undone by `batches.clear()`. */
export function withoutBatches(batches: Map<number, boolean>, types: readonly number[]): void {
  for (const type of types) for (const cmd of commands) batches.set(batchKey(type, cmd), false);
}
