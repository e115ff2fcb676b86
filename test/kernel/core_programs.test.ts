/**
 * Relocations judged by memory: programs that read the running kernel's own structs through what we relocated, and compare
 * with what its helpers say of the same task.
 */
import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { openKernel } from "../../src/index.ts";
import { kernelHost } from "../kernel.ts";

const host = kernelHost();
const types = host?.kernelBtf();
host?.dispose();

const read = (name: string): Uint8Array => readFileSync(new URL(`../programs/${name}.bpf.o`, import.meta.url));

test.runIf(types !== undefined).each([
  ["runqslat", 63],
  ["opensnoop", 31],
])("%s loads, and finds the current task's fields", (name, agreed) => {
  const kernel = openKernel();
  const object = kernel.loadObject(read(name), { name });
  expect(object.program("self_check").run().retval).toBe(agreed);
  object.close();
  expect(kernel.leaks()).toEqual([]);
  kernel.close();
});

test.runIf(types !== undefined)("with offsets that are wrong by a few bytes it finds them wrong", () => {
  const kernel = openKernel();
  // The object's own layout is no kernel's.
  const object = kernel.loadObject(read("runqslat"), { name: "runqslat", targetBtf: "self" });
  expect(object.program("self_check").run().retval & 7).toBe(0);
  object.close();
  kernel.close();
});
