/** The arguments of `bpfmaps run`. */
import { parseArgs } from "node:util";
import { InputError } from "../errors.ts";
import type { Engine } from "../kern/compiled.ts";

export interface RunOptions {
  readonly object: string;
  readonly prog: string | undefined;
  readonly pcap: string | undefined;
  readonly data: string | undefined;
  /** The file of the context's bytes. */
  readonly ctx: string | undefined;
  /** In its place: the arguments of what the program is attached to. */
  readonly args: readonly bigint[] | undefined;
  readonly fill: string | undefined;
  readonly repeat: number;
  readonly host: "embedded" | "kernel";
  readonly cpus: number | undefined;
  /** What runs the program on the embedded host; undefined: its default. */
  readonly engine: Engine | undefined;
  /** The file of the types that the object is relocated to, or `self`: its own. */
  readonly btf: string | undefined;
  /** The file of the kernel's configuration that the object is told. */
  readonly kconfig: string | undefined;
  readonly json: boolean;
  readonly trace: boolean;
  /** Instructions that a trace shows. */
  readonly traceLimit: number;
  /** The file that coverage goes to. */
  readonly coverage: string | undefined;
  readonly profile: boolean;
}

const REPEAT_MAX = 2 ** 31 - 1;
const TRACE_LIMIT = 10_000;
const LCOV_FILE = "lcov.info";

export const runHelp: string = `usage: bpfmaps run OBJECT [--prog NAME] (--pcap FILE | --data FILE | --ctx FILE | --args N,...) [options]

Loads a compiled BPF object, creates its maps, runs one of its programs on packets or on a context, and prints what it
returned, what it did to the outside (printed, redirected, ...), and what the maps hold then.

  --prog NAME       the program to run; not needed when the object has one
  --pcap FILE       run it on every packet of a capture (pcap or pcapng, Ethernet)
  --data FILE       run it once, on a packet that is the file's bytes
  --ctx FILE        the context is the file's bytes: struct pt_regs, bpf_sock_addr, xdp_md, whatever the type has
  --args N,...      the arguments of what the program is attached to: tp_btf, fentry, fexit, lsm, raw_tp, struct_ops
  --fill FILE       put entries into maps first: JSON, { "<map>": [ { "key": ..., "value": ... } ] }
  --repeat N        run it N times on each packet or context
  --host HOST       embedded (default: a library, no root) or kernel (this machine's bpf(2))
  --cpus N          virtual CPUs of the embedded host (default 1)
  --engine ENGINE   what runs the program on the embedded host: jit (the default), compiled to WebAssembly, or interp. With
                    --trace, --coverage or --profile it is always the interpreter; the report says what it was
  --btf FILE        relocate the object (CO-RE) to the types in FILE, such as /sys/kernel/btf/vmlinux, or to its own: self
  --kconfig FILE    what the object's __kconfig variables are: lines such as CONFIG_HZ=250, as in /boot/config-*
  --json            one JSON object on standard output
  --trace           print each executed instruction to standard error: what it changed, touched and called
  --trace-limit N   print N instructions at most (default ${TRACE_LIMIT})
  --coverage lcov[=FILE]
                    which lines, functions and branches of the source ran, for genhtml and editors (default ${LCOV_FILE})
  --profile         instructions and time by source line
  -h, --help        this text

exit codes: 0 done, 1 the program or the kernel failed, 2 a wrong argument or file`;

