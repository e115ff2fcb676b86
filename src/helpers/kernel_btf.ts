/**
 * The BTF of this host's kernel: what programs name kernel functions by. One FUNC for each kernel function, in the order
 * of the table.
 */
import { type Btf, BtfBuilder, parseBtf } from "../btf/index.ts";
import type { Kernel } from "../kern/kernel.ts";
import { kfuncTable } from "./kfunc_table.ts";
import type { HelperArg, Kfunc } from "./types.ts";

/** The bytes, the same on every host of this version. */
export function kernelBtf(): Uint8Array {
  const b = new BtfBuilder();
  const u64 = b.int("unsigned long long", 8);
  const u32 = b.int("unsigned int", 4);
  const pointer = b.ptr(0);
  const typeOf = (arg: HelperArg): number => (arg === "u64" ? u64 : arg === "u32" ? u32 : pointer);
  const resultOf = ({ result }: Kfunc): number =>
    result === "void" ? 0 : result === "pointer" ? pointer : result === "u64" ? u64 : u32;
  for (const kfunc of kfuncTable) {
    const params = kfunc.args.map((arg, i) => ({ name: `arg${i}`, typeId: typeOf(arg) }));
    b.func(kfunc.name, b.funcProto(resultOf(kfunc), params));
  }
  return b.build();
}

/** It parsed; each client keeps it. */
export function kernelBtfOf(kernel: Kernel): Btf {
  kernel.kernelBtf ??= parseBtf(kernelBtf());
  return kernel.kernelBtf;
}

/** The name of the function with this BTF id, or undefined. */
export function kfuncNameOf(kernel: Kernel, id: number): string | undefined {
  const type = kernelBtfOf(kernel).types[id];
  return type?.kind === "func" ? type.name : undefined;
}
