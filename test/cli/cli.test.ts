/** The command line as a stranger meets it: wrong arguments, missing and cut-off files, programs that misbehave. */
import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, test } from "vitest";
import { BtfBuilder } from "../../src/btf/index.ts";
import { readPcap } from "../../src/pcap/index.ts";
import { bpfmaps, type Ended } from "./in_process.ts";

const root = join(import.meta.dirname, "../..");
const dir = mkdtempSync(join(tmpdir(), "bpfmaps-cli-"));
const object = join(root, "examples/traffic/traffic.bpf.o");
const pcap = join(root, "examples/traffic/traffic.pcap");

/** The program as it is installed. */
function program(...args: string[]): Ended {
  const { status, stdout, stderr } = spawnSync(process.execPath, [join(root, "dist/cli/main.js"), ...args], {
    encoding: "utf8",
    timeout: 60_000,
  });
  return { code: status, out: stdout, err: stderr };
}

test("the program: exit code, standard output and standard error", () => {
  expect(program("--help")).toMatchObject({ code: 0, out: expect.stringContaining("usage:"), err: "" });
  expect(program("frobnicate")).toEqual({ code: 2, out: "", err: expect.stringMatching(/^bpfmaps: .*\n$/) });
  expect(program("run", object, "--pcap", pcap)).toMatchObject({ code: 0, out: expect.stringContaining("1465 runs") });
});

/** The same packets as pcapng, big-endian: a section, an interface with nanoseconds, enhanced packet blocks. */
function toNg(bytes: Uint8Array): Uint8Array {
  const blocks: Buffer[] = [];
  const block = (type: number, ...words: (number | Buffer)[]): void => {
    const body = Buffer.concat(words.map((word) => (typeof word === "number" ? u32(word) : word)));
    blocks.push(u32(type), u32(body.length + 12), body, u32(body.length + 12));
  };
  const u32 = (value: number): Buffer => {
    const word = Buffer.alloc(4);
    word.writeUInt32BE(value >>> 0);
    return word;
  };
  block(0x0a0d0d0a, 0x1a2b3c4d, 0x10000, -1, -1);
  block(1, 0x10000, 0, 0x90001, 0x9000000, 0);
  for (const { timestampNs, data, originalLength } of readPcap(bytes).packets) {
    const padded = Buffer.alloc((data.length + 3) & ~3);
    padded.set(data);
    const [high, low] = [Number(timestampNs >> 32n), Number(timestampNs & 0xffff_ffffn)];
    block(6, 0, high, low, data.length, originalLength, padded);
  }
  return Buffer.concat(blocks);
}

test("--kconfig: the configuration that the object is told", async () => {
  const config = '# Linux\nCONFIG_HZ=250\nCONFIG_BPF_SYSCALL=y\nCONFIG_IPV6=m\nCONFIG_DEFAULT_HOSTNAME="here"\n';
  const args = ["run", join(root, "test/programs/kernel_config.bpf.o"), "--prog", "tell", "--pcap", pcap];
  const { code, out } = await bpfmaps(...args, "--kconfig", file("config", config), "--json");
  expect([code, out]).toEqual([0, expect.stringMatching(/"hz": 250/)]);
  const { code: failed, err } = await bpfmaps(...args);
  expect([failed, err]).toEqual([2, expect.stringMatching(/extern CONFIG_HZ: this host shows no configuration/)]);
});

test("a capture as pcapng gives what the same packets in pcap give", async () => {
  const bytes = readFileSync(pcap);
  const [classic, ng] = [
    await bpfmaps("run", object, "--pcap", pcap),
    await bpfmaps("run", object, "--pcap", file("same.pcapng", toNg(bytes))),
  ];
  // Behind the counts by protocol come flows, with times.
  const counts = ({ out }: Ended): string =>
    out.slice(0, out.indexOf("flows")).replace(/^.* packets a second: .*$/m, "");
  expect(counts(ng)).toContain("1465 runs");
  expect(counts(ng)).toBe(counts(classic));
  const { code, err } = await bpfmaps("run", object, "--pcap", file("cut.pcapng", toNg(bytes).subarray(0, 1000)));
  expect([code, err]).toEqual([
    2,
    expect.stringMatching(/cut\.pcapng: pcapng: block \d+ at byte \d+: block is cut off/),
  ]);
});

