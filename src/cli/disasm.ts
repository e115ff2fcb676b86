/** `bpfmaps disasm`: the programs of an object as text, with source lines and names. Nothing is loaded. */
import { parseArgs } from "node:util";
import { type ObjectSpec, type ProgramSpec, parseObject } from "../elf/index.ts";
import { InputError } from "../errors.ts";
import { Disassembly, insnTable, variantOf } from "../insn/index.ts";
import { bpfFuncNames } from "../uapi/index.ts";
import { inFile, readInput } from "./packets.ts";

export const disasmHelp = `usage: bpfmaps disasm OBJECT [--prog NAME]

Prints the programs of a compiled BPF object: each function with its instructions, jump labels, the source line in front
of what was made of it, and the names of maps, variables, helpers and functions.

  --prog NAME       only this program
  -h, --help        this text

exit codes: 0 done, 2 a wrong argument or file`;

export async function disasmCommand(args: readonly string[]): Promise<void> {
  const { object, prog } = parse(args);
  const bytes = readInput(object);
  const spec = inFile(object, () => parseObject(bytes));
  console.log(chosen(spec, object, prog).map(listing).join("\n\n"));
}

function parse(args: readonly string[]): { object: string; prog: string | undefined } {
  let parsed: { values: { prog?: string }; positionals: string[] };
  try {
    parsed = parseArgs({ args: [...args], allowPositionals: true, options: { prog: { type: "string" } } });
  } catch (error) {
    throw new InputError(`${(error as Error).message} (bpfmaps disasm --help)`, { cause: error });
  }
  const [object, ...more] = parsed.positionals;
  if (object === undefined) throw new InputError("no OBJECT given: bpfmaps disasm OBJECT");
  if (more.length > 0)
    throw new InputError(`one OBJECT at a time: found ${more.map((m) => JSON.stringify(m)).join(", ")} too`);
  return { object, prog: parsed.values.prog };
}

function chosen({ programs }: ObjectSpec, object: string, prog: string | undefined): readonly ProgramSpec[] {
  if (programs.length === 0) throw new InputError(`${object}: there is no program in it`);
  if (prog === undefined) return programs;
  const found = programs.filter(({ name }) => name === prog);
  if (found.length > 0) return found;
  const names = programs.map(({ name }) => name).join(", ");
  throw new InputError(`${object}: there is no program ${prog}: it has ${names}`);
}

function listing(program: ProgramSpec): string {
  const { name, section, insns, functions, lines } = program;
  const title = `${name} (${section}): ${count(insns.length, "instruction")}, ${count(functions.length, "function")}`;
  const source = { insns, functions, lines, references: referencesOf(program), helper: helperName };
  return [title, "", ...new Disassembly(source).lines()].join("\n");
}

function count(n: number, noun: string): string {
  return `${n} ${noun}${n === 1 ? "" : "s"}`;
}

function helperName(id: number): string | undefined {
  return bpfFuncNames[id]?.replace("BPF_FUNC_", "bpf_");
}

/** What 64-bit immediates stand for, and which functions of the kernel are called. */
function referencesOf({ mapRefs, externRefs, insns, functions }: ProgramSpec): Map<number, string> {
  const references = new Map<number, string>();
  insns.forEach((insn, index) => {
    const row = insnTable[insn.opcode];
    if (row === undefined || variantOf(row, insn)?.op !== "func" || row.kind !== "ldImm64") return;
    const to = index + 1 + insn.imm;
    references.set(index, `func[${functions.find((each) => each.insn === to)?.name ?? to}]`);
  });
  for (const { insn, map, kind, offset = 0 } of mapRefs)
    references.set(insn, kind === "fd" ? `map[${map}]` : `map[${map}][0]+${offset}`);
  for (const { insn, extern, kind } of externRefs) references.set(insn, kind === "call" ? extern : `ksym[${extern}]`);
  return references;
}
