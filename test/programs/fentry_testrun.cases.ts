import { expect } from "vitest";
import type { Link, RunResult } from "../../src/index.ts";
import type { CaseScene, ProgramCase } from "./cases.ts";
import { contents } from "./contents.ts";

const why =
  "the kernel here refuses to load fentry, fexit and fmod_ret programs (EPERM); what is expected is written down from Linux 6.18's net/bpf/test_run.c";
const EOPNOTSUPP = -95;
const PLAIN = { ret: 0n, cookie: 0n, behind: 0n };

type Seen = Readonly<Record<string, unknown>>;

/** Runs with these programs attached, in this order; then they are detached. */
function attached(scene: CaseScene, names: readonly string[], run: () => void): void {
  const links: Link[] = [];
  try {
    for (const name of names) links.push(scene.object.program(name).attach());
    run();
  } finally {
    for (const link of links) link.close();
  }
}

function testRun({ object }: CaseScene, program: string): RunResult {
  return object.program(program).testRun();
}

/** Who ran since it was asked last. */
function steps({ object: { globals } }: CaseScene): readonly number[] {
  const ran = (globals.get("steps") as number[]).slice(0, globals.get("step_count") as number);
  globals.set("step_count", 0);
  return ran;
}

function seenAt({ object }: CaseScene, map: string): readonly Seen[] {
  return contents(object.map(map)) as Seen[];
}

const numbers = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10];
/** What the kernel calls its test functions with; pointers to its own stack are looked at by what lies there. */
const calls: readonly (readonly number[] | undefined)[] = [
  [1],
  [2, 3],
  [4, 5, 6],
  [7, 8, 9, 10],
  [11, 12, 13, 14, 15],
  [16, 17, 18, 19, 20, 21],
  [0],
  undefined,
  undefined,
  [0],
];
const returned = [2, 5, 15, 34, 65, 111, 0, 0, 0, 0];

const padded = (args: readonly number[]): bigint[] => Array.from({ length: 7 }, (_, i) => BigInt(args[i] ?? 0));

