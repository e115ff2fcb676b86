import type { Table } from "../step.ts";

/** MAP_FREEZE. What mappings have to do with it stands in the tables of the types that have them. */
export const freezeTable: Table = {
  name: "BPF_MAP_FREEZE",
  attr: { map_type: "BPF_MAP_TYPE_ARRAY", key_size: 4, value_size: 8, max_entries: 2 },
  cases: [
    // Surprise 6.
    {
      id: "freeze.twice",
      steps: [
        ["freeze", 0],
        ["freeze", "-EPERM"],
      ],
    },
    // Surprise 42.
    {
      id: "freeze.every_fd",
      steps: [
        ["open", "other", 0, 0],
        ["freeze", 0],
        ["use", "map"],
        ["update", 0, 1, 0, "-EPERM"],
        ["freeze", "-EPERM"],
        ["lookup", 0, 0],
        ["open", "later", 0, 0],
        ["update", 0, 1, 0, "-EPERM"],
      ],
    },
    {
      id: "freeze.needs_write_access",
      steps: [
        ["open", "r", "BPF_F_RDONLY", 0],
        ["freeze", "-EPERM"],
        ["use", "map"],
        ["update", 0, 1, 0, 0],
        ["freeze", 0],
      ],
    },
    {
      id: "freeze.wronly",
      attr: { map_flags: "BPF_F_WRONLY" },
      steps: [
        ["freeze", 0],
        ["update", 0, 1, 0, "-EPERM"],
      ],
    },
    {
      id: "freeze.rdonly_prog",
      attr: { map_flags: "BPF_F_RDONLY_PROG" },
      steps: [
        ["update", 0, 1, 0, 0],
        ["freeze", 0],
        ["lookup", 0, 1],
      ],
    },
  ],
};
