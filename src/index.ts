/** bpfmaps: BPF maps for TypeScript. */
export {};