/** Reads the arguments; `InputError` names the one that is wrong. */
export function parseRunOptions(args: readonly string[]): RunOptions {
  const { values, positionals } = parse(args);
  const [object, ...more] = positionals;
  if (object === undefined) throw new InputError("no OBJECT given: bpfmaps run OBJECT --pcap FILE");
  if (more.length > 0)
    throw new InputError(`one OBJECT at a time: found ${more.map((m) => JSON.stringify(m)).join(", ")} too`);
  const { pcap, data, ctx, args: list, host = "embedded" } = values;
  if (pcap !== undefined && data !== undefined) {
    throw new InputError("the packets: expected one of --pcap FILE and --data FILE");
  }
  if (ctx !== undefined && list !== undefined) {
    throw new InputError("the context: expected one of --ctx FILE and --args N,...");
  }
  if ([pcap, data, ctx, list].every((option) => option === undefined)) {
    throw new InputError(
      "nothing to run on: expected packets (--pcap FILE, --data FILE) or a context (--ctx FILE, --args N,...)",
    );
  }
  if (host !== "embedded" && host !== "kernel") {
    throw new InputError(`--host ${host}: expected embedded or kernel`);
  }
  if (host === "kernel" && values.cpus !== undefined) {
    throw new InputError("--cpus is for the embedded host: the kernel has the CPUs that it has");
  }
  if (host === "kernel" && values.engine !== undefined) {
    throw new InputError("--engine is for the embedded host: the kernel runs programs by itself");
  }
  const { trace = false, profile = false } = values;
  if (host === "kernel" && (trace || profile || values.coverage !== undefined)) {
    throw new InputError("--trace, --coverage and --profile are for the embedded host: the kernel tells nobody");
  }
  if (trace && profile) {
    throw new InputError("--trace and --profile: one at a time, or the profile would be one of the printing");
  }
  return {
    object,
    prog: values.prog,
    pcap,
    data,
    ctx,
    args: list === undefined ? undefined : argumentsOf(list),
    fill: values.fill,
    repeat: count("--repeat", values.repeat ?? "1", REPEAT_MAX),
    host,
    cpus: values.cpus === undefined ? undefined : count("--cpus", values.cpus, 256),
    engine: values.engine === undefined ? undefined : engineOf(values.engine),
    btf: values.btf,
    kconfig: values.kconfig,
    json: values.json ?? false,
    trace,
    traceLimit: count("--trace-limit", values["trace-limit"] ?? String(TRACE_LIMIT), Number.MAX_SAFE_INTEGER),
    coverage: values.coverage === undefined ? undefined : coverageFile(values.coverage),
    profile,
  };
}

function parse(args: readonly string[]) {
  try {
    return parseArgs({
      args: [...args],
      allowPositionals: true,
      options: {
        prog: { type: "string" },
        pcap: { type: "string" },
        data: { type: "string" },
        ctx: { type: "string" },
        args: { type: "string" },
        fill: { type: "string" },
        repeat: { type: "string" },
        host: { type: "string" },
        cpus: { type: "string" },
        engine: { type: "string" },
        btf: { type: "string" },
        kconfig: { type: "string" },
        json: { type: "boolean" },
        trace: { type: "boolean" },
        "trace-limit": { type: "string" },
        coverage: { type: "string" },
        profile: { type: "boolean" },
      },
    });
  } catch (error) {
    // Node goes on with advice that does not help here.
    const [what = ""] = (error as Error).message.split(/[.\n] /);
    throw new InputError(`${what} (bpfmaps run --help)`, { cause: error });
  }
}

/** The value of `--engine`. */
export function engineOf(text: string): Engine {
  if (text === "jit" || text === "interp") return text;
  throw new InputError(`--engine ${text}: expected jit or interp`);
}

/** `lcov`, or `lcov=FILE`. */
function coverageFile(value: string): string {
  const [format, ...file] = value.split("=");
  if (format !== "lcov" || (file.length > 0 && file.join("=") === "")) {
    throw new InputError(`--coverage ${value}: expected lcov or lcov=FILE`);
  }
  return file.length === 0 ? LCOV_FILE : file.join("=");
}

/** Numbers of 64 bits: decimal, negative or 0x. */
function argumentsOf(list: string): bigint[] {
  if (list === "") return [];
  return list.split(",").map((text) => {
    const sign = /^-\d+$/.test(text) ? -1n : 1n;
    const digits = sign < 0n ? text.slice(1) : text;
    const number = /^(\d+|0x[\da-f]+)$/i.test(digits) ? sign * BigInt(digits) : undefined;
    if (number !== undefined && number < 2n ** 64n && number >= -(2n ** 63n)) return number;
    throw new InputError(`--args: found ${JSON.stringify(text)}, expected numbers of 64 bits such as 1,-2,0xff`);
  });
}

function count(name: string, text: string, max: number): number {
  const n = /^\d+$/.test(text) ? Number(text) : Number.NaN;
  if (n >= 1 && n <= max) return n;
  throw new InputError(`${name} ${text}: expected a whole number from 1 to ${max}`);
}