export const cases: readonly ProgramCase[] = [
  {
    name: "functions are called with fixed arguments, and programs see them at entry",
    program: "enter_1",
    kernel: "none",
    why,
    runs: [],
    expect: {
      after: (scene) => {
        attached(
          scene,
          numbers.map((n) => `enter_${n}`),
          () => expect(testRun(scene, "enter_1")).toMatchObject({ retval: 0, data: undefined }),
        );
        expect(steps(scene)).toEqual(numbers.map((n) => 100 + n));
        const seen = seenAt(scene, "entered").slice(1);
        calls.forEach((args, i) => {
          if (args === undefined) return;
          const wanted = { ...PLAIN, args: padded(args), arg_count: args.length, ret_error: EOPNOTSUPP };
          expect(seen[i], `bpf_fentry_test${i + 1}`).toEqual(wanted);
        });
        // Through the pointers: a struct whose pointer is NULL, an unsigned int that is 0.
        expect(seen[7]).toMatchObject({ arg_count: 1, behind: 1n });
        expect(seen[8]).toMatchObject({ arg_count: 1, behind: 0n });
        expect(seenAt(scene, "left").every((each) => each.arg_count === 0)).toBe(true);
      },
    },
  },
  {
    name: "at exit they see what was returned too",
    program: "leave_1",
    kernel: "none",
    why,
    runs: [],
    expect: {
      after: (scene) => {
        attached(
          scene,
          numbers.map((n) => `leave_${n}`),
          () => expect(testRun(scene, "leave_3").retval).toBe(0),
        );
        expect(steps(scene)).toEqual(numbers.map((n) => 300 + n));
        const seen = seenAt(scene, "left").slice(1, 11);
        expect(seen.map((each) => each.ret)).toEqual(returned.map(BigInt));
        expect(seen.map((each) => each.ret_error)).toEqual(returned.map(() => 0));
        expect(seen[5]).toMatchObject({ args: padded([16, 17, 18, 19, 20, 21]), arg_count: 6 });
      },
    },
  },
  {
    name: "what is not attached does not run, though its test run calls the functions",
    program: "enter_1",
    kernel: "none",
    why,
    runs: [],
    expect: {
      after: (scene) => {
        expect(testRun(scene, "enter_1").retval).toBe(0);
        expect(steps(scene)).toEqual([]);
        // It runs those that are attached, of either kind, and itself among them or not.
        attached(scene, ["enter_2", "leave_2"], () => testRun(scene, "enter_1"));
        expect(steps(scene)).toEqual([102, 302]);
        testRun(scene, "enter_2");
        expect(steps(scene)).toEqual([]);
      },
    },
  },
  {
    name: "the program that was attached last runs first; sleepable ones know the function's address",
    program: "enter_1",
    kernel: "none",
    why,
    runs: [],
    expect: {
      after: (scene) => {
        attached(scene, ["leave_1", "enter_1", "enter_sleepable", "leave_sleepable"], () => testRun(scene, "enter_1"));
        expect(steps(scene)).toEqual([190, 101, 390, 301]);
        const { globals } = scene.object;
        expect(globals.get("ip_at_entry")).toBeGreaterThan(0xffff_ffff_0000_0000n);
        expect(globals.get("ip_at_exit")).toBe(globals.get("ip_at_entry"));
      },
    },
  },
  {
    name: "cookies are the link's",
    program: "enter_1",
    kernel: "none",
    why,
    runs: [],
    expect: {
      after: (scene) => {
        const { object } = scene;
        using entry = object.program("enter_1").attach({ cookie: 0xfeed_0000_0000_0001n });
        using exit = object.program("leave_1").attach({ cookie: 7n });
        expect(exit.id).toBeGreaterThan(entry.id);
        testRun(scene, "leave_1");
        expect(seenAt(scene, "entered")[1]).toMatchObject({ cookie: 0xfeed_0000_0000_0001n });
        expect(seenAt(scene, "left")[1]).toMatchObject({ cookie: 7n });
      },
    },
  },
  {
    name: "without programs that stand in for them, both functions run and change what they point to",
    program: "modify",
    kernel: "none",
    why,
    runs: [],
    expect: {
      after: (scene) => {
        // 1 + 3, and 1 + 3 + 3 + 4 + 5 + 6 + 7.
        const plain = 2 * 0x1_0000 + 4 + 29;
        expect(testRun(scene, "modify").retval).toBe(plain);
        attached(scene, ["enter_modify", "modify", "modify_2", "leave_modify", "leave_modify_2"], () =>
          expect(testRun(scene, "modify").retval).toBe(plain),
        );
        expect(steps(scene)).toEqual([111, 211, 311, 212, 312]);
        const [entered, left] = [seenAt(scene, "entered"), seenAt(scene, "left")];
        expect([entered[11], left[11], entered[12], left[12]]).toMatchObject([
          { arg_count: 2, behind: 2n },
          { arg_count: 2, behind: 3n, ret: 4n },
          { arg_count: 7, behind: 2n, ret: 0n, ret_error: 0 },
          { arg_count: 7, behind: 3n, ret: 29n },
        ]);
        expect((entered[12]!.args as bigint[]).toSpliced(1, 1)).toEqual([1n, 3n, 4n, 5n, 6n, 7n]);
      },
    },
  },
  {
    name: "a program that returns other than 0 stands in for the function, which does not run",
    program: "modify",
    kernel: "none",
    why,
    load: { globals: { result: -22 } },
    runs: [],
    expect: {
      after: (scene) => {
        attached(scene, ["modify", "leave_modify"], () =>
          expect(testRun(scene, "modify").retval).toBe(0x1_0000 + ((29 - 22) & 0xffff)),
        );
        expect(steps(scene)).toEqual([211, 311]);
        const [, , , , , , , , , , , left] = seenAt(scene, "left");
        expect(left).toMatchObject({ behind: 2n, ret_error: 0 });
        expect(BigInt.asIntN(32, left?.ret as bigint)).toBe(-22n);
      },
    },
  },
  {
    name: "of several the first that does so is the last to run",
    program: "modify",
    kernel: "none",
    why,
    load: { globals: { result: 5, result_again: 0, result_2: 3 } },
    runs: [],
    expect: {
      after: (scene) => {
        attached(scene, ["modify", "modify_again", "modify_2"], () =>
          expect(testRun(scene, "modify").retval).toBe(5 + 3),
        );
        expect(steps(scene)).toEqual([221, 211, 212]);
        attached(scene, ["modify_again", "modify"], () => testRun(scene, "modify"));
        expect(steps(scene)).toEqual([211]);
      },
    },
  },
  {
    name: "a test function that is made to return something else fails the test run",
    program: "enter_1",
    kernel: "none",
    why,
    load: { globals: { result_entry: 9 } },
    runs: [],
    expect: {
      after: (scene) => {
        attached(scene, ["modify_entry", "enter_1", "leave_1", "enter_2"], () =>
          expect(() => testRun(scene, "enter_1")).toThrow(/EFAULT/),
        );
        expect(steps(scene)).toEqual([101, 201, 301]);
        expect(seenAt(scene, "left")[1]).toMatchObject({ ret: 9n });
        // Nothing of it stays.
        expect(testRun(scene, "enter_1").retval).toBe(0);
      },
    },
  },
];
