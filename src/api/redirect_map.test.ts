import { expect, test } from "vitest";
import { onEachHost } from "../../test/hosts.ts";
import { exit, mov64Imm, R0 } from "../insn/index.ts";
import { BPF_XDP_CPUMAP, BPF_XDP_DEVMAP } from "../uapi/index.ts";
import { BpfError } from "./error.ts";

/** The error's code and its text. */
function refused(call: () => unknown): [string, string] {
  try {
    call();
  } catch (error) {
    if (error instanceof BpfError) return [error.code, error.message];
    throw error;
  }
  return ["", ""];
}

const insns = [mov64Imm(R0, 2), exit()];

onEachHost((host) => {
  test("devices by index", () => {
    const ports = host.createMap({ type: "devmap", name: "ports", maxEntries: 4 });
    ports.set(0, 1).set(3, 1);
    expect([ports.get(0), ports.get(1), ports.has(3)]).toEqual([{ target: 1, programId: 0 }, undefined, true]);
    expect([...ports]).toEqual([
      [0, { target: 1, programId: 0 }],
      [3, { target: 1, programId: 0 }],
    ]);
    expect(ports.stats().entries).toBe(2);
    expect([ports.delete(0), ports.delete(0)]).toEqual([true, false]);
    expect(refused(() => ports.set(9, 1))).toEqual(["E2BIG", expect.stringContaining("index 9 is outside")]);
    expect(refused(() => ports.set(0, 0x7fff_fff0))).toEqual([
      "EINVAL",
      expect.stringContaining("there is no device 2147483632"),
    ]);
    ports.close();
  });

  test("devices by any key, with a program", () => {
    const ports = host.createMap({ type: "devmap_hash", maxEntries: 2 });
    const program = host.loadProgram({ type: "xdp", insns, license: "GPL", expectedAttachType: BPF_XDP_DEVMAP });
    ports.set(1000, 1, program);
    expect([...ports]).toEqual([[1000, { target: 1, programId: program.id }]]);
    ports.set(2000, 1);
    expect(refused(() => ports.set(3000, 1))).toEqual(["E2BIG", expect.stringContaining("is full: 2 of 2")]);
    const other = host.loadProgram({ type: "xdp", name: "plain", insns, license: "GPL" });
    expect(refused(() => ports.set(1000, 1, other))).toEqual(["EINVAL", expect.stringContaining("BPF_XDP_DEVMAP")]);
    expect([ports.delete(1000), ports.delete(1000)]).toEqual([true, false]);
    for (const each of [ports, program, other]) each.close();
  });

  test("CPUs", () => {
    const cpus = host.createMap({ type: "cpumap", maxEntries: 256 });
    const program = host.loadProgram({ type: "xdp", insns, license: "GPL", expectedAttachType: BPF_XDP_CPUMAP });
    cpus.set(0, 128, program);
    expect(cpus.get(0)).toEqual({ target: 128, programId: program.id });
    expect(refused(() => cpus.set(255, 128))).toEqual(["ENODEV", expect.stringContaining("255")]);
    expect(refused(() => cpus.set(0, 16385))[0]).toBe("EOVERFLOW");
    expect([...cpus.keys()]).toEqual([0]);
    for (const each of [cpus, program]) each.close();
  });

  test("what is opened again is what was made", () => {
    const made = host.createMap({ type: "devmap", maxEntries: 4 });
    made.set(1, 1);
    const opened = host.openMap({ id: made.id }, { type: "devmap" });
    expect(opened.get(1)).toEqual({ target: 1, programId: 0 });
    for (const each of [made, opened]) each.close();
  });
});
