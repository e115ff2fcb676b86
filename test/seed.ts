/** Of random tests: BPFMAPS_RANDOM_SEED runs others. */
export const SEED: number = Number(process.env.BPFMAPS_RANDOM_SEED ?? 1);
