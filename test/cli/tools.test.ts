/** What the command line shows of programs: `run` with --trace, --coverage and --profile; `disasm`; `exec`. */
import { spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, test } from "vitest";
import { execCommand } from "../../src/cli/exec.ts";
import { BpfError, InputError, parseLcov } from "../../src/index.ts";
import {
  alu64,
  alu64Imm,
  call,
  callRel,
  encodeInsns,
  exit,
  type Insn,
  ldImm64,
  ldx,
  mov64,
  mov64Imm,
  R0,
  R1,
  R2,
  R6,
  R10,
  stx,
} from "../../src/insn/index.ts";
import { writePcap } from "../../src/pcap/index.ts";
import { BPF_FUNC_trace_printk, bpf_sock_addr } from "../../src/uapi/index.ts";
import { buildElf } from "../fixtures/bpf/elf_builder.ts";
import { ethernet } from "../programs/packet_sampler.cases.ts";
import { bpfmaps, printed } from "./in_process.ts";

const root = join(import.meta.dirname, "../..");
const sampler = join(root, "test/programs/packet_sampler.bpf.o");
const chain = join(root, "test/programs/rule_chain.bpf.o");
const redirect = join(root, "test/programs/connect_redirect.bpf.o");
const printer = join(root, "test/programs/text_tools.bpf.o");
const dir = mkdtempSync(join(tmpdir(), "bpfmaps-tools-"));
afterAll(() => rmSync(dir, { recursive: true, force: true }));

const packet = join(dir, "packet");
writeFileSync(packet, ethernet(64, 0x0800));
const run = (...args: string[]) => bpfmaps("run", sampler, "--prog", "sampler", "--data", packet, ...args);

