/** BTF objects: the bytes lie in linear memory, each client parses them when it first needs them. */
import { type Btf, parseBtf } from "../btf/index.ts";
import { verifyReferences } from "../btf/resolve.ts";
import type { SpecialFields } from "../btf/special_fields.ts";
import { specialStructs } from "../btf/special_structs.ts";
import { verifyHeader, verifyTypes } from "../btf/verify.ts";
import { Bug, InputError } from "../errors.ts";
import { alloc, free } from "../mem/alloc.ts";
import { OBJ_BTF, OBJ_HEAD, OBJ_ID, OBJ_KIND, OBJ_REFS } from "../mem/layout.ts";
import { lock, unlock } from "../mem/locks.ts";
import { findPool, freePools, makePool } from "../struct/objects.ts";
import { EINVAL, ENOMEM } from "../uapi/index.ts";
import type { Kernel } from "./kernel.ts";

export const BTF_DATA: number = OBJ_HEAD;
export const BTF_SIZE: number = OBJ_HEAD + 4;
/** Objects that programs allocated of its structs: the first pool of a chain (`struct/objects.ts`), and its lock. */
const BTF_POOLS: number = OBJ_HEAD + 8;
const BTF_POOLS_LOCK: number = OBJ_HEAD + 12;
const BTF_DESC_SIZE = 32;

/** A new BTF object of the bytes at `from` in user memory, or an errno; `log` hears why it was refused. */
export function createBtf(kernel: Kernel, from: number, size: number, log: (line: string) => void): number {
  const { mem } = kernel;
  const data = alloc(mem, size);
  const object = data === 0 ? 0 : alloc(mem, BTF_DESC_SIZE);
  if (object === 0) {
    if (data !== 0) free(mem, data, size);
    return -ENOMEM;
  }
  mem.copy(data, from, size);
  const { u32 } = mem;
  u32[(object + OBJ_KIND) >>> 2] = OBJ_BTF;
  u32[(object + OBJ_REFS) >>> 2] = 1;
  u32[(object + BTF_DATA) >>> 2] = data;
  u32[(object + BTF_SIZE) >>> 2] = size;
  const ret = judge(kernel, object, log);
  if (ret === 0) return object;
  destroyBtf(kernel, object);
  return ret;
}

/** What the kernel's validator says: 0 or an errno. */
function judge(kernel: Kernel, object: number, log: (line: string) => void): number {
  try {
    const header = verifyHeader(bytesOf(kernel, object));
    if (header !== 0) log("BTF: the header or the sections are not as Linux 6.18 wants them");
    if (header !== 0) return header;
    const btf = parseObject(kernel, object);
    const refused = verifyTypes(bytesOf(kernel, object)) || verifyReferences(btf);
    if (refused !== 0) log("BTF: a type is none that Linux 6.18 takes: its name, flags, size or what it refers to");
    if (refused !== 0) return refused;
    const structs = specialStructs(btf);
    if (typeof structs !== "number") return 0;
    log("BTF: a struct with special fields (locks, lists, trees, pointers to kernel objects) contradicts itself");
    return structs;
  } catch (error) {
    if (!(error instanceof InputError)) throw error;
    log(error.message);
    return -EINVAL;
  }
}

function bytesOf(kernel: Kernel, object: number): Uint8Array {
  const { u32, u8 } = kernel.mem;
  const data = u32[(object + BTF_DATA) >>> 2]!;
  return u8.slice(data, data + u32[(object + BTF_SIZE) >>> 2]!);
}

function parseObject(kernel: Kernel, object: number): Btf {
  return parseBtf(bytesOf(kernel, object));
}

/** The parsed form of a BTF object that has its id. */
export function btfOf(kernel: Kernel, object: number): Btf {
  const id = kernel.mem.u32[(object + OBJ_ID) >>> 2]!;
  let btf = kernel.btfCache.get(id);
  if (btf === undefined) {
    btf = parseObject(kernel, object);
    kernel.btfCache.set(id, btf);
  }
  return btf;
}

/** The structs of a loaded BTF object that hold special fields. */
export function structsOf(kernel: Kernel, object: number): ReadonlyMap<number, SpecialFields> {
  const structs = specialStructs(btfOf(kernel, object));
  if (typeof structs === "number") throw new Bug(`the BTF object at ${object} was loaded although it is refused`);
  return structs;
}

/** The pool of objects of a struct; `percpu`: with a copy for each CPU. 0: there is no such struct, or no memory. */
export function poolOfStruct(kernel: Kernel, object: number, type: number, percpu: boolean): number {
  const { mem, cpus } = kernel;
  const { u32 } = mem;
  lock(mem, object + BTF_POOLS_LOCK);
  const first = u32[(object + BTF_POOLS) >>> 2]!;
  let pool = findPool(mem, first, type, percpu);
  if (pool === 0) {
    const struct = btfOf(kernel, object).types[type];
    const size = struct?.kind === "struct" ? struct.size : 0;
    const fields = structsOf(kernel, object).get(type);
    // Copies for CPUs have no special fields.
    if (size !== 0 && !(percpu && fields !== undefined)) {
      pool = makePool(mem, { btf: object, type, size, cpus, percpu, fields }, first);
      if (pool !== 0) u32[(object + BTF_POOLS) >>> 2] = pool;
    }
  }
  unlock(mem, object + BTF_POOLS_LOCK);
  return pool;
}

export function destroyBtf(kernel: Kernel, object: number): void {
  const { mem } = kernel;
  freePools(mem, mem.u32[(object + BTF_POOLS) >>> 2]!);
  kernel.btfCache.delete(mem.u32[(object + OBJ_ID) >>> 2]!);
  free(mem, mem.u32[(object + BTF_DATA) >>> 2]!, mem.u32[(object + BTF_SIZE) >>> 2]!);
  free(mem, object, BTF_DESC_SIZE);
}
