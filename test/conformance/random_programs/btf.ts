/** Types of the functions of random programs: the kernel takes callbacks only from programs that have them. */
import { BtfBuilder } from "../../../src/btf/builder.ts";
import { bpf_func_info } from "../../../src/uapi/index.ts";
import { functionsOf, type RandomProgram } from "./generate.ts";

interface FunctionTypes {
  readonly btf: Uint8Array;
  /** BTF ids by what `functionsOf` calls them. */
  readonly ids: Readonly<Record<string, number>>;
}

export function functionTypes(): FunctionTypes {
  const b = new BtfBuilder();
  const int = b.int("int", 4, { signed: true });
  const long = b.int("unsigned long long", 8);
  const pointer = b.ptr(0);
  const of = (name: string, ...params: readonly number[]): number => {
    const named = params.map((typeId, i) => ({ name: `a${i}`, typeId }));
    return b.func(name, b.funcProto(int, named), name === "main" ? "global" : "static");
  };
  const ids = {
    main: of("main", pointer),
    static: of("callee", long, long, long, long, long),
    loop: of("turn", long, pointer),
    element: of("element", pointer, pointer, pointer, pointer),
  };
  return { btf: b.build(), ids };
}

/** func_info of BPF_PROG_LOAD. */
export function funcInfo(program: RandomProgram, ids: FunctionTypes["ids"]): Uint8Array {
  const functions = functionsOf(program);
  return new Uint8Array(Uint32Array.from(functions.flatMap(({ at, type }) => [at, ids[type]!])).buffer);
}

export const FUNC_INFO_SIZE: number = bpf_func_info.size;
