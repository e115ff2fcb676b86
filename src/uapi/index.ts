/** The kernel's numbers and layouts. Names are the kernel's. */
export * from "./attach_names.ts";
export * from "./constants.gen.ts";
export * from "./errno.ts";
export * from "./extra.ts";
export * from "./map_abi.ts";
export * from "./structs.gen.ts";
