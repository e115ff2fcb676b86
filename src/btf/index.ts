/** BTF: read, write and show. A pure codec: it needs no kernel and no Node. */
export { Btf } from "./btf.ts";
export { BtfBuilder, type MemberInput } from "./builder.ts";
export { CoreRelocator, type CoreResult, KERNEL_RULES, LIBBPF_RULES } from "./core.ts";
export { CoreMatcher } from "./core_match.ts";
export { BAD_RELO, patchInsn } from "./core_patch.ts";
export type { CoreRecord } from "./core_path.ts";
export { essentialName } from "./essential_name.ts";
export { type BtfCoreRelo, type BtfExt, type BtfFuncInfo, type BtfLineInfo, parseBtfExt } from "./ext.ts";
export { formatType } from "./format_type.ts";
export { type BtfValue, formatValue } from "./format_value.ts";
export { parseBtf } from "./parse.ts";
export type * from "./types.ts";
