/** The tables of commands on elements where compiled code answers from the second command on, not after some hundreds. */
import { expect, test } from "vitest";
import { EmbeddedHost } from "../../src/host/embedded.ts";
import { createKernel } from "../../src/kern/create.ts";
import { elemTable } from "./cmd/elem.table.ts";
import { freezeTable } from "./cmd/freeze.table.ts";
import { runCase } from "./execute.ts";
import { knownGaps } from "./known_gaps.ts";
import { Session } from "./session.ts";
import type { Table } from "./step.ts";
import { tables } from "./tables.ts";

const CPUS = 2;
const types: readonly string[] = [
  "ARRAY",
  "HASH",
  "LPM_TRIE",
  "LRU_HASH",
  "PERCPU_ARRAY",
  "PERCPU_HASH",
  "LRU_PERCPU_HASH",
];
const mine: readonly Table[] = [
  ...tables.filter(({ name }) => types.includes(name.replace("BPF_MAP_TYPE_", ""))),
  elemTable,
  freezeTable,
];

test.each([false, true])("as the kernel answers (shared: %s)", (shared) => {
  for (const table of mine) {
    const kernel = createKernel({ memory: 2 ** 27, cpus: CPUS, shared, seed: 1, virtualClock: true });
    const { elements } = kernel;
    elements.patience = 0;
    const inTypeScript = elements.lookup;
    const session = new Session(new EmbeddedHost(kernel), shared ? "object" : "raw");
    for (const one of table.cases) {
      if (one.cpus !== undefined || knownGaps.some(({ id }) => id === one.id)) continue;
      expect({ id: one.id, problem: runCase(session, table, one) }).toEqual({ id: one.id, problem: undefined });
    }
    expect(elements.lookup, table.name).not.toBe(inTypeScript);
    session.dispose();
  }
});
