/**
 * `bpfmaps exec`: runs instructions by RFC 9669 alone. It is a plugin of the public bpf_conformance suite: the program
 * comes as hex bytes on standard input, memory as an argument, r0 goes to standard output.
 */
import { readFileSync } from "node:fs";
import { parseArgs } from "node:util";
import { createEmbedded } from "../api/embedded.ts";
import { formatStep, Trace } from "../api/observe/index.ts";
import { parseElf } from "../elf/index.ts";
import { InputError } from "../errors.ts";
import type { Engine } from "../kern/compiled.ts";
import { engineOf } from "./options.ts";

const MEMORY = 32 << 20;

export const execHelp = `usage: bpfmaps exec [MEMORY] [options] < PROGRAM

Runs BPF instructions that are no program of any kind, and prints what is in r0 then, in hex. PROGRAM is their bytes as
hex digits, with or without white space. r1 points to MEMORY, bytes as hex digits too, which the program may read and
write; r2 is its length. Without it both are 0.

  --elf             PROGRAM is an object file (in hex): its section .text is run
  --engine ENGINE   jit (the default): compiled to WebAssembly; interp: interpreted. Where the interpreter has to run what
                    was to be compiled, standard error says why
  --debug           print each executed instruction to standard error: the interpreter runs them then
  -h, --help        this text

This is what bpf_conformance (https://github.com/Alan-Jowett/bpf_conformance) expects of a plugin.

exit codes: 0 done, 1 the program was refused or failed, 2 a wrong argument or input`;

/** `input` gives standard input, `print` and `tell` write a line to standard output and error. */
export async function execCommand(
  args: readonly string[],
  input: () => string = () => readFileSync(0, "utf8"),
  print: (line: string) => void = console.log,
  tell: (line: string) => void = console.error,
): Promise<void> {
  const { memory, elf, debug, engine } = parse(args);
  const bytes = hexBytes("the program on standard input", input());
  if (bytes.length === 0)
    throw new InputError("there is no program on standard input: expected its bytes as hex digits");
  const code = elf ? textSection(bytes) : bytes;
  const host = createEmbedded({ memory: MEMORY, seed: 1, engine });
  try {
    const observe = debug ? { observe: new Trace((step) => tell(formatStep(step))) } : {};
    const { r0, whyInterpreted } = host.execute(code, { memory, ...observe });
    if (whyInterpreted !== undefined) tell(`interpreted: ${whyInterpreted}`);
    print(r0.toString(16));
  } finally {
    host.close();
  }
}

interface ExecOptions {
  readonly memory: Uint8Array;
  readonly elf: boolean;
  readonly debug: boolean;
  readonly engine: Engine;
}

function parse(args: readonly string[]): ExecOptions {
  let parsed: { values: { elf?: boolean; debug?: boolean; engine?: string }; positionals: string[] };
  try {
    const options = { elf: { type: "boolean" }, debug: { type: "boolean" }, engine: { type: "string" } } as const;
    parsed = parseArgs({ args: [...args], allowPositionals: true, options });
  } catch (error) {
    throw new InputError(`${(error as Error).message} (bpfmaps exec --help)`, { cause: error });
  }
  const [memory = "", ...more] = parsed.positionals;
  if (more.length > 0)
    throw new InputError(`one MEMORY argument: found ${more.map((m) => JSON.stringify(m)).join(", ")} too`);
  const { elf = false, debug = false, engine = "jit" } = parsed.values;
  return { memory: hexBytes("MEMORY", memory), elf, debug, engine: engineOf(engine) };
}

/** Bytes as two hex digits each, white space between them or not. */
function hexBytes(what: string, text: string): Uint8Array {
  const digits = text.replace(/\s+/g, "");
  const wrong = /[^0-9a-f]/i.exec(digits);
  if (wrong !== null) throw new InputError(`${what}: found ${JSON.stringify(wrong[0])}, expected hex digits`);
  if (digits.length % 2 !== 0) throw new InputError(`${what}: ${digits.length} hex digits, expected two for each byte`);
  return Uint8Array.from({ length: digits.length / 2 }, (_, i) => Number.parseInt(digits.slice(i * 2, i * 2 + 2), 16));
}

function textSection(object: Uint8Array): Uint8Array {
  const section = parseElf(object).sections.find(({ name, data }) => name === ".text" && data.length > 0);
  if (section === undefined) throw new InputError("the object on standard input has no code in its section .text");
  return section.data;
}
