/** What runs programs, and how a user hears of it. */
import { afterEach, expect, test, vi } from "vitest";
import { onEachHost } from "../../test/hosts.ts";
import { thrown } from "../../test/thrown.ts";
import { assemble, callRel, exit, type Insn, label, ldx, mov64, mov64Imm, R0, R1, R6 } from "../insn/index.ts";
import { createEmbedded, type EmbeddedBpfHost } from "./embedded.ts";
import { RunFault } from "./error.ts";
import { Trace } from "./observe/index.ts";
import type { Program } from "./program.ts";

const pass: readonly Insn[] = [mov64Imm(R0, 2), exit()];
/** A function that reads its caller's r6, which the kernel's verifier refuses. */
const nosy = assemble([mov64Imm(R6, 5), callRel("f"), exit(), label("f"), mov64(R0, R6), exit()]);
const packet = new Uint8Array(64);

const load = (host: EmbeddedBpfHost, insns: readonly Insn[]): Program =>
  host.loadProgram({ type: "xdp", name: "under_test", insns, license: "GPL" });

afterEach(() => vi.unstubAllGlobals());

onEachHost((host) => {
  test("a run says what ran it", () => {
    const program = host.loadProgram({ type: "xdp", insns: pass });
    const engine = host.kind === "kernel" ? "kernel" : "jit";
    expect(host.engine).toBe(engine);
    expect(program.run({ data: packet })).toMatchObject({ retval: 2, engine, whyInterpreted: undefined });
    const compiled = program.compile();
    expect(compiled).toMatchObject({ engine, whyInterpreted: undefined });
    // A kernel without its own JIT has no machine code.
    if (engine === "jit") expect(compiled.bytes).toBeGreaterThan(0);
    expect(compiled.milliseconds).toBeGreaterThanOrEqual(0);
    program.close();
    expect(() => program.compile()).toThrow(/program .* is closed/);
  });
});

test("a host that interprets", () => {
  using host = createEmbedded({ engine: "interp", memory: 16 << 20 });
  const program = load(host, pass);
  expect(host.engine).toBe("interp");
  expect(program.compile()).toEqual({ engine: "interp", whyInterpreted: undefined, milliseconds: 0, bytes: 0 });
  expect(program.run({ data: packet })).toMatchObject({ retval: 2, engine: "interp", whyInterpreted: undefined });
  // @ts-expect-error no such engine
  expect(() => createEmbedded({ engine: "fast" })).toThrow(/engine is "fast": expected "jit" or "interp"/);
});

test("what cannot be compiled is interpreted, and says why", () => {
  using host = createEmbedded({ memory: 16 << 20 });
  const whyInterpreted = "the function at instruction 3 reads registers of its caller";
  const program = load(host, nosy);
  expect(program.compile()).toMatchObject({ engine: "interp", whyInterpreted, bytes: 0 });
  expect(program.run({ data: packet })).toMatchObject({ retval: 5, engine: "interp", whyInterpreted });
  expect(host.execute(nosy)).toMatchObject({ r0: 5n, engine: "interp", whyInterpreted });
  expect(host.execute(pass)).toMatchObject({ r0: 2n, engine: "jit", whyInterpreted: undefined });
});

test("a run that is observed is interpreted", () => {
  using host = createEmbedded({ memory: 16 << 20 });
  const program = load(host, pass);
  const observed = { engine: "interp", whyInterpreted: "it is observed, instruction by instruction" };
  expect(program.run({ data: packet, observe: new Trace(() => {}) })).toMatchObject(observed);
  expect(program.run({ data: packet })).toMatchObject({ engine: "jit", whyInterpreted: undefined });
});

test("a run of the host's own, and one that is stopped", () => {
  using host = createEmbedded({ memory: 16 << 20 });
  const probe = host.loadProgram({ type: "kprobe", insns: pass, license: "GPL" });
  expect(probe.run({ ctx: new Uint8Array(168) })).toMatchObject({ retval: 2, engine: "jit" });
  const wrong = load(host, [mov64Imm(R1, 7), ldx("u8", R0, R1, 0), exit()]);
  expect(thrown(RunFault, () => wrong.run({ data: packet }))).toMatchObject({
    engine: "jit",
    whyInterpreted: undefined,
  });
});

/** As browsers refuse: by policy, by size. */
const refusals = {
  CompileError: () => new WebAssembly.CompileError("blocked by Content Security Policy"),
  RangeError: () => new RangeError("disallowed on the main thread, if the buffer size is larger than 8MB"),
};

test.each(Object.entries(refusals))("a page that may not compile (%s)", (_, error) => {
  using host = createEmbedded({ memory: 16 << 20 });
  const program = load(host, pass);
  const Module = function refuse(): never {
    throw error();
  };
  vi.stubGlobal("WebAssembly", { ...pickWebAssembly(), Module });
  const compiled = program.compile();
  expect(compiled).toMatchObject({ engine: "interp", bytes: 0 });
  expect(compiled.whyInterpreted).toMatch(
    new RegExp(`^its \\d+ bytes of WebAssembly are refused: ${error().message}$`),
  );
  expect(program.run({ data: packet })).toMatchObject({ retval: 2, engine: "interp" });
});

test("any other failure to compile is not hidden", () => {
  using host = createEmbedded({ memory: 16 << 20 });
  const program = load(host, pass);
  const Module = function broken(): never {
    throw new TypeError("a bug of ours");
  };
  vi.stubGlobal("WebAssembly", { ...pickWebAssembly(), Module });
  expect(() => program.compile()).toThrow("a bug of ours");
});

/** Its properties cannot be enumerated. */
function pickWebAssembly(): Pick<typeof WebAssembly, "CompileError" | "Global" | "Instance" | "Memory"> {
  const { CompileError, Global, Instance, Memory } = WebAssembly;
  return { CompileError, Global, Instance, Memory };
}
