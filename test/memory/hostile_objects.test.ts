/**
 * Object files, target BTFs and kernel BTFs that somebody has damaged: each is refused with an InputError or a BpfError,
 * or is loaded and runs in its bounds. The host is the same afterwards: nothing is open, no byte is lost, programs run.
 */

import { readFileSync } from "node:fs";
import fc from "fast-check";
import { expect, test } from "vitest";
import { parseElf } from "../../src/elf/index.ts";
import { BpfError, createEmbedded, type EmbeddedBpfHost, InputError, type LoadObjectOptions } from "../../src/index.ts";

const names = ["core_facts", "map_report", "rule_chain"] as const;
const files = names.map((name) => new Uint8Array(readFileSync(new URL(`../programs/${name}.bpf.o`, import.meta.url))));
const good = files[0]!;
const packet = { data: new Uint8Array(64) };

interface Change {
  readonly at: number;
  readonly size: 1 | 2 | 4;
  readonly value: number;
}

const value = fc.oneof(
  fc.constantFrom(
    0,
    1,
    2,
    3,
    4,
    8,
    0x10,
    0x18,
    0x7f,
    0xff,
    0x100,
    0x7fff,
    0xffff,
    0x7fff_ffff,
    0x8000_0000,
    0xffff_ffff,
  ),
  fc.nat(0xffff),
);
const changes = fc.array(fc.record({ at: fc.nat(), size: fc.constantFrom<1 | 2 | 4>(1, 2, 4), value }), {
  minLength: 1,
  maxLength: 4,
});

function damage(bytes: Uint8Array, start: number, length: number, list: readonly Change[]): Uint8Array {
  const copy = bytes.slice();
  const view = new DataView(copy.buffer);
  for (const { at, size, value: v } of list) {
    const place = start + (at % Math.max(length - 4, 1));
    if (size === 1) view.setUint8(place, v);
    else if (size === 2) view.setUint16(place, v, true);
    else view.setUint32(place, v, true);
  }
  return copy;
}

/** Where a section lies in the file. */
function sectionAt(file: Uint8Array, name: string): { start: number; length: number } {
  const view = new DataView(file.buffer);
  const section = parseElf(file).sections.find((each) => each.name === name);
  if (section === undefined) return { start: 0, length: file.length };
  const header = Number(view.getBigUint64(40, true)) + section.index * 64;
  return { start: Number(view.getBigUint64(header + 24, true)), length: section.size };
}

/** Loads and runs what can be; true when something ran. Anything but the two errors fails the test. */
function tryObject(host: EmbeddedBpfHost, bytes: Uint8Array, options: LoadObjectOptions): boolean {
  try {
    using object = host.loadObject(bytes, options);
    for (const program of object.programs.values()) {
      try {
        program.run(packet);
      } catch (error) {
        if (!(error instanceof BpfError)) throw error;
      }
    }
    return true;
  } catch (error) {
    if (error instanceof InputError || error instanceof BpfError) return false;
    throw error;
  }
}

function open(): EmbeddedBpfHost {
  return createEmbedded({ memory: 64 << 20, cpus: 2, seed: 1, runBudget: 20_000, clock: "virtual" });
}

/** Everything that was there before still is, and the undamaged object runs. */
function expectIntact(host: EmbeddedBpfHost): void {
  expect(host.leaks()).toEqual([]);
  using object = host.loadObject(good, { programs: ["fields"], targetBtf: "self" });
  expect(object.program("fields").run(packet).retval).toBe(2);
}

test.each([".BTF", ".BTF.ext", "xdp", "any part"])("objects damaged in %s", (part) => {
  const host = open();
  const places = files.map((file) => sectionAt(file, part));
  expectIntact(host);
  let ran = 0;
  fc.assert(
    fc.property(fc.nat(files.length - 1), changes, fc.boolean(), (index, list, self) => {
      const { start, length } = places[index]!;
      const bytes = damage(files[index]!, start, length, list);
      if (tryObject(host, bytes, self ? { targetBtf: "self" } : {})) ran++;
      expect(host.leaks()).toEqual([]);
    }),
    { numRuns: 50, interruptAfterTimeLimit: 30_000, markInterruptAsFailure: true },
  );
  expect(ran).toBeGreaterThan(0);
  expectIntact(host);
  host.close();
});

test("a damaged target BTF", () => {
  const host = open();
  const { start, length } = sectionAt(good, ".BTF");
  const target = good.slice(start, start + length);
  fc.assert(
    fc.property(changes, (list) => {
      const targetBtf = damage(target, 0, length, list);
      tryObject(host, good, { programs: ["fields", "types", "guarded"], targetBtf });
      expect(host.leaks()).toEqual([]);
    }),
    { numRuns: 80, interruptAfterTimeLimit: 30_000, markInterruptAsFailure: true },
  );
  expectIntact(host);
  host.close();
});

test("a damaged kernel BTF is refused, or only makes relocations fail", () => {
  const { start, length } = sectionAt(good, ".BTF");
  const kernelBtf = good.slice(start, start + length);
  let made = 0;
  fc.assert(
    fc.property(changes, (list) => {
      let host: EmbeddedBpfHost;
      try {
        host = createEmbedded({ memory: 4 << 20, seed: 1, kernelBtf: damage(kernelBtf, 0, length, list) });
      } catch (error) {
        if (!(error instanceof InputError)) throw error;
        return;
      }
      made++;
      tryObject(host, good, {});
      expectIntact(host);
      host.close();
    }),
    { numRuns: 25, interruptAfterTimeLimit: 30_000, markInterruptAsFailure: true },
  );
  expect(made).toBeGreaterThan(2);
});

test("a load that fails late gives back all memory", () => {
  const host = open();
  const attempt = (): void => {
    expect(tryObject(host, good, { programs: ["fields", "unguarded"], targetBtf: "self" })).toBe(true);
    const { start, length } = sectionAt(good, ".BTF");
    const target = good.slice(start, start + length);
    // The target has no `gone_since`: found out after maps and BTF were made.
    const name = new TextDecoder("latin1").decode(target).indexOf("gone_since\0");
    target[name] = 0x58;
    expect(tryObject(host, good, { programs: ["unguarded"], targetBtf: target })).toBe(false);
  };
  for (let i = 0; i < 3; i++) attempt();
  const before = host.memory();
  for (let i = 0; i < 20; i++) attempt();
  expect(host.memory()).toEqual(before);
  host.close();
});
