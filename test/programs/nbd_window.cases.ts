import { expect } from "vitest";
import type { RunOptions } from "../../src/index.ts";
import type { ProgramCase } from "./cases.ts";
import { u32 } from "./packets.ts";

const why = "programs of writable tracepoints have no PROG_TEST_RUN";
const MAGIC = 0x2560_9513;
const [READ, WRITE, DISCONNECT, TRIM] = [0, 1, 2, 4];
const BUFFER = 0xffff_8881_0009_0004n;
const START = 1 << 20;
const SIZE = 1 << 16;

/** Magic, type, cookie, from, length: all in network byte order. */
const request = (type: number, from: number, length: number, magic = MAGIC): Uint8Array =>
  Uint8Array.from([...u32(magic), ...u32(type), 1, 2, 3, 4, 5, 6, 7, 8, ...u32(0), ...u32(from), ...u32(length)]);

/** What the request is afterwards. */
function becomes(name: string, before: Uint8Array, after: Uint8Array, counters: Record<string, bigint>): ProgramCase {
  const bytes = before.slice();
  const run: RunOptions = { args: [BUFFER], memory: [{ address: BUFFER, bytes, writable: true }] };
  return {
    name,
    program: "on_request",
    kernel: "load",
    why,
    before: () => bytes.set(before),
    runs: [run],
    expect: {
      retval: 0,
      globals: { moved: 0n, cut: 0n, refused: 0n, strange: 0n, ...counters },
      after: () => expect(bytes).toEqual(after),
    },
  };
}

export const cases: readonly ProgramCase[] = [
  becomes("a request is moved into the window", request(READ, 512, 4096), request(READ, START + 512, 4096), {
    moved: 1n,
  }),
  becomes(
    "one that would reach beyond is cut",
    request(WRITE, SIZE - 512, 4096),
    request(WRITE, START + SIZE - 512, 512),
    { moved: 1n, cut: 1n },
  ),
  becomes("one from outside ends the connection", request(READ, SIZE, 1), request(DISCONNECT, 0, 0), { refused: 1n }),
  becomes("other requests stay", request(TRIM, 512, 4096), request(TRIM, 512, 4096), {}),
  becomes("what is no request stays", request(READ, 512, 4096, 1), request(READ, 512, 4096, 1), { strange: 1n }),
  {
    name: "a buffer that may not be written: the run ends at the first store",
    program: "on_request",
    kernel: "load",
    why,
    runs: [{ args: [BUFFER], memory: [{ address: BUFFER, bytes: request(READ, 512, 4096) }] }],
    expect: { errno: 14, globals: { moved: 0n } },
  },
];
