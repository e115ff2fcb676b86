/** A run of random programs outlives children that die, or stop: played by processes that compare nothing. */
import { spawn } from "node:child_process";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { type Children, compareInChildren, type Span, TELL_FD } from "./children.ts";
import { type ProgramTally, summary } from "./tally.ts";

const PATIENCE = 3_000;
const DIE = "process.kill(process.pid, 'SIGKILL')";
const STOP = "Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0)";

let spans: Span[] = [];
beforeEach(() => {
  spans = [];
  for (const name of ["log", "error"] as const) vi.spyOn(console, name).mockReturnValue();
});
afterEach(() => vi.restoreAllMocks());

/** Programs 0 to 9. `before` is what a child does before each is told of, and `at` when it runs. */
function play(oopses: () => number, at = "", before = ""): Promise<ProgramTally> {
  const start: Children["start"] = ({ first, count }) => {
    spans.push({ first, count });
    const script = `
      const tell = (what) => require("node:fs").writeFileSync(${TELL_FD}, JSON.stringify(what) + "\\n");
      for (let index = ${first}; index < ${first + count}; index++) {
        ${before}
        tell(index);
        ${at}
        tell(index % 2 ? { kind: "compiled", instructions: 10 } : { kind: "refused", instructions: 1, why: "R" + index });
      }`;
    return spawn(process.execPath, ["-e", script], { stdio: ["inherit", "inherit", "inherit", "pipe"] });
  };
  return compareInChildren(3, { first: 0, count: 10 }, { start, oopses, patience: PATIENCE });
}

const standing = (): number => 7;
/** Has fallen over once more whenever it is asked. */
function falling(): () => number {
  let oopses = 7;
  return () => oopses++;
}

test("what children tell is added up", async () => {
  const tally = await play(standing);
  expect(spans).toEqual([{ first: 0, count: 10 }]);
  expect(tally).toMatchObject({ seed: 3, count: 10, instructions: 55, compiled: 5, differences: 0, fallen: [] });
  expect([...tally.refused]).toEqual([["RN", 5]]);
});

test.each([
  ["dies", DIE],
  ["stops", STOP],
])("the kernel falls over and the child %s: the run goes on behind the program", async (_, how) => {
  const tally = await play(falling(), `if (index === 4) ${how};`);
  expect(spans).toEqual([
    { first: 0, count: 10 },
    { first: 5, count: 5 },
  ]);
  expect(tally).toMatchObject({ count: 9, compiled: 5, differences: 0, fallen: [4] });
  expect(summary(tally)).toContain("fell over on program 4 of seed 3");
});

test("a kernel that falls over again is left alone", async () => {
  const tally = await play(falling(), `if (index > 2) ${DIE};`);
  expect(tally).toMatchObject({ count: 3, fallen: [3, 4] });
});

test("a child that ends while the kernel stands is a difference", async () => {
  const tally = await play(standing, "if (index === 4 || index === 9) process.exit(1);");
  expect(tally).toMatchObject({ count: 10, differences: 2, fallen: [] });
  expect(console.log).toHaveBeenCalledWith("\nprogram 9 of seed 3: the process ended with 1\n");
});

test("a child that ends between two programs ends the run: it would again", async () => {
  const over = play(falling(), "", "if (index === 6) process.exit(2);");
  await expect(over).rejects.toThrow("programs from 6 on: the process ended with 2");
});
