/**
 * The kernel is the oracle: every case of the tables on every host in every form of the calls, and the running kernel
 * too wherever bpf(2) is permitted on the version that the tables state.
 */
import { afterAll, describe, expect, test } from "vitest";
import { createEmbeddedHost } from "../../src/host/embedded.ts";
import { runCase } from "./execute.ts";
import { closeHosts, EMBEDDED, openHosts, sessionsOf, VERSION } from "./hosts.ts";
import { knownGaps } from "./known_gaps.ts";
import { defineRandomTests } from "./random/random_tests.ts";
import { Session } from "./session.ts";
import type { Case } from "./step.ts";
import { tables } from "./tables.ts";

const hosts = openHosts();
const sessions = sessionsOf(hosts);
const embedded = sessions.filter((s) => s.session.host.kind === "embedded").length;

for (const table of tables) {
  describe(table.name, () => {
    for (const one of table.cases) {
      test.skipIf(one.cpus !== undefined && one.cpus !== hosts.cpus)(one.id, () => {
        const gap = knownGaps.find((g) => g.id === one.id);
        /** Problem → who has it: most are everybody's. */
        const problems = new Map<string, string[]>();
        let passed = 0;
        for (const { name, session } of sessions) {
          if (table.bpffs === true && session.bpffs === "") continue;
          const problem = runCase(session, table, one);
          if (session.host.kind === "embedded" && problem === undefined) passed++;
          if (problem !== undefined && !(session.host.kind === "embedded" && gap !== undefined)) {
            problems.set(problem, [...(problems.get(problem) ?? []), name]);
          }
        }
        if (gap !== undefined && passed === embedded)
          problems.set("passes now: take its line out of known_gaps.ts", []);
        if (problems.size > 0) expect.fail([...problems].map(([what, who]) => `${who.join("; ")}: ${what}`).join("\n"));
      });
    }
  });
}

test("ids are unique, and every known gap names a case", () => {
  const ids = tables.flatMap((t) => t.cases.map((c) => c.id));
  expect(ids.filter((id, i) => ids.indexOf(id) !== i)).toEqual([]);
  expect(knownGaps.filter((g) => !ids.includes(g.id))).toEqual([]);
});

/** A view of a mapping keeps its memory until it is collected, whenever that is. */
function maps({ steps }: Case): boolean {
  return steps.some(([kind]) => kind === "mmap");
}

test.each([false, true])("a second run of all cases leaves no byte behind (shared: %s)", (shared) => {
  const host = createEmbeddedHost({ ...EMBEDDED, cpus: hosts.cpus, shared });
  const session = new Session(host, shared ? "object" : "raw");
  const used: unknown[] = [];
  for (let round = 0; round < 2; round++) {
    for (const table of tables) for (const one of table.cases) if (!maps(one)) runCase(session, table, one);
    used.push(host.memory());
  }
  expect(used[1]).toEqual(used[0]);
  host.dispose();
});

defineRandomTests(hosts);

afterAll(() => {
  expect(hosts.exclusive.openFds()).toEqual([]);
  expect(hosts.shared.openFds()).toEqual([]);
  const calls = sessions.reduce((sum, s) => sum + (s.session.host.kind === "kernel" ? s.session.calls : 0), 0);
  for (const { session } of sessions) session.dispose();
  closeHosts(hosts);
  const line =
    hosts.kernel === undefined
      ? `conformance: compared with the tables and what was recorded of Linux ${VERSION}, not with the kernel: ${hosts.kernelNote}`
      : `conformance: ${calls.toLocaleString("en")} calls compared with ${hosts.kernelNote}`;
  console.log(line);
});
