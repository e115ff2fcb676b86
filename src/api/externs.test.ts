/** Externs on every host: what the kernel has, what is given in its place, and what is missing. */
import { expect, test } from "vitest";
import { onEachEngine } from "../../test/hosts.ts";
import { type BpfHost, InputError, type LoadObjectOptions, type ObjectSpec } from "../index.ts";

const path = new URL("../../test/fixtures/bpf/externs.bpf.o", import.meta.url);
const configured = {
  CONFIG_HZ: 100,
  CONFIG_NET: true,
  CONFIG_BPF_SYSCALL: true,
  CONFIG_DEFAULT_HOSTNAME: "name",
} as const;

/** The fixture's programs as XDP programs, which every host runs. */
function asXdp(spec: ObjectSpec): void {
  for (const program of spec.programs) Object.assign(program, { type: 6, expectedAttachType: 0 });
}

function retval(host: BpfHost, program: string, options: LoadObjectOptions = {}): number {
  const edit = (spec: ObjectSpec): void => {
    asXdp(spec);
    options.edit?.(spec);
  };
  const object = host.loadObject(path, { ...options, programs: [program], edit });
  try {
    return object.program(program).run({ data: new Uint8Array(64) }).retval;
  } finally {
    object.close();
  }
}

onEachEngine((host) => {
  test("configuration values", () => {
    expect(retval(host, "with_kconfig", { kconfig: configured })).toBe(100 + 1_000_000 + 10_000_000 + 97);
    const text = 'CONFIG_HZ=1\n# CONFIG_NET is not set\nCONFIG_NET=n\nCONFIG_BPF_SYSCALL=n\nCONFIG_DEFAULT_HOSTNAME=""';
    expect(retval(host, "with_kconfig", { kconfig: text })).toBe(1);
  });

  test("the version", () => {
    const version = retval(host, "with_version");
    expect(version).toBe(host.facts.version >> 16);
    expect(version).toBeGreaterThanOrEqual(5);
    expect(retval(host, "with_version", { kconfig: { LINUX_KERNEL_VERSION: 0x40000 } })).toBe(4);
  });

  test("what is missing is 0, and its calls are never reached", () => {
    expect(retval(host, "with_missing")).toBe(7);
    // Set by the caller: a symbol has this address.
    const edit = (spec: ObjectSpec): void => {
      for (const extern of spec.externs) if (extern.name === "no_such_symbol") extern.value = 0xffff_8000_1234_5678n;
    };
    expect(retval(host, "with_missing", { edit })).toBe(9);
    expect(() => retval(host, "on_demand")).toThrow(
      /kernel function bpf_no_such_function, which this kernel does not have/,
    );
  });

  test("functions of the kernel, and those that it shall not have", () => {
    expect(retval(host, "with_functions")).toBe(5);
    const without = (name: string) => (spec: ObjectSpec) => {
      for (const extern of spec.externs) if (extern.name === name) extern.value = null;
    };
    expect(() => retval(host, "with_functions", { edit: without("bpf_rcu_read_lock") })).toThrow(
      /calls the kernel function bpf_rcu_read_lock/,
    );
    expect(() => retval(host, "with_functions", { edit: without("bpf_rcu_read_unlock") })).toThrow(
      /extern bpf_rcu_read_unlock: not found in the kernel's BTF; declare it __weak/,
    );
  });

  test("variables of the kernel: by their BTF", () => {
    const edit = (spec: ObjectSpec): void => {
      // On the embedded host a function's id stands for the variable's.
      const btfId = host.kernelBtf()?.btf.find("bpf_rcu_read_lock", "func");
      for (const extern of spec.externs) if (extern.name === "bpf_prog_active") extern.value = btfId!;
    };
    if (host.kind === "embedded") expect(retval(host, "with_variable", { edit })).toBe(2);
    // Not every kernel has the addresses of its variables.
    else expect(() => retval(host, "with_variable")).toThrow(/failed to find the address for kernel symbol|^$/);
  });

  test("errors name the extern and say what to do", () => {
    const load = (program: string, options: LoadObjectOptions): unknown => retval(host, program, options);
    const kconfig = { ...configured, CONFIG_HZ: -1 };
    expect(() => load("with_kconfig", { kconfig })).toThrow(/extern CONFIG_HZ: found -1, expected a number of 32 bits/);
    expect(() => load("with_kconfig", { globals: { CONFIG_HZ: 1 } })).toThrow(/loadObject\(\{ kconfig: \{ CONFIG_HZ/);
    const before = host.leaks().length;
    if (host.kind === "embedded") {
      expect(() => load("with_kconfig", {})).toThrow(InputError);
      expect(() => load("with_kconfig", {})).toThrow(/extern CONFIG_HZ: this host shows no configuration; give it/);
      expect(() => load("with_symbol", {})).toThrow(/extern _text: not found among the kernel's symbols/);
      expect(() => load("with_variable", {})).toThrow(/extern bpf_prog_active: not found in the kernel's BTF/);
    } else {
      // This machine's: any number of ticks.
      expect(load("with_kconfig", { kconfig: { CONFIG_DEFAULT_HOSTNAME: "a" } })).toBeGreaterThan(1_000_000);
      expect(load("with_symbol", {})).toBe(2);
    }
    expect(host.leaks().length).toBe(before);
  });
});
