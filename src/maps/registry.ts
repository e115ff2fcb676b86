/** Which entry serves which map type. A type without a line here is refused as one that the kernel does not know. */
import {
  BPF_MAP_TYPE_ARRAY,
  BPF_MAP_TYPE_HASH,
  BPF_MAP_TYPE_PERCPU_ARRAY,
  BPF_MAP_TYPE_PERCPU_HASH,
  type BpfMapType,
} from "../uapi/index.ts";
import { arrayMap } from "./array.ts";
import { hashMap } from "./hash.ts";
import type { MapTypeEntry } from "./ops.ts";
import { percpuArrayMap } from "./percpu_array.ts";
import { percpuHashMap } from "./percpu_hash.ts";

export const mapRegistry: Readonly<Partial<Record<BpfMapType, MapTypeEntry>>> = {
  [BPF_MAP_TYPE_HASH]: hashMap,
  [BPF_MAP_TYPE_ARRAY]: arrayMap,
  [BPF_MAP_TYPE_PERCPU_HASH]: percpuHashMap,
  [BPF_MAP_TYPE_PERCPU_ARRAY]: percpuArrayMap,
};

/** The entry of a map type's number, as it stands in a map's descriptor or comes from a caller. */
export function mapEntry(type: number): MapTypeEntry | undefined {
  return mapRegistry[type as BpfMapType];
}
