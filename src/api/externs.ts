/**
 * What an object names and the host has: values of the kernel's configuration, kernel functions, variables and symbols. As
 * libbpf resolves them: what is missing is an error, unless it is declared weak.
 */
import { CoreMatcher, essentialName, formatType, LIBBPF_RULES } from "../btf/index.ts";
import {
  type ExternSpec,
  encodeKconfig,
  globalBytes,
  KCONFIG,
  type KconfigValue,
  type ObjectSpec,
  type ProgramSpec,
  parseKconfig,
} from "../elf/index.ts";
import { InputError } from "../errors.ts";
import type { KernelBtf } from "../host/host.ts";
import type { Insn } from "../insn/index.ts";
import { BPF_PROG_LOAD, BPF_PROG_TYPE_KPROBE, BPF_PSEUDO_BTF_ID } from "../uapi/index.ts";
import type { HostContext } from "./context.ts";

/** A configuration as text, `CONFIG_HZ=250` and so on, or as values by option. */
export type Kconfig = string | Readonly<Record<string, KconfigValue>>;

/** What an extern is on a host: an id in its kernel's BTF, an address, or nothing. */
type Resolved = { readonly btfId: number } | { readonly address: bigint } | "missing";

/** Calls of missing functions are calls of helpers that no kernel has, from this number on, as libbpf makes them. */
const MISSING_FUNCTION = 2_002_000_000;

export class Externs {
  readonly #context: HostContext;
  readonly #spec: ObjectSpec;
  readonly #resolved: Map<string, Resolved> = new Map();

  constructor(context: HostContext, spec: ObjectSpec) {
    this.#context = context;
    this.#spec = spec;
  }

  /** Resolves what these programs use. Values of the configuration go into the first value of their map. */
  resolve(programs: readonly ProgramSpec[], kconfig: Kconfig | undefined): void {
    const used = new Set(programs.flatMap((program) => program.externRefs.map((ref) => ref.extern)));
    const externs = this.#spec.externs.filter((extern) => used.has(extern.name));
    this.#resolveSymbols(externs.filter((extern) => extern.kind === "symbol"));
    for (const extern of externs) {
      if (extern.kind === "function" || extern.kind === "variable") this.#resolveBtf(extern, extern.kind);
    }
    this.#resolveKconfig(kconfigUsed(this.#spec, programs), kconfig);
  }

  /** Puts what was resolved into a program's instructions. */
  putInto(insns: Insn[], { externRefs }: ProgramSpec): void {
    for (const { insn: at, extern, kind } of externRefs) {
      const resolved = this.#resolved.get(extern)!;
      const insn = insns[at]!;
      const known = resolved === "missing" ? { address: 0n } : resolved;
      if (kind === "call") {
        const index = this.#spec.externs.findIndex(({ name }) => name === extern);
        insns[at] =
          "btfId" in known ? { ...insn, imm: known.btfId } : { ...insn, src: 0, imm: MISSING_FUNCTION + index };
      } else if ("btfId" in known) {
        insns[at] = { ...insn, src: BPF_PSEUDO_BTF_ID, imm: known.btfId };
      } else {
        insns[at] = { ...insn, src: 0, imm: Number(BigInt.asIntN(32, known.address)) };
        insns[at + 1] = { ...insns[at + 1]!, imm: Number(BigInt.asIntN(32, known.address >> 32n)) };
      }
    }
  }

  /** What a log says of a call of a missing function: undefined, the program was refused for something else. */
  explain(log: string): readonly string[] | undefined {
    const number = /^\d+: .*unknown#(\d+)$/m.exec(log)?.[1];
    const extern = this.#spec.externs[Number(number) - MISSING_FUNCTION];
    return extern && [`it calls the kernel function ${extern.name}, which this kernel does not have`];
  }

