/** Codecs: TypeScript values from and to the bytes that C has for them. */
export { ipv4, ipv6, mac } from "./address.ts";
export { type ArrayCodec, array } from "./array.ts";
export { type BitField, bits } from "./bits.ts";
export { CodecBuffer } from "./buffer.ts";
export { bytes, cstring, type PadCodec, pad } from "./bytes.ts";
export {
  type AnyCodec,
  aligned,
  type Codec,
  type CodecParts,
  type Infer,
  type InferInput,
  makeCodec,
  transform,
} from "./codec.ts";
export {
  compareWithBtf,
  type FieldDifference,
  type FieldProblem,
  formatDifferences,
  formatLayout,
} from "./compare_btf.ts";
export { type EnumCodec, enumOf } from "./enum.ts";
export { CodecError, type CodecProblem } from "./error.ts";
export { codecFromBtf } from "./from_btf.ts";
export {
  bool,
  type EndianCodec,
  type EndianWordCodec,
  s8,
  s16,
  s32,
  s64,
  u8,
  u16,
  u32,
  u64,
  type WordCodec,
} from "./int.ts";
export {
  type ArrayLayout,
  type CodecLayout,
  type CompositeLayout,
  describeLayout,
  type EnumLayout,
  type FieldLayout,
  type IntLayout,
  type PlainLayout,
} from "./layout.ts";
export { type LpmKey, type LpmKeyCodec, lpmKey } from "./lpm.ts";
export { decodePerCpu, PerCpu, perCpu, perCpuStride, type Totals, writePerCpu } from "./per_cpu.ts";
export type { FieldType } from "./place.ts";
export { refcount, resSpinLock, spinLock, taskWork, timer, workqueue } from "./special.ts";
export {
  type CompositeOptions,
  type StructCodec,
  type StructFactory,
  type StructFields,
  type StructInput,
  type StructValue,
  struct,
} from "./struct.ts";
export { btfFromCodec } from "./to_btf.ts";
export { type UnionCodec, type UnionInput, type UnionMembers, type UnionValue, union } from "./union.ts";
