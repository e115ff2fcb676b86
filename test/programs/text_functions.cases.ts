import { frame, type ProgramCase } from "./cases.ts";

const XDP_PASS = 2;
const ENOENT = -2;
const EFAULT = -14;
const ERANGE = -34;

/** `ask` about these; what is not expected must be the same on the kernel all the same. */
function about(first: string, second: string, letter: string | number, count: bigint, answers?: object): ProgramCase {
  const bytes = (text: string): Uint8Array => Uint8Array.from({ length: 24 }, (_, i) => text.charCodeAt(i) || 0);
  return {
    name: JSON.stringify([first, second, letter, `${count}`]),
    program: "ask",
    kernel: "run",
    load: {
      globals: {
        first: bytes(first),
        second: bytes(second),
        letter: typeof letter === "number" ? letter : letter.charCodeAt(0),
        count,
      },
    },
    runs: [{ data: frame(64) }],
    expect: {
      retval: XDP_PASS,
      globals: answers === undefined ? {} : { nowhere: [ERANGE, ERANGE, EFAULT, EFAULT], answers },
    },
  };
}

export const cases: readonly ProgramCase[] = [
  about("hello world", "wor", "o", 9n, {
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
  }),
  about("Hello", "hELLO", 0, 6n, {
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
  }),
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
