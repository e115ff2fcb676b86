/** The arguments of `bpfmaps run`. */
import { parseArgs } from "node:util";
import { InputError } from "../errors.ts";

export interface RunOptions {
  readonly object: string;
  readonly prog: string | undefined;
  readonly pcap: string | undefined;
  readonly data: string | undefined;
  readonly fill: string | undefined;
  readonly repeat: number;
  readonly host: "embedded" | "kernel";
  readonly cpus: number | undefined;
  readonly json: boolean;
}

const REPEAT_MAX = 2 ** 31 - 1;

export const runHelp = `usage: bpfmaps run OBJECT [--prog NAME] (--pcap FILE | --data FILE) [options]

Loads a compiled BPF object, creates its maps, runs one of its programs on packets, and prints what the maps hold then.

  --prog NAME       the program to run; not needed when the object has one
  --pcap FILE       run it on every packet of a capture (pcap or pcapng, Ethernet)
  --data FILE       run it once, on a packet that is the file's bytes
  --fill FILE       put entries into maps first: JSON, { "<map>": [ { "key": ..., "value": ... } ] }
  --repeat N        run it N times on each packet
  --host HOST       embedded (default: a library, no root) or kernel (this machine's bpf(2))
  --cpus N          virtual CPUs of the embedded host (default 1)
  --json            one JSON object on standard output
  -h, --help        this text

exit codes: 0 done, 1 the program or the kernel failed, 2 a wrong argument or file`;

/** Reads the arguments; `InputError` names the one that is wrong. */
export function parseRunOptions(args: readonly string[]): RunOptions {
  const { values, positionals } = parse(args);
  const [object, ...more] = positionals;
  if (object === undefined) throw new InputError("no OBJECT given: bpfmaps run OBJECT --pcap FILE");
  if (more.length > 0)
    throw new InputError(`one OBJECT at a time: found ${more.map((m) => JSON.stringify(m)).join(", ")} too`);
  const { pcap, data, host = "embedded" } = values;
  if ((pcap === undefined) === (data === undefined)) {
    throw new InputError("the packets: expected one of --pcap FILE and --data FILE");
  }
  if (host !== "embedded" && host !== "kernel") {
    throw new InputError(`--host ${host}: expected embedded or kernel`);
  }
  if (host === "kernel" && values.cpus !== undefined) {
    throw new InputError("--cpus is for the embedded host: the kernel has the CPUs that it has");
  }
  return {
    object,
    prog: values.prog,
    pcap,
    data,
    fill: values.fill,
    repeat: count("--repeat", values.repeat ?? "1", REPEAT_MAX),
    host,
    cpus: values.cpus === undefined ? undefined : count("--cpus", values.cpus, 256),
    json: values.json ?? false,
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
        fill: { type: "string" },
        repeat: { type: "string" },
        host: { type: "string" },
        cpus: { type: "string" },
        json: { type: "boolean" },
      },
    });
  } catch (error) {
    throw new InputError(`${(error as Error).message} (bpfmaps run --help)`, { cause: error });
  }
}

function count(name: string, text: string, max: number): number {
  const n = /^\d+$/.test(text) ? Number(text) : Number.NaN;
  if (n >= 1 && n <= max) return n;
  throw new InputError(`${name} ${text}: expected a whole number from 1 to ${max}`);
}
