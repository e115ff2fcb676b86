/** Maps of type STRUCT_OPS: the kernel's struct that the source's stands for, and what its map is created with. */
import { type BtfStruct, essentialName } from "../btf/index.ts";
import type { ObjectSpec, StructOpsSpec } from "../elf/index.ts";
import { InputError } from "../errors.ts";
import type { KernelBtf } from "../host/host.ts";
import { STRUCT_OPS_PREFIX } from "../uapi/index.ts";
import type { HostContext } from "./context.ts";

export interface KernelStruct {
  readonly typeId: number;
  readonly struct: BtfStruct;
  /** The struct around it, and how large that is: the map's value. */
  readonly valueTypeId: number;
  readonly valueSize: number;
}

/** `InputError`: the kernel has no such struct. */
export function kernelStruct(context: HostContext, { btf }: ObjectSpec, map: string, ops: StructOpsSpec): KernelStruct {
  const kernel = context.seam.kernelBtf();
  const name = essentialName(btf?.type(ops.typeId).name ?? "");
  const typeId = kernel?.btf.find(name, "struct");
  const valueTypeId = kernel?.btf.find(`${STRUCT_OPS_PREFIX}${name}`, "struct");
  if (kernel !== undefined && typeId !== undefined && valueTypeId !== undefined) {
    const struct = kernel.btf.type(typeId) as BtfStruct;
    return { typeId, struct, valueTypeId, valueSize: kernel.btf.sizeOf(valueTypeId) };
  }
  throw new InputError(
    `map ${map}: struct ${name} is none that programs of this kernel may implement${typesHint(kernel)}`,
  );
}

/** What to do when the kernel's BTF lacks a type: empty where it is a real kernel's. */
export function typesHint(kernel: KernelBtf | undefined): string {
  return kernel?.complete === false ? "; give the host a kernel's types: createEmbedded({ kernelBtf: ... })" : "";
}
