/** The command line: picks the command, and says in one line what went wrong. */
import { readFileSync } from "node:fs";
import { BpfError } from "../api/error.ts";
import { Bug, InputError } from "../errors.ts";
import { disasmCommand, disasmHelp } from "./disasm.ts";
import { execCommand, execHelp } from "./exec.ts";
import { runHelp } from "./options.ts";
import { runCommand } from "./run.ts";

/** Exit codes: what scripts can rely on. */
const OK = 0;
/** The kernel, or the program, refused or failed. */
const FAILED = 1;
/** A wrong argument or file. */
const USAGE = 2;

const help = `bpfmaps: BPF maps and programs, on the kernel's subsystem as a library or on the real kernel

usage:
  bpfmaps run OBJECT ...      load an object, run a program on packets, print its maps
  bpfmaps disasm OBJECT ...   print its programs: instructions, source lines, names
  bpfmaps exec [MEMORY] ...   run instructions by RFC 9669 alone: a plugin for bpf_conformance
  bpfmaps --version

bpfmaps COMMAND --help tells more.`;

interface Command {
  readonly help: string;
  readonly run: (args: readonly string[]) => Promise<void>;
}

const commands: Readonly<Record<string, Command>> = {
  run: { help: runHelp, run: runCommand },
  disasm: { help: disasmHelp, run: disasmCommand },
  exec: { help: execHelp, run: execCommand },
};

/** Runs a command line, prints what it has to say, and returns the exit code. */
export function bpfmaps(args: readonly string[]): Promise<number> {
  return command(args).catch(report);
}

async function command(args: readonly string[]): Promise<number> {
  const [name, ...rest] = args;
  const known = name === undefined || !Object.hasOwn(commands, name) ? undefined : commands[name];
  if (known !== undefined) {
    if (rest.includes("--help") || rest.includes("-h")) console.log(known.help);
    else await known.run(rest);
    return OK;
  }
  switch (name) {
    case "--version":
    case "-V": {
      const own = JSON.parse(readFileSync(new URL("../../package.json", import.meta.url), "utf8")) as {
        version: string;
      };
      console.log(own.version);
      return OK;
    }
    case "--help":
    case "-h":
      console.log(help);
      return OK;
    case undefined:
      console.error(help);
      return USAGE;
    default:
      throw new InputError(`there is no command ${JSON.stringify(name)}: bpfmaps --help lists them`);
  }
}

function report(error: unknown): number {
  if (error instanceof InputError) {
    console.error(`bpfmaps: ${error.message}`);
    return USAGE;
  }
  if (error instanceof BpfError) {
    console.error(`bpfmaps: ${error.message}`);
    return FAILED;
  }
  const kind = error instanceof Bug ? "a bug of bpfmaps" : "unexpected";
  console.error(`bpfmaps: ${kind}: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}`);
  return FAILED;
}