  #set(extern: ExternSpec, resolved: Resolved | undefined, where: string): void {
    if (resolved === undefined && !extern.weak) {
      throw new InputError(
        `extern ${extern.name}: not found ${where}; declare it __weak, or set its \`value\` in \`edit\``,
      );
    }
    this.#resolved.set(extern.name, resolved ?? "missing");
  }

  #resolveBtf(extern: ExternSpec, kind: "function" | "variable"): void {
    const { value } = extern;
    const kernel = this.#context.seam.kernelBtf();
    let btfId = value === undefined || value === null ? undefined : Number(value);
    if (value === undefined) btfId = kernel?.btf.find(essentialName(extern.name), kind === "function" ? "func" : "var");
    const where = kernel === undefined ? "(this kernel shows no BTF)" : "in the kernel's BTF";
    this.#set(extern, btfId === undefined || !this.#fits(extern, kernel, btfId) ? undefined : { btfId }, where);
  }

  /** Whether the kernel's is of the type that the object declares. A small BTF of the host's own has no types to compare. */
  #fits(extern: ExternSpec, kernel: KernelBtf | undefined, btfId: number): boolean {
    const { btf } = this.#spec;
    if (kernel === undefined || btf === undefined || !kernel.complete) return true;
    const declared = btf.type(extern.typeId);
    const target = kernel.btf.type(btfId);
    const local = declared.kind === "func" ? declared.typeId : btf.resolve(extern.typeId);
    const theirs = target.kind === "func" || target.kind === "var" ? kernel.btf.resolve(target.typeId) : btfId;
    if (new CoreMatcher(btf, kernel.btf, LIBBPF_RULES.levels).alike(local, theirs)) return true;
    if (extern.weak) return false;
    const found = formatType(kernel.btf, target.kind === "func" ? btfId : theirs);
    throw new InputError(`extern ${extern.name}: the kernel's is ${found}, which is not what the object declares`);
  }

  #resolveSymbols(externs: readonly ExternSpec[]): void {
    const asked = externs.filter((extern) => extern.value === undefined);
    const found = asked.length === 0 ? new Map() : this.#context.seam.facts.symbols(new Set(asked.map((e) => e.name)));
    for (const extern of externs) {
      const { name, value } = extern;
      const addresses: readonly bigint[] =
        value === undefined ? (found.get(name) ?? []) : value === null ? [] : [BigInt(value)];
      if (addresses.length > 1) throw new InputError(`extern ${name}: ${addresses.length} symbols have this name`);
      const [address] = addresses;
      this.#set(extern, address === undefined ? undefined : { address }, "among the kernel's symbols");
    }
  }

  #resolveKconfig(used: ReadonlySet<string>, given: Kconfig | undefined): void {
    const { btf, externs, globals } = this.#spec;
    const values = new KconfigValues(this.#context, given);
    for (const extern of externs) {
      if (extern.kind !== "kconfig" || btf === undefined) continue;
      const global = globals.find(({ name, section }) => name === extern.name && section === KCONFIG);
      if (global === undefined) continue;
      const value = extern.value === undefined ? values.get(extern.name) : (extern.value ?? undefined);
      const bytes = globalBytes(this.#spec, global);
      if (value !== undefined) encodeKconfig(btf, extern, value, bytes);
      else if (extern.weak || !used.has(extern.name)) bytes.fill(0);
      else throw new InputError(`extern ${extern.name}: ${values.missing(extern.name)}`);
    }
  }
}

/** Options whose bytes the programs refer to. */
function kconfigUsed({ externs, maps }: ObjectSpec, programs: readonly ProgramSpec[]): ReadonlySet<string> {
  const map = maps.find(({ section }) => section === KCONFIG)?.name;
  const refs = programs.flatMap((program) => program.mapRefs).filter((ref) => ref.map === map);
  const offsets = new Set(refs.map((ref) => ref.offset));
  const used = new Set<string>();
  for (const { name, kind, offset = 0, size = 0 } of externs) {
    if (kind !== "kconfig") continue;
    for (let at = offset; at < offset + size; at++) if (offsets.has(at)) used.add(name);
  }
  return used;
}

/** Values by option: what the caller gives comes before what the kernel was configured with. */
class KconfigValues {
  readonly #context: HostContext;
  readonly #given: ReadonlyMap<string, KconfigValue>;
  #kernel: ReadonlyMap<string, string> | undefined;

  constructor(context: HostContext, given: Kconfig | undefined) {
    this.#context = context;
    this.#given = typeof given === "string" ? parseKconfig(given) : new Map(Object.entries(given ?? {}));
  }

  get(name: string): KconfigValue | undefined {
    const given = this.#given.get(name);
    if (given !== undefined) return given;
    return name.startsWith("CONFIG_") ? this.#configured().get(name) : this.#virtual(name);
  }

  missing(name: string): string {
    const option = "give it to loadObject: { kconfig: ... }, or declare it __weak";
    if (!name.startsWith("CONFIG_")) return `no such value of the kernel's; ${option}`;
    const { size } = this.#configured();
    return `${size === 0 ? "this host shows no configuration" : "not set in the kernel's configuration"}; ${option}`;
  }

  #configured(): ReadonlyMap<string, string> {
    this.#kernel ??= parseKconfig(this.#context.seam.facts.config() ?? "");
    return this.#kernel;
  }

  /** Names that are no options, which libbpf fills in. */
  #virtual(name: string): KconfigValue | undefined {
    const { facts } = this.#context.seam;
    if (name === "LINUX_KERNEL_VERSION") return facts.version;
    if (name === "LINUX_HAS_BPF_COOKIE") return hasCookies(this.#context) ? 1 : 0;
    if (name === "LINUX_HAS_SYSCALL_WRAPPER") return facts.symbols(syscallWrappers).size > 0 ? 1 : 0;
    return undefined;
  }
}

/** bpf(2) itself, as architectures with wrappers around system calls name it. */
const syscallWrappers: ReadonlySet<string> = new Set(
  ["x64", "arm64", "s390x", "riscv"].map((arch) => `__${arch}_sys_bpf`),
);

/** call bpf_get_attach_cookie, exit */
const getCookie: Uint8Array = Uint8Array.of(0x85, 0, 0, 0, 174, 0, 0, 0, 0x95, 0, 0, 0, 0, 0, 0, 0);

function hasCookies({ seam }: HostContext): boolean {
  const attr = { prog_type: BPF_PROG_TYPE_KPROBE, insns: getCookie, insn_cnt: 2, license: "GPL" };
  const fd = seam.bpf(BPF_PROG_LOAD, attr);
  if (fd >= 0) seam.close(fd);
  return fd >= 0;
}
