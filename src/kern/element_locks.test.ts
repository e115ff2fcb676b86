/** Locks of elements that have one word: it is taken as long as any of them is, and its oldest entry has it. */
import { expect, test } from "vitest";
import { btfBytes, typeIds } from "../../test/conformance/btf_types.ts";
import { EmbeddedHost } from "../host/embedded.ts";
import { elementLock } from "../struct/fields.ts";
import { MAP_FIELDS, mapField } from "../struct/map.ts";
import * as u from "../uapi/index.ts";
import { acquireRun, releaseRun } from "./cpus.ts";
import { createKernel } from "./create.ts";
import { dropElementLock, LOCK_OWN, LOCK_TAKEN, takeElementLock } from "./element_locks.ts";
import { entryObject, peekEntry } from "./fds.ts";
import { entryOfMap } from "./map.ts";
import { HELD_ADDRESS, heldLock } from "./run_record.ts";

const ELEMENTS = 300;
const STRIDE = 16;

test.each([false, true])("shared: %s", (shared) => {
  const kernel = createKernel({ memory: 8 << 20, cpus: 1, shared, seed: 1, virtualClock: true });
  const host = new EmbeddedHost(kernel);
  const { mem, process } = kernel;
  const btf_fd = host.bpf(u.BPF_BTF_LOAD, { btf: btfBytes, btf_size: btfBytes.length });
  const fd = host.bpf(u.BPF_MAP_CREATE, {
    map_type: u.BPF_MAP_TYPE_ARRAY,
    key_size: 4,
    value_size: STRIDE,
    max_entries: ELEMENTS,
    btf_fd,
    btf_key_type_id: typeIds.u32,
    btf_value_type_id: typeIds.locked,
  });
  const map = entryObject(peekEntry(mem, process, fd));
  const run = acquireRun(kernel, 0);
  const first = entryOfMap(kernel, map).ops.map_lookup_elem(kernel, map, kernel.scratch(8));
  const wordOf = (value: number): number => elementLock(mem, mapField(mem, map, MAP_FIELDS), value);
  const word = wordOf(first);
  const values = Array.from({ length: ELEMENTS }, (_, i) => first + i * STRIDE);
  const same = values.filter((value) => wordOf(value) === word);
  const other = values.filter((value) => wordOf(value) !== word);
  const [a, b, c] = same as [number, number, number];
  // Two more that have one word, another one.
  const [d] = other as [number];
  const e = other.slice(1).find((value) => wordOf(value) === wordOf(d))!;
  for (const [taken, dropped] of [
    [
      [a, b, c],
      [a, c, b],
    ],
    [
      [a, b, c],
      [a, b, c],
    ],
    [
      [a, b, c],
      [c, b, a],
    ],
    [
      [d, e, a, b, c],
      [d, a, c, e, b],
    ],
    [
      [d, a, e, b, c],
      [a, d, b, c, e],
    ],
  ] as const) {
    for (const value of taken) expect(takeElementLock(kernel, value, 0)).toBe(LOCK_TAKEN);
    const held: number[] = [...taken];
    for (const value of dropped) {
      expect(takeElementLock(kernel, value, 0)).toBe(LOCK_OWN);
      expect(dropElementLock(kernel, value)).toBe(true);
      held.splice(held.indexOf(value), 1);
      for (const each of [word, wordOf(d)]) {
        const oldest = held.find((of) => wordOf(of) === each);
        expect(mem.u32[each >>> 2]! !== 0).toBe(oldest !== undefined);
        const entry = heldLock(mem, run, each);
        expect(entry === 0 ? undefined : mem.u32[(entry + HELD_ADDRESS) >>> 2]).toBe(oldest);
      }
      expect(dropElementLock(kernel, value)).toBe(false);
    }
  }
  releaseRun(kernel, run);
  host.dispose();
});
