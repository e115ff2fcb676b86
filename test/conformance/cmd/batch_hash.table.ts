import type { Table } from "../step.ts";
import { batchFullCases, batchHashCases } from "./batch_hash_cases.ts";
import { percpu, plain } from "./batch_steps.ts";

const attr = { key_size: 4, value_size: 8, max_entries: 8, map_flags: "BPF_F_ZERO_SEED" } as const;

export const batchHashTables: readonly Table[] = [
  {
    name: "batch commands, HASH",
    attr: { map_type: "BPF_MAP_TYPE_HASH", ...attr },
    cases: [...batchHashCases("hash", plain), ...batchFullCases("hash", plain)],
  },
  {
    name: "batch commands, HASH without preallocation",
    attr: { map_type: "BPF_MAP_TYPE_HASH", ...attr, map_flags: "BPF_F_ZERO_SEED|BPF_F_NO_PREALLOC" },
    cases: batchFullCases("hash.no_prealloc", plain),
  },
  {
    name: "batch commands, PERCPU_HASH",
    attr: { map_type: "BPF_MAP_TYPE_PERCPU_HASH", ...attr },
    cases: [
      ...batchHashCases("percpu_hash", percpu, 2),
      ...batchFullCases("percpu_hash", percpu, 2),
      {
        id: "percpu_hash.batch.slots",
        cpus: 2,
        attr: { value_size: 5 },
        steps: [
          [
            "call",
            "BPF_MAP_UPDATE_BATCH",
            {
              map_fd: "$map",
              keys: { hex: "0400000001000000" },
              values: { hex: "01020304050607081112131415161718a1a2a3a4a5a6a7a8b1b2b3b4b5b6b7b8" },
              count: 2,
            },
            0,
          ],
          [
            "call",
            "BPF_MAP_LOOKUP_AND_DELETE_BATCH",
            {
              map_fd: "$map",
              out_batch: { length: 4 },
              keys: { length: 8 },
              values: { length: 32 },
              count: 2,
            },
            "-ENOENT",
            {
              out: {
                count: 2,
                out_batch: "08000000",
                keys: "0400000001000000",
                values: "01020304050607081112131415161718a1a2a3a4a5a6a7a8b1b2b3b4b5b6b7b8",
              },
            },
          ],
          ["keys", []],
        ],
      },
    ],
  },
  {
    name: "batch commands, LRU_HASH",
    attr: { map_type: "BPF_MAP_TYPE_LRU_HASH", ...attr },
    cases: batchHashCases("lru_hash", plain, 2),
  },
  {
    name: "batch commands, LRU_PERCPU_HASH",
    attr: { map_type: "BPF_MAP_TYPE_LRU_PERCPU_HASH", ...attr },
    cases: batchHashCases("lru_percpu_hash", percpu, 2),
  },
];
