/** What a map will take, before it is made. */
import { InputError } from "../errors.ts";
import { mapEntry } from "../maps/registry.ts";
import { kernelMapMemory } from "../struct/kernel_memory.ts";
import { createAttr } from "./create_map.ts";
import type { ExactSpec, MapSpec } from "./spec.ts";

export interface EstimateOptions {
  readonly host: "kernel" | "embedded";
  /** Possible CPUs: `host.possibleCpus`. */
  readonly cpus: number;
  /** How many elements there are going to be, for maps that take memory for each as it comes. Default: as many as fit. */
  readonly entries?: number;
}

/**
 * Bytes that a map of this spec takes.
 *
 * Of the kernel: what 6.18 counts (`memlock` in fdinfo, `host.memory()`), x86-64. Of the embedded host: its areas in
 * granules of 64 KiB (`host.memory()`), without some hundred bytes of metadata; for a trie at most, since forks and tables
 * follow from its prefixes.
 *
 *     const spec = { type: "lru_hash", key: FlowKey, value: Flow, maxEntries: 1_000_000 } as const;
 *     estimateMemory(spec, { host: "kernel", cpus: 8 }); // 96_778_112
 */
export function estimateMemory<S extends MapSpec>(spec: ExactSpec<S>, options: EstimateOptions): number {
  const { cpus } = options;
  if (!Number.isInteger(cpus) || cpus < 1) {
    throw new InputError(`estimateMemory: cpus is ${String(cpus)}, expected a whole number from 1 on`);
  }
  const attr = createAttr(spec as MapSpec);
  const { entries = attr.max_entries } = options;
  if (!Number.isInteger(entries) || entries < 0) {
    throw new InputError(`estimateMemory: entries is ${String(entries)}, expected a whole number from 0 on`);
  }
  const elements = Math.min(entries, attr.max_entries);
  const size = { ...attr, map_extra: Number(attr.map_extra) };
  const bytes =
    options.host === "kernel"
      ? kernelMapMemory(size, cpus, elements)
      : mapEntry(attr.map_type)?.memUsage(size, cpus, elements);
  if (bytes === undefined) {
    throw new InputError(`estimateMemory: nothing is known of ${spec.type} maps on the ${options.host} host`);
  }
  return bytes;
}
