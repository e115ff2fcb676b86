import { frame, type ProgramCase } from "./cases.ts";

const XDP_PASS = 2;

export const cases: readonly ProgramCase[] = [
  {
    name: "what is there is called, what is missing is not",
    program: "choose",
    kernel: "run",
    runs: [{ data: frame(64) }],
    expect: { retval: XDP_PASS, globals: { taken: 1 } },
  },
  {
    name: "a symbol whose address is given",
    program: "choose",
    kernel: "run",
    load: {
      edit: (spec) => {
        for (const extern of spec.externs) if (extern.name === "there_is_no_such_symbol") extern.value = 1n << 63n;
      },
    },
    runs: [{ data: frame(64) }],
    expect: { retval: XDP_PASS, globals: { taken: 9 } },
  },
];
