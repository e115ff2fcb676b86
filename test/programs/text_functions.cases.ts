import { expect } from "vitest";
import { frame, type ProgramCase } from "./cases.ts";

const XDP_PASS = 2;
const ENOENT = -2;
const EFAULT = -14;
const ERANGE = -34;

interface Question {
  readonly first: Uint8Array;
  readonly second: Uint8Array;
  readonly count: bigint;
  readonly letter: number;
}

function about(first: string, second: string, letter: string | number, count: bigint): Question {
  const bytes = (text: string): Uint8Array => Uint8Array.from({ length: 24 }, (_, i) => text.charCodeAt(i) || 0);
  return {
    first: bytes(first),
    second: bytes(second),
    count,
    letter: typeof letter === "number" ? letter : letter.charCodeAt(0),
  };
}

const questions: readonly Question[] = [
  about("hello world", "wor", "o", 9n),
  about("Hello", "hELLO", 0, 6n),
  about("", "", "a", 0n),
  about("", "x", 0, 1n),
  about("abc", "", "c", 2n),
  about("aaab", "aab", "b", 3n),
  about("aaab", "aab", "b", 4n),
  about("aabaab", "baa", 256 + 0x61, 1n << 40n),
  about("x\xe4\xd7", "X\xc4\xf7", 0xe4, 3n),
  about("y\xff", "y\xdf", 0xffff_ffff, 2n),
  about("abcdefghijklmnopqrstuvw", "wvu", "w", (1n << 64n) - 1n),
  about("[\\]^_`", "{|}~", "`", 5n),
];
/** Of the first two; the others must be the same on the kernel. */
const answers: readonly object[] = [
  {
    strcmp: -1,
    strcasecmp: -1,
    strchr: 4,
    strchrnul: 4,
    strnchr: 4,
    strrchr: 7,
    strlen: 11,
    strnlen: 9,
    strspn: 0,
    strcspn: 4,
    strstr: 6,
    strnstr: 6,
  },
  {
    strcmp: -1,
    strcasecmp: 0,
    strchr: 5,
    strchrnul: 5,
    strnchr: 5,
    strrchr: 5,
    strlen: 5,
    strnlen: 5,
    strspn: 0,
    strcspn: 5,
    strstr: ENOENT,
    strnstr: ENOENT,
  },
];
const unanswered = Object.fromEntries(Object.keys(answers[0]!).map((name) => [name, 99]));

export const cases: readonly ProgramCase[] = [
  {
    name: "twelve questions to twelve functions",
    program: "ask",
    kernel: "run",
    load: { globals: { questions: questions.map((question) => ({ ...question, answers: unanswered })) } },
    runs: [{ data: frame(64) }],
    expect: {
      retval: XDP_PASS,
      globals: { nowhere: [ERANGE, ERANGE, EFAULT, EFAULT] },
      after: ({ object }) => {
        const given = object.globals.get("questions") as readonly { readonly answers: object }[];
        expect(given.slice(0, 2).map((question) => question.answers)).toEqual(answers);
        expect(given.some((question) => Object.values(question.answers).includes(99))).toBe(false);
      },
    },
  },
];
