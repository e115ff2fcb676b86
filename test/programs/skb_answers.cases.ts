import type { ProgramCase } from "./cases.ts";

const [E2BIG, EFAULT, EINVAL] = [-7, -14, -22];
const ramp = Uint8Array.from({ length: 64 }, (_, i) => i);

/** Every answer in order. */
function answers(program: string, retval: number, says: readonly number[]): ProgramCase {
  return {
    name: program,
    program,
    kernel: "run",
    runs: [{ data: ramp }],
    expect: {
      retval,
      globals: { count: says.length, says: Array.from({ length: 48 }, (_, i) => BigInt(says[i] ?? 0)) },
    },
  };
}

export const cases: readonly ProgramCase[] = [
  answers("read_only", 0, [
    ...[EINVAL, 1, 0, 50, 1],
    ...[0, 16, EINVAL, EINVAL, EINVAL, EINVAL],
    ...[17, 1, 1],
    ...[EINVAL, EINVAL, E2BIG, 0],
    ...[0, 1, 0, 0, 18],
  ]),
  answers("read_and_write", 0, [
    ...[0, 64, 0],
    ...[0, 0, 0, EINVAL, E2BIG],
    ...[1, 0, 0, 0],
    ...[0, 64, EFAULT, 0, EFAULT, EFAULT, EFAULT],
    1,
  ]),
];
