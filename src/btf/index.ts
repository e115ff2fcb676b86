/** BTF: read, write and show. A pure codec: it needs no kernel and no Node. */
export { Btf } from "./btf.ts";
export { parseBtf } from "./parse.ts";
export type * from "./types.ts";
