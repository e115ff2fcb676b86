import { expect } from "vitest";
import { frame, type ProgramCase } from "./cases.ts";

const XDP_PASS = 2;
const runs = [{ data: frame(64) }];

export const cases: readonly ProgramCase[] = [
  {
    name: "a configuration as text",
    program: "tell",
    kernel: "run",
    load: {
      kconfig: [
        "# CONFIG_UNUSED is not set",
        "CONFIG_HZ=250",
        "CONFIG_BPF_SYSCALL=y",
        "CONFIG_IPV6=m",
        'CONFIG_DEFAULT_HOSTNAME="our.host"',
        "CONFIG_SOME_LETTER=y",
        "CONFIG_SOME_NUMBER=-0x10",
        "CONFIG_SOME_PORT=65535",
      ].join("\n"),
      edit: (spec) => {
        for (const extern of spec.externs) if (extern.name === "LINUX_KERNEL_VERSION") extern.value = 0x070203;
      },
    },
    runs,
    expect: {
      retval: 7,
      after: ({ object }) => {
        expect(object.globals.get("report")).toMatchObject({
          hz: 250,
          flags: 5,
          number: -16n,
          port: 65535,
          letter: "y".charCodeAt(0),
        });
        expect(object.globals.get("CONFIG_HZ")).toBe(250);
      },
    },
  },
  {
    name: "values by option; what is weak and missing is zero",
    program: "tell",
    kernel: "run",
    load: {
      kconfig: {
        CONFIG_HZ: 1000n,
        CONFIG_BPF_SYSCALL: true,
        CONFIG_IPV6: "y",
        CONFIG_DEFAULT_HOSTNAME: "a name too long for it",
        LINUX_KERNEL_VERSION: 6 << 16,
      },
    },
    runs,
    expect: {
      retval: 6,
      after: ({ object }) => {
        const report = object.globals.get("report") as { hostname: unknown };
        expect(report).toMatchObject({ hz: 1000, flags: 3, number: 0n, port: 0, letter: 0 });
        expect(String(report.hostname)).toContain("a name too long");
      },
    },
  },
  {
    name: "the version is the host's",
    program: "version",
    kernel: "run",
    load: { programs: ["version"] },
    runs,
    expect: { retval: XDP_PASS },
    skip: Object.fromEntries(
      ["HZ", "BPF_SYSCALL", "IPV6", "DEFAULT_HOSTNAME"]
        .map((option) => [`CONFIG_${option}`, "this machine's kernel was configured, the embedded host was not"])
        .concat([["LINUX_KERNEL_VERSION", "each host says its own, with the last part"]]),
    ),
  },
];
