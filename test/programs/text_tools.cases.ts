import type { ProgramCase } from "./cases.ts";

const EINVAL = 22;
const ERANGE = 34;

/** struct request */
function request(text: string, base: number): Uint8Array {
  const bytes = new Uint8Array(72);
  bytes.set(new TextEncoder().encode(text));
  const view = new DataView(bytes.buffer);
  view.setUint32(64, text.length, true);
  view.setUint32(68, base, true);
  return bytes;
}

interface Answer {
  readonly number: bigint;
  readonly unsigned_number: bigint;
  readonly number_ret: number;
  readonly unsigned_ret: number;
  readonly is_help: number;
  readonly line: string;
}

function answer(found: Answer): unknown {
  return { ...found, line_ret: found.line.length + 1 };
}

export const cases: readonly ProgramCase[] = [
  {
    name: "a number, with white space before it and text behind",
    program: "parse",
    kernel: "run",
    runs: [{ ctx: request(" \t-123 apples", 10) }],
    expect: {
      maps: {
        answers: [
          answer({
            number: -123n,
            unsigned_number: 0n,
            number_ret: 6,
            unsigned_ret: -EINVAL,
            is_help: 0,
            line: "text= \t-123 apples number=-123 hex=0 used=6 x%",
          }),
        ],
      },
    },
  },
  {
    name: "bases that the text says",
    program: "parse",
    kernel: "run",
    runs: [{ ctx: request("0xFFFFFFFFFFFFFFFF", 0) }],
    expect: {
      maps: {
        answers: [
          answer({
            number: 0n,
            unsigned_number: 0xffff_ffff_ffff_ffffn,
            number_ret: -ERANGE,
            unsigned_ret: 18,
            is_help: 0,
            line: "text=0xFFFFFFFFFFFFFFFF number=0 hex=ffffffffffffffff used=-34 x%",
          }),
        ],
      },
    },
  },
  {
    name: "no number at all",
    program: "parse",
    kernel: "run",
    runs: [{ ctx: request("help", 8) }, { ctx: request("helper", 8) }, { ctx: request("help", 7) }],
    expect: {
      retval: [37, 39, 37],
      maps: {
        answers: [
          answer({
            number: 0n,
            unsigned_number: 0n,
            number_ret: -EINVAL,
            unsigned_ret: -EINVAL,
            is_help: 1,
            line: "text=help number=0 hex=0 used=-22 x%",
          }),
        ],
      },
    },
  },
  {
    name: "what bpf_trace_printk and bpf_trace_vprintk take, and return",
    program: "print",
    kernel: "run",
    runs: [{ args: [0xffff_8880_0000_0000n, 257] }],
    expect: { maps: { printed: [{ rets: [6, -EINVAL, 28, 4, -EINVAL, 28, -EINVAL, -EINVAL] }] } },
  },
];
