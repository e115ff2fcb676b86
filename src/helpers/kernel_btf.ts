/**
 * The BTF of this host's kernel: what programs name kernel functions by, and what CO-RE relocates against. The host was
 * given one, such as a real kernel's, or has its own small one: a FUNC for each kernel function, in the order of the
 * table, one for map iterators, and what test runs call (`test_functions.ts`).
 */
import { type Btf, BtfBuilder, parseBtf } from "../btf/index.ts";
import type { Kernel } from "../kern/kernel.ts";
import { alloc } from "../mem/alloc.ts";
import { SB_KERNEL_BTF, SB_KERNEL_BTF_SIZE } from "../mem/layout.ts";
import { kfuncTable } from "./kfunc_table.ts";
import { addTestTypes } from "./test_functions.ts";
import type { HelperArg, Kfunc } from "./types.ts";

let small: Btf | undefined;

/** The small one, parsed: the same on every host of this version, so all hosts of a thread share it. */
function smallBtf(): Btf {
  small ??= parseBtf(kernelBtf());
  return small;
}

/** The bytes of the small one. */
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
  // What iterator programs are attached to.
  const iterator = ["meta", "map", "key", "value"].map((name) => ({ name, typeId: pointer }));
  b.func("bpf_iter_bpf_map_elem", b.funcProto(u32, iterator));
  addTestTypes(b);
  return b.build();
}

/** Makes these bytes, which are well-formed, the kernel's BTF, before anybody has asked for it. False: out of memory. */
export function setKernelBtf(kernel: Kernel, bytes: Uint8Array): boolean {
  const { mem } = kernel;
  const block = alloc(mem, bytes.length);
  if (block === 0) return false;
  mem.u8.set(bytes, block);
  mem.u32[SB_KERNEL_BTF >>> 2] = block;
  mem.u32[SB_KERNEL_BTF_SIZE >>> 2] = bytes.length;
  return true;
}

/** Whether the host was given a BTF. */
export function givenKernelBtf(kernel: Kernel): boolean {
  return kernel.mem.u32[SB_KERNEL_BTF >>> 2] !== 0;
}

/** The kernel's BTF, parsed; each client keeps it. */
export function kernelBtfOf(kernel: Kernel): Btf {
  const { u8, u32 } = kernel.mem;
  const given = u32[SB_KERNEL_BTF >>> 2]!;
  kernel.kernelBtf ??= given === 0 ? smallBtf() : parseBtf(u8.subarray(given, given + u32[SB_KERNEL_BTF_SIZE >>> 2]!));
  return kernel.kernelBtf;
}

/** The name of the function with this BTF id, or undefined. */
export function kfuncNameOf(kernel: Kernel, id: number): string | undefined {
  const btf = kernelBtfOf(kernel);
  const type = id >= 0 && id < btf.count ? btf.type(id) : undefined;
  return type?.kind === "func" ? type.name : undefined;
}