function file(name: string, bytes: Uint8Array | string): string {
  const path = join(dir, name);
  writeFileSync(path, bytes);
  return path;
}

afterAll(() => rmSync(dir, { recursive: true, force: true }));

const badArguments: readonly (readonly [string, readonly string[], RegExp])[] = [
  ["no command", [], /usage:/],
  ["unknown command", ["frobnicate"], /no command "frobnicate"/],
  ["no object", ["run"], /no OBJECT/],
  ["two objects", ["run", object, object, "--pcap", pcap], /one OBJECT at a time/],
  [
    "nothing to run on",
    ["run", object],
    /packets \(--pcap FILE, --data FILE\) or a context \(--ctx FILE, --args N,...\)/,
  ],
  ["both packets", ["run", object, "--pcap", pcap, "--data", pcap], /one of --pcap FILE and --data FILE/],
  ["both contexts", ["run", object, "--ctx", pcap, "--args", "1"], /one of --ctx FILE and --args N,.../],
  ["arguments that are none", ["run", object, "--args", "1,x"], /--args: found "x", expected numbers of 64 bits/],
  ["an argument that is too large", ["run", object, "--args", "0x10000000000000000"], /expected numbers of 64 bits/],
  ["arguments in place of a struct", ["run", object, "--args", "1"], /`args`: the context of this type is a struct/],
  ["an option that is none", ["run", object, "--bogus"], /Unknown option '--bogus' \(bpfmaps run --help\)\n$/],
  ["unknown option", ["run", object, "--frob"], /--frob/],
  ["option without value", ["run", object, "--pcap"], /--pcap/],
  ["repeat 0", ["run", object, "--pcap", pcap, "--repeat", "0"], /--repeat 0: expected a whole number from 1/],
  ["repeat text", ["run", object, "--pcap", pcap, "--repeat", "many"], /--repeat many/],
  ["unknown host", ["run", object, "--pcap", pcap, "--host", "mars"], /--host mars: expected embedded or kernel/],
  ["unknown engine", ["run", object, "--pcap", pcap, "--engine", "fast"], /--engine fast: expected jit or interp\n$/],
  [
    "an engine for the kernel",
    ["run", object, "--pcap", pcap, "--host", "kernel", "--engine", "jit"],
    /--engine is for the embedded host/,
  ],
  ["unknown program", ["run", object, "--pcap", pcap, "--prog", "nope"], /no program nope: it has traffic/],
  ["missing object", ["run", join(dir, "none.o"), "--pcap", pcap], /cannot read .*none\.o: there is no such file/],
  ["missing capture", ["run", object, "--pcap", join(dir, "none.pcap")], /cannot read .*none\.pcap/],
  ["folder as object", ["run", dir, "--pcap", pcap], /it is a folder/],
];

test.each(badArguments)("%s: exit code 2 and one clear line", async (_, args, message) => {
  const { code, out, err } = await bpfmaps(...args);
  expect(err).toMatch(message);
  expect(err).not.toMatch(/\n\s+at /);
  expect([code, out]).toEqual([2, ""]);
});

test("--help and --version print to standard output", async () => {
  expect(await bpfmaps("--help")).toMatchObject({ code: 0, err: "" });
  expect((await bpfmaps("run", "--help")).out).toMatch(/--pcap FILE/);
  const { version } = JSON.parse(readFileSync(join(root, "package.json"), "utf8")) as { version: string };
  expect((await bpfmaps("--version")).out.trim()).toBe(version);
});

const whole = readFileSync(object);
test.each([0, 3, 40, 64, 500, Math.floor(whole.length / 2), whole.length - 1])(
  "an object cut off at %i bytes",
  async (length) => {
    const { code, err } = await bpfmaps("run", file("cut.o", whole.subarray(0, length)), "--pcap", pcap);
    expect(err).toMatch(/^bpfmaps: .*cut\.o: /);
    expect(code).toBe(2);
  },
);

test("random bytes as object, and as capture", async () => {
  const noise = Uint8Array.from({ length: 5000 }, (_, i) => (Math.imul(i + 1, 2654435761) >>> 13) & 255);
  expect(await bpfmaps("run", file("noise.o", noise), "--pcap", pcap)).toMatchObject({ code: 2 });
  const { code, err } = await bpfmaps("run", object, "--pcap", file("noise.pcap", noise));
  expect([code, err]).toEqual([2, expect.stringMatching(/noise\.pcap: /)]);
});

