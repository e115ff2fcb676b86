/** Maps of all types come and go, and the allocator is where it was. `npm run bench -- leak` does it 100,000 times. */
import { expect, test } from "vitest";
import { createEmbeddedHost } from "../../src/host/embedded.ts";
import { mapRegistry } from "../../src/maps/registry.ts";
import { cycle, shapes } from "./cycles.ts";

/** Cycles after which every shape was filled to every level that there is. */
const ALL = 17 * shapes.length;

test("every type of the registry has a shape", () => {
  const known = new Set(shapes.map((s) => s.map_type));
  expect(
    Object.keys(mapRegistry)
      .map(Number)
      .filter((type) => !known.has(type)),
  ).toEqual([]);
});

test.each([false, true])("create, fill, close (shared: %s)", (shared) => {
  const host = createEmbeddedHost({ memory: 32 << 20, cpus: 2, seed: 1, shared });
  // Free blocks stay in their slabs: the first time around takes what all others use again.
  for (let i = 0; i < ALL; i++) cycle(host, i);
  const before = host.memory();
  for (let i = 0; i < 2 * ALL; i++) cycle(host, i);
  expect(host.memory()).toEqual(before);
  host.dispose();
});
