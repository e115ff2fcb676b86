import { frame, type ProgramCase } from "./cases.ts";

const XDP_PASS = 2;
const [E2BIG, EINVAL, ERANGE] = [-7, -22, -34];

const ramp = (size: number): Uint8Array => Uint8Array.from({ length: size }, (_, i) => i);

/** Every answer in order; the kernel's come from Linux 6.18. */
function answers(program: string, data: Uint8Array, says: readonly number[]): ProgramCase {
  return {
    name: `${program}, ${data.length} bytes`,
    program,
    kernel: "run",
    runs: [{ data }],
    expect: {
      retval: XDP_PASS,
      globals: { count: says.length, says: Array.from({ length: 96 }, (_, i) => BigInt(says[i] ?? 0)) },
    },
  };
}

const packetAnswers = (size: number, last: number): readonly number[] => [
  ...[0, size, 0, 1],
  ...[0, last, E2BIG, EINVAL, E2BIG],
  ...[1, last, 1],
  ...[0, E2BIG],
  ...[0, 0, E2BIG],
];

export const cases: readonly ProgramCase[] = [
  answers("of_nothing", frame(64), [
    ...[EINVAL, 1, 0, EINVAL],
    ...[EINVAL, EINVAL, EINVAL, EINVAL, 1],
    ...[1, 1, 1],
    ...[0, E2BIG, E2BIG, 0, E2BIG],
    ...[EINVAL, EINVAL],
  ]),
  answers("of_memory", frame(64), [
    ...[0, 64],
    ...[E2BIG, EINVAL, EINVAL, 0, E2BIG, E2BIG],
    ...[E2BIG, EINVAL, E2BIG, 0, 9],
    ...[EINVAL, ERANGE, ERANGE, 0, 0, 0, 48, 64],
    ...[8, 48, 1],
    ...[E2BIG, 0, E2BIG, E2BIG, 0, 0, 0],
    ...[0, 0, 0, 0, 1],
  ]),
  answers("of_records", frame(64), [
    ...[EINVAL, E2BIG, EINVAL, EINVAL],
    ...[0, 0, 0],
    ...[0, 0, E2BIG, EINVAL],
    ...[0, 0, 0, 0],
  ]),
  answers("of_packets", ramp(64), packetAnswers(64, 63)),
  answers("of_packets", ramp(9000), packetAnswers(9000, 8999 & 255)),
  answers("of_pages", ramp(9000), [
    ...[9000, 1, 1, 1],
    ...[0xbc + 0xc3 * 256, 0xc0, 0xbf, 1, 1],
    ...[0, 0, 0],
    0x3c + ((3520 + 3800 + 3) & 255) * 256,
  ]),
];
