import type { MapTable } from "../step.ts";
import { queueStackCases } from "./queue_stack_cases.ts";

export const stackTable: MapTable = {
  type: "BPF_MAP_TYPE_STACK",
  attr: { key_size: 0, value_size: 4, max_entries: 3 },
  cases: [
    ...queueStackCases("stack"),
    {
      id: "stack.order",
      steps: [
        ["push", 1, 0],
        ["push", 2, 0],
        ["push", 3, 0],
        ["peek", 3],
        ["pop", 3],
        ["pop", 2],
        ["pop", 1],
      ],
    },
    // Surprise 14: the oldest element is the bottom.
    {
      id: "stack.push.exist",
      steps: [
        ["push", 1, 0],
        ["push", 2, 0],
        ["push", 3, 0],
        ["push!", 4, 0],
        ["push!", 5, 0],
        ["pop", 5],
        ["pop", 4],
        ["pop", 3],
        ["pop", "-ENOENT"],
      ],
    },
    {
      id: "stack.one",
      attr: { max_entries: 1 },
      steps: [
        ["push", 1, 0],
        ["push", 2, "-E2BIG"],
        ["push!", 2, 0],
        ["pop", 2],
        ["pop", "-ENOENT"],
      ],
    },
  ],
};