test("a capture that is cut off in a packet names it", async () => {
  const bytes = readFileSync(pcap);
  const { code, err } = await bpfmaps("run", object, "--pcap", file("cut.pcap", bytes.subarray(0, 1000)));
  expect(err).toMatch(/cut\.pcap: .*packet/);
  expect(code).toBe(2);
});

test("a capture: how many packets a second", async () => {
  const { out } = await bpfmaps("run", object, "--pcap", pcap);
  expect(out).toMatch(/^[\d,]+ packets a second: [\d.]+ ms of running, without reading the capture$/m);
  const report = JSON.parse((await bpfmaps("run", object, "--pcap", pcap, "--json")).out);
  expect(report.runs).toBe(1465);
  expect(report.packetsPerSecond).toBe(Math.round(1465e3 / report.milliseconds));
});

test("--data runs once on the file's bytes", async () => {
  const { code, out } = await bpfmaps("run", object, "--data", file("packet", new Uint8Array(64)), "--json");
  const report = JSON.parse(out) as Record<string, unknown>;
  expect(code).toBe(0);
  expect(Object.keys(report)).toEqual([
    "object",
    "host",
    "engine",
    "program",
    "runs",
    "returns",
    "dataOut",
    "events",
    "maps",
  ]);
  expect(report).toMatchObject({ runs: 1, program: { name: "traffic", section: "xdp", type: "xdp" } });
});

test("a packet that the test run refuses: exit code 1, with the packet's number", async () => {
  const { code, err } = await bpfmaps("run", object, "--data", file("short", new Uint8Array(5)));
  expect(err).toMatch(/packet 1 \(5 bytes\)/);
  expect(code).toBe(1);
});

test("--btf: the types that an object is relocated to", async () => {
  const facts = join(root, "test/programs/core_facts.bpf.o");
  const args = ["run", facts, "--prog", "guarded", "--data", file("packet", new Uint8Array(64))];
  expect(await bpfmaps(...args)).toMatchObject({ code: 2, err: expect.stringContaining("no types of a kernel") });
  expect(await bpfmaps(...args, "--btf", "self")).toMatchObject({ code: 0, out: expect.stringContaining("XDP_PASS") });
  const b = new BtfBuilder();
  b.struct("task_struct", 8, [{ name: "__state", typeId: b.int("int", 4), bitOffset: 0 }]);
  expect((await bpfmaps(...args, "--btf", file("types", b.build()))).code).toBe(0);
  const broken = await bpfmaps(...args, "--btf", file("broken", b.build().subarray(0, 40)));
  expect(broken).toMatchObject({ code: 2, err: expect.stringMatching(/broken: BTF: /) });
});

test("--fill with a wrong file names the place", async () => {
  const args = ["run", object, "--pcap", pcap, "--fill"];
  expect(await bpfmaps(...args, file("fill1.json", "{"))).toMatchObject({
    code: 2,
    err: expect.stringMatching(/fill1\.json: no JSON/),
  });
  expect((await bpfmaps(...args, file("fill2.json", '{"nope": []}'))).err).toMatch(/no map nope/);
  const wrong = '{"networks": [{"key": {"prefixlen": 8}, "value": {"packets": 0, "bytes": 0}}]}';
  expect((await bpfmaps(...args, file("fill3.json", wrong))).err).toMatch(/networks\[0\]\.key/);
});

test.each([
  [300, "300"],
  [-1, "-1"],
  [1.5, "1.5"],
  ["x", '"x"'],
  [null, "null"],
])("--fill with %j for a byte names the place, the value and the limits", async (byte, shown) => {
  const entry = {
    key: { prefixlen: 128, address: { bytes: [10, byte, ...Array<number>(14).fill(0)] } },
    value: { packets: 0, bytes: 0 },
  };
  const fill = file("fill4.json", JSON.stringify({ networks: [entry] }));
  const { code, err } = await bpfmaps("run", object, "--pcap", pcap, "--fill", fill);
  expect(err).toContain(
    `fill4.json: networks[0].key.address.bytes[1]: ${shown} is no byte: expected a whole number from 0 to 255`,
  );
  expect(code).toBe(2);
});
