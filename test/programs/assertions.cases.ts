import { frame, type ProgramCase } from "./cases.ts";

const XDP_DROP = 1;
const XDP_PASS = 2;
const XDP_TX = 3;
const runs = [60, 100, 200].map((size) => ({ data: frame(size) }));

export const cases: readonly ProgramCase[] = [
  {
    name: "what is thrown is what the program returns",
    program: "assert_all",
    kernel: "run",
    runs,
    expect: { retval: [XDP_DROP, XDP_PASS, XDP_TX], globals: { parsed: 1, returned: 1 } },
  },
];
