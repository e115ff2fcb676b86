/** What an object of production size takes to load: two dozen programs, a hundred maps, ten thousand instructions. */
import { expect, test } from "vitest";
import { onEachHost } from "../hosts.ts";
import { readProgram } from "./harness.ts";

/** A second on a machine with nothing else to do. CPU time, and more of it: machines that test have other things to do. */
const LIMIT_MS = 4000;

onEachHost((host) => {
  test("loads in under a second", () => {
    const bytes = readProgram("production");
    const start = process.cpuUsage();
    const object = host.loadObject(bytes, { name: "production" });
    const { user, system } = process.cpuUsage(start);
    const ms = (user + system) / 1000;
    const insns = object.spec.programs.reduce((sum, program) => sum + program.insns.length, 0);
    const { maps, programs } = object;
    console.log(
      `${host.kind}: ${programs.size} programs, ${insns} instructions, ${maps.size} maps: ${ms.toFixed(0)} ms`,
    );
    expect([programs.size >= 24, maps.size >= 96, insns > 9000]).toEqual([true, true, true]);
    expect(ms).toBeLessThan(LIMIT_MS);
    object.close();
  });
});