test("--trace prints instructions with their source lines to standard error", async () => {
  const { code, out, err } = await run("--trace", "--json");
  expect(code).toBe(0);
  expect(JSON.parse(out)).toMatchObject({ runs: 1 });
  const lines = err.trimEnd().split("\n");
  expect(lines[0]).toMatch(/^; \.\/packet_sampler\.bpf\.c:\d+: int sampler\(struct xdp_md \*ctx\) \{$/);
  expect(lines[1]).toMatch(/^ {4}0: r\d = r1 .* r\d = 0x/);
  expect(err).toMatch(/call kind_of .*-> function kind_of\n/);
  expect(err).toMatch(/^ {2}; \.\/packet_sampler\.bpf\.c:\d+: /m);
  expect(err).toMatch(/bpf_ringbuf_reserve\(0x\w+, 0x28, 0x0\) = 0x/);
});

test("the report says what ran the program, and why the interpreter had to", async () => {
  const both = async (...args: string[]) => {
    const { engine, whyInterpreted } = JSON.parse((await run(...args, "--json")).out) as Record<string, string>;
    return [(await run(...args)).out.split("\n", 2).join("; "), engine, whyInterpreted];
  };
  const title = "sampler (xdp) on the embedded host";
  expect(await both()).toEqual([expect.stringContaining(`${title}, jit: 1 run; returned`), "jit", undefined]);
  expect(await both("--engine", "interp")).toEqual([
    expect.stringContaining(`${title}, interp: 1 run; returned`),
    "interp",
    undefined,
  ]);
  const why = "it is observed, instruction by instruction";
  for (const watched of ["--trace", "--profile"]) {
    const [text, ...rest] = await both(watched, "--engine", "jit");
    expect([text, ...rest]).toEqual([`${title}, interp: 1 run; interpreted: ${why}`, "interp", why]);
  }
});

test("--trace-limit says what it left out", async () => {
  const { err } = await run("--trace", "--trace-limit", "3");
  expect(err.match(/^ *\d+: /gm)).toHaveLength(3);
  expect(err).toMatch(/\n\.\.\. and \d+ more instructions \(--trace-limit\)\n$/);
});

test("--trace of a program that faults ends with why", async () => {
  const short = join(dir, "short");
  writeFileSync(short, new Uint8Array(5));
  const { code, err } = await bpfmaps("run", sampler, "--prog", "sampler", "--data", short, "--trace");
  expect([code, err]).toEqual([1, expect.stringMatching(/^bpfmaps: packet 1 \(5 bytes\)/)]);
});

test("--coverage writes an lcov file, with the path of a source that lies beside the object", async () => {
  const file = join(dir, "cover.info");
  const { code, out } = await run("--repeat", "2", "--coverage", `lcov=${file}`);
  expect(code).toBe(0);
  const { files } = parseLcov(readFileSync(file, "utf8"));
  expect(files.map((each) => each.file)).toEqual([join(root, "test/programs/packet_sampler.bpf.c")]);
  expect(existsSync(files[0]!.file)).toBe(true);
  expect(files[0]!.functions.find(({ name }) => name === "sampler")?.hits).toBe(2);
  expect(out).toMatch(/\n\ncoverage, written to .*cover\.info\n.*packet_sampler\.bpf\.c: \d+ of \d+ lines \(/);
});

test("--profile prints a table; with --json both are data", async () => {
  expect((await run("--profile")).out).toMatch(/\n\nprofile\n1 run, \d+ instructions, .*\n +time +in helpers +hits/);
  const file = join(dir, "both.info");
  const report = JSON.parse((await run("--profile", "--coverage", `lcov=${file}`, "--json")).out) as {
    coverage: { lines: unknown[] }[];
    profile: { hits: number }[];
  };
  expect(report.coverage[0]!.lines.length).toBeGreaterThan(10);
  expect(report.profile.every(({ hits }) => hits >= 1)).toBe(true);
});

test("--ctx: a program without packets runs on a context, and what it changed there is told", async () => {
  const { fields, size } = bpf_sock_addr;
  const given = new DataView(new ArrayBuffer(size));
  given.setUint32(fields.user_ip4.offset, 0x0100000a, true);
  given.setUint32(fields.user_port.offset, 0x5000, true);
  given.setUint32(fields.protocol.offset, 6, true);
  const [ctx, fill] = [join(dir, "sock_addr"), join(dir, "backends.json")];
  writeFileSync(ctx, new Uint8Array(given.buffer));
  const address = { ip: 0x0100000a, port: 0x5000, protocol: 6 };
  writeFileSync(fill, JSON.stringify({ backends: [{ key: address, value: { ...address, port: 0x901f } }] }));
  const args = ["run", redirect, "--prog", "connect4", "--fill", fill];
  const { code, out } = await bpfmaps(...args, "--ctx", ctx);
  expect([code, out]).toEqual([0, expect.stringMatching(/returned 1 x 1\nleft the context 0{8}0a000001\w{32}1f90/)]);
  const report = JSON.parse((await bpfmaps(...args, "--ctx", ctx, "--json")).out) as { ctxOut: string };
  expect(report.ctxOut).toHaveLength(2 * size);
  expect(await bpfmaps(...args, "--data", ctx)).toMatchObject({
    code: 1,
    err: expect.stringContaining("this type takes no `data` but a context: `ctx`"),
  });
  writeFileSync(ctx, new Uint8Array(500));
  expect(await bpfmaps(...args, "--ctx", ctx)).toMatchObject({
    code: 1,
    err: expect.stringContaining("the context has 500 bytes, more than"),
  });
});

test("--args: arguments in place of a context; what a program printed is told", async () => {
  const { code, out } = await bpfmaps("run", printer, "--prog", "print", "--args", "0xffff888000000000,257");
  expect(code).toBe(0);
  expect(out).toMatch(/^events\n( {2}\d+ x printk {2}.*\n)* {2}1 x printk {2}id 257\n/m);
  const report = JSON.parse((await bpfmaps("run", printer, "--prog", "print", "--args", "1,-2", "--json")).out) as {
    events: unknown[];
  };
  expect(report.events[0]).toEqual({ run: 1, kind: "printk", text: "id -2" });
});

test("a run that is stopped ends the report, which says where and why; the exit code is 1", async () => {
  const [file, capture] = [join(dir, "careless.bpf.o"), join(dir, "two.pcap")];
  const text = Buffer.from("read\n\0\0\0").readBigInt64LE();
  const insns = [
    ldx("u32", R6, R1, 0),
    ...ldImm64(R1, text),
    stx("u64", R10, R1, -8),
    mov64(R1, R10),
    alu64Imm("add", R1, -8),
    mov64Imm(R2, 6),
    call(BPF_FUNC_trace_printk),
    ldx("u8", R0, R6, 99),
    exit(),
  ];
  const license = new TextEncoder().encode("GPL\0");
  const sections = [
    { name: "xdp", data: insns },
    { name: "license", data: license },
  ];
  writeFileSync(file, buildElf(sections, [{ name: "careless", section: "xdp", size: insns.length * 8 }]));
  const packets = [100, 64, 100].map((size) => ({ timestampNs: 0n, data: new Uint8Array(size) }));
  writeFileSync(capture, writePcap(packets));
  const { code, out, err } = await bpfmaps("run", file, "--pcap", capture, "--repeat", "2", "--json");
  expect([code, err]).toEqual([
    1,
    expect.stringMatching(/^bpfmaps: packet 2 \(64 bytes\): .*careless.* must not do\n/),
  ]);
  const { runs, returns, events, stopped } = JSON.parse(out) as Record<string, unknown>;
  expect({ runs, returns }).toEqual({ runs: 2, returns: { 0: 2 } });
  expect(events).toEqual([1, 2, 3].map((run) => ({ run, kind: "printk", text: "read" })));
  expect(stopped).toEqual({
    run: 3,
    errno: "EFAULT",
    insn: 8,
    instruction: "r0 = *(u8 *)(r6 + 99)",
    address: expect.stringMatching(/^0x[0-9a-f]+$/),
    text: expect.stringMatching(/^read of 1 byte at 0x\w+, outside .*: 35 bytes behind the end of its packet$/),
  });
  const { out: told } = await bpfmaps("run", file, "--pcap", capture);
  expect(told).toMatch(
    /: 1 run\nreturned 1 x XDP_ABORTED\n[\d,]+ packets a second: .*\nevents\n {2}2 x printk {2}read\n/,
  );
});

test("programs that prog arrays hold are there to be gone on in", async () => {
  const { out } = await bpfmaps("run", chain, "--prog", "filter", "--data", packet, "--json");
  const maps = (JSON.parse(out) as { maps: { name: string; entries: unknown[] }[] }).maps;
  expect(maps.find(({ name }) => name === "steps")?.entries).toHaveLength(1);
});

const bad: readonly (readonly [string, readonly string[], RegExp])[] = [
  ["coverage in another format", ["--coverage", "html"], /--coverage html: expected lcov or lcov=FILE/],
  ["coverage into no file", ["--coverage", "lcov="], /expected lcov or lcov=FILE/],
  ["coverage where nothing can be", ["--coverage", `lcov=${dir}/none/x`], /cannot write .*none\/x: ENOENT/],
  ["trace of nothing", ["--trace", "--trace-limit", "0"], /--trace-limit 0: expected a whole number from 1/],
  ["trace and profile", ["--trace", "--profile"], /one at a time/],
  ["trace on the kernel", ["--trace", "--host", "kernel"], /are for the embedded host/],
  ["profile on the kernel", ["--profile", "--host", "kernel"], /are for the embedded host/],
];

test.each(bad)("run, %s: exit code 2 and one clear line", async (_, args, message) => {
  const { code, err } = await run(...args);
  expect(err).toMatch(message);
  expect(err.trimEnd()).not.toContain("\n");
  expect(code).toBe(2);
});

test("disasm: functions, labels, source lines, names", async () => {
  const { code, out, err } = await bpfmaps("disasm", chain, "--prog", "filter");
  expect([code, err]).toEqual([0, ""]);
  const lines = out.split("\n");
  expect(lines[0]).toMatch(/^filter \(xdp\): \d+ instructions, 3 functions$/);
  expect(lines).toEqual(expect.arrayContaining(["filter:", "source_of:", "try_rule:"]));
  expect(lines).toContainEqual(expect.stringMatching(/^ +; .*rule_chain\.bpf\.c:\d+: bpf_loop\(count, try_rule/));
  for (const text of [/r\d = map\[steps\]$/, /r\d = map\[\.bss\]\[0\]\+\d+$/, /r\d = func\[try_rule\]$/])
    expect(lines).toContainEqual(expect.stringMatching(text));
  expect(lines).toContainEqual(expect.stringMatching(/^ +\d+: call bpf_tail_call#12$/));
  // Every label that a jump names stands in front of an instruction.
  const named = [...out.matchAll(/goto (L\d+)/g)].map((m) => m[1]!);
  expect(named.filter((label) => !lines.includes(`${label}:`))).toEqual([]);
  expect(named.length).toBeGreaterThan(0);
});

test("disasm without --prog prints all programs; wrong arguments and files are told in one line", async () => {
  expect((await bpfmaps("disasm", chain)).out.match(/^\w+ \(xdp\): /gm)).toHaveLength(2);
  const wrong: readonly (readonly [readonly string[], RegExp])[] = [
    [[], /no OBJECT/],
    [[chain, sampler], /one OBJECT at a time/],
    [[chain, "--prog", "nope"], /no program nope: it has note_drop, filter/],
    [[join(dir, "none.o")], /none\.o: there is no such file/],
    [[packet], /packet: /],
    [[chain, "--frob"], /--frob/],
  ];
  for (const [args, message] of wrong) {
    const { code, err } = await bpfmaps("disasm", ...args);
    expect([code, err]).toEqual([2, expect.stringMatching(message)]);
    expect(err.trimEnd()).not.toContain("\n");
  }
  const cut = join(dir, "cut.o");
  writeFileSync(cut, readFileSync(chain).subarray(0, 3000));
  expect(await bpfmaps("disasm", cut)).toMatchObject({ code: 2, err: expect.stringMatching(/cut\.o: /) });
});

const hex = (insns: readonly Insn[]): string => Buffer.from(encodeInsns(insns)).toString("hex");
/** r0 = the memory's first two bytes + its length; the third is overwritten. */
const adds = [ldx("u16", R0, R1, 0), alu64("add", R0, R2), stx("u8", R1, R0, 2), exit()];

async function exec(input: string, ...args: string[]): Promise<string> {
  const { out } = await printed(async () => {
    await execCommand(args, () => input);
    return 0;
  });
  return out;
}

test("exec: r1 is the memory, r2 its length, r0 comes out in hex", async () => {
  expect(await exec(hex(adds), "010200")).toBe("204\n");
  // As bpf_conformance_runner writes it.
  const spaced = hex(adds).replace(/../g, "$&  ");
  expect(await exec(`${spaced}\n`, "01  02  00  ")).toBe("204\n");
  expect(await exec(hex([mov64Imm(R0, -1), exit()]))).toBe("ffffffffffffffff\n");
});

test("exec --engine: what runs it; why the interpreter had to goes to standard error", async () => {
  // A function that reads a register of its caller.
  const nosy = hex([mov64Imm(R6, 5), callRel(1), exit(), mov64(R0, R6), exit()]);
  const on = (program: string, ...args: string[]) =>
    printed(async () => {
      await execCommand(args, () => program);
      return 0;
    });
  expect(await on(hex(adds), "010200", "--engine", "jit")).toEqual({ code: 0, out: "204\n", err: "" });
  expect(await on(hex(adds), "010200", "--engine", "interp")).toEqual({ code: 0, out: "204\n", err: "" });
  expect(await on(nosy, "--engine", "interp")).toEqual({ code: 0, out: "5\n", err: "" });
  const why = "interpreted: the function at instruction 3 reads registers of its caller\n";
  expect(await on(nosy, "--engine", "jit")).toEqual({ code: 0, out: "5\n", err: why });
  await expect(on(nosy, "--engine", "fast")).rejects.toThrow("--engine fast: expected jit or interp");
});

test("exec as it is installed", () => {
  const ended = spawnSync(process.execPath, [join(root, "dist/cli/main.js"), "exec", "01 02 00"], {
    encoding: "utf8",
    input: hex(adds),
    timeout: 60_000,
  });
  expect([ended.status, ended.stdout, ended.stderr]).toEqual([0, "204\n", ""]);
});

test("exec --debug traces to standard error", async () => {
  const { out, err } = await printed(async () => {
    await execCommand(["--debug"], () => hex([mov64Imm(R0, 5), exit()]));
    return 0;
  });
  expect(out).toBe("5\n");
  expect(err).toMatch(/^ {4}0: r0 = 5 +r0 = 0x5\n {4}1: exit\ninterpreted: it is observed, .*\n$/);
});

test("exec: what is wrong with arguments, programs and what they do", async () => {
  await expect(exec("")).rejects.toThrow("there is no program on standard input");
  await expect(exec("b7xx")).rejects.toThrow('found "x", expected hex digits');
  await expect(exec("b70")).rejects.toThrow("3 hex digits, expected two for each byte");
  await expect(exec("b700")).rejects.toThrow("2 bytes of instructions, expected a multiple of 8");
  await expect(exec(hex(adds), "01", "02")).rejects.toThrow(/one MEMORY argument: found "02" too/);
  await expect(exec(hex(adds), "0102")).rejects.toThrow(BpfError);
  await expect(exec(hex(adds), "0102")).rejects.toThrow(/^instruction 2, .*: write of 1 byte at 0x/);
  await expect(exec("8d00000000000000", "--elf")).rejects.toThrow(InputError);
});

test("exec --elf runs .text of an object", async () => {
  const elf = (name: string): string => Buffer.from(buildElf([{ name, data: adds }])).toString("hex");
  expect(await exec(elf(".text"), "010200", "--elf")).toBe("204\n");
  await expect(exec(elf("xdp"), "010200", "--elf")).rejects.toThrow("no code in its section .text");
});
