/**
 * LOOKUP_BATCH, LOOKUP_AND_DELETE_BATCH, UPDATE_BATCH and DELETE_BATCH. Here the fd is judged; whether the type has the
 * command, and all that follows, is the type's.
 */
import { FMODE_READ, FMODE_WRITE } from "../kern/fds.ts";
import type { Kernel } from "../kern/kernel.ts";
import { entryOfMap } from "../kern/map.ts";
import type { MapBatch } from "../struct/batch.ts";
import { bpf_attr } from "../uapi/index.ts";
import { copyToUser, pointerAt, putU32, u64At } from "./attr.ts";
import { beginWrite } from "./map_elem.ts";

const { batch } = bpf_attr;
const FD = batch.map_fd.offset;
const COUNT = batch.count.offset;

/** Everything is read before anything is written: `attr` may be the caller's own. */
class UserBatch implements MapBatch {
  readonly inBatch: number;
  readonly outBatch: number;
  readonly keys: number;
  readonly values: number;
  readonly room: number;
  readonly elemFlags: number;
  readonly flags: number;
  readonly #kernel: Kernel;
  readonly #count: number;

  constructor(kernel: Kernel, attr: number, uattr: number) {
    this.inBatch = pointerAt(kernel, attr + batch.in_batch.offset);
    this.outBatch = pointerAt(kernel, attr + batch.out_batch.offset);
    this.keys = pointerAt(kernel, attr + batch.keys.offset);
    this.values = pointerAt(kernel, attr + batch.values.offset);
    this.room = kernel.mem.u32[(attr + COUNT) >>> 2]!;
    this.elemFlags = u64At(kernel, attr + batch.elem_flags.offset);
    this.flags = u64At(kernel, attr + batch.flags.offset);
    this.#kernel = kernel;
    this.#count = uattr + COUNT;
  }

  userOk(address: number, length: number, write: boolean): boolean {
    return address + length <= this.#kernel.mem.byteLength && this.#kernel.userOk(address, length, write);
  }

  write(to: number, from: number, length: number): boolean {
    return copyToUser(this.#kernel, to, from, length);
  }

  putCount(count: number): boolean {
    return putU32(this.#kernel, this.#count, count) === 0;
  }
}

export function mapLookupBatch(kernel: Kernel, attr: number, uattr: number): number {
  const map = kernel.getMap(kernel.mem.u32[(attr + FD) >>> 2]!, FMODE_READ);
  if (map < 0) return map;
  const ret = entryOfMap(kernel, map).ops.map_lookup_batch(kernel, map, new UserBatch(kernel, attr, uattr));
  kernel.endMap();
  return ret;
}

export function mapLookupAndDeleteBatch(kernel: Kernel, attr: number, uattr: number): number {
  return change(kernel, attr, uattr, FMODE_READ | FMODE_WRITE, "map_lookup_and_delete_batch");
}

export function mapUpdateBatch(kernel: Kernel, attr: number, uattr: number): number {
  return change(kernel, attr, uattr, FMODE_WRITE, "map_update_batch");
}

export function mapDeleteBatch(kernel: Kernel, attr: number, uattr: number): number {
  return change(kernel, attr, uattr, FMODE_WRITE, "map_delete_batch");
}

function change(
  kernel: Kernel,
  attr: number,
  uattr: number,
  mode: number,
  op: "map_lookup_and_delete_batch" | "map_update_batch" | "map_delete_batch",
): number {
  const map = beginWrite(kernel, kernel.mem.u32[(attr + FD) >>> 2]!, mode);
  if (map < 0) return map;
  const ret = entryOfMap(kernel, map).ops[op](kernel, map, new UserBatch(kernel, attr, uattr));
  kernel.endMap();
  return ret;
}
