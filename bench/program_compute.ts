/** Programs that compute: those of bench/programs. */
import type { BpfHost, LoadedObject } from "../src/index.ts";
import * as u from "../src/uapi/index.ts";
import { compiled } from "./hosts.ts";
import type { ProgramBench } from "./program_bench.ts";
import { ProgramSide, randomBytes } from "./program_side.ts";

/** The most that the JIT may take, as a ratio to the kernel's time. */
const LIMIT = 2;
const GROUP = "Computing";
const VALUE = 1 << 16;
/** Where their objects are. */
export const FOLDER = "bench/programs";

interface Task {
  readonly object: string;
  readonly program: string;
  readonly what: string;
  /** Gives the program its input, the same on every host. */
  prepare?(object: LoadedObject, host: BpfHost): void;
}

/** Lines of which 56 letters are the same, and one more line that is the last of them. */
function prepareLines(object: LoadedObject): void {
  const beginning = "a line of a table with a long beginning, ".padEnd(56, "x");
  const line = (i: number): Uint8Array => {
    const bytes = new Uint8Array(64);
    new TextEncoder().encodeInto(beginning + i.toString().padStart(3, "0"), bytes);
    return bytes;
  };
  const lines = Array.from({ length: 64 }, (_, i) => line(i));
  object.globals.set("lines", lines);
  object.globals.set("wanted", lines.at(-1));
}

function fillBlock(object: LoadedObject, host: BpfHost): void {
  const { fd } = object.map("blocks");
  const ret = host.bpf(u.BPF_MAP_UPDATE_ELEM, { map_fd: fd, key: new Uint8Array(4), value: randomBytes(VALUE) });
  if (ret !== 0) throw new Error(`storing a block gave ${ret}`);
}

const tasks: readonly Task[] = [
  { object: "sieve", program: "sieve", what: "prime sieve to 8,192" },
  { object: "checksum", program: "checksum_packet", what: "internet checksum of 1,500 bytes of packet, 10 times" },
  {
    object: "checksum",
    program: "checksum_value",
    what: "internet checksum of a map value of 64 KiB",
    prepare: fillBlock,
  },
  {
    object: "copy",
    program: "copy",
    what: "copy of a map value of 64 KiB",
    prepare: fillBlock,
  },
  { object: "compare", program: "find_line", what: "512 strings compared, of 59 bytes", prepare: prepareLines },
  {
    object: "dispatch",
    program: "dispatch",
    what: "switch of 16 cases, 2,048 times",
    prepare: (object) => object.globals.set("codes", randomBytes(2048)),
  },
  { object: "arithmetic", program: "siphash", what: "SipHash-2-4 of 4 KiB" },
  { object: "arithmetic", program: "xorshift", what: "4,096 numbers of xorshift64*" },
  { object: "arithmetic", program: "divide", what: "1,024 64-bit divisions and as many remainders" },
];

/** `objectOf`: the bytes of an object in the folder, by its name without `.bpf.o`. */
export function benchCompute(bench: ProgramBench, objectOf: (name: string) => Uint8Array): void {
  const wanted = tasks.filter(({ what }) => bench.wants(`${GROUP}: ${what}`));
  if (wanted.length === 0) return;
  bench.report.note(`Programs that compute, in ${FOLDER}: nanoseconds of one run.`);
  for (const { object: name, program, what, prepare } of wanted) {
    const object = objectOf(name);
    const loaded = bench.hosts.map(({ host }) => host.loadObject(object, { name, programs: [program] }));
    for (const [i, { host }] of bench.hosts.entries()) prepare?.(loaded[i]!, host);
    const sides = bench.hosts.map(
      (h, i) => new ProgramSide(h.name, loaded[i]!.program(program), h.host.kind === "kernel"),
    );
    for (const [i, on] of bench.hosts.entries()) compiled(on, loaded[i]!.program(program));
    const retvals = sides.map((side) => side.retval());
    if (new Set(retvals).size > 1) throw new Error(`${what}: the hosts return ${retvals.join(", ")}`);
    bench.compare(GROUP, what, sides, LIMIT);
    for (const each of loaded) each.close();
  }
}
