/** The keys that all sides use, in the order in which all of them use them. */

export interface KeySet {
  /** All keys, one behind the other. */
  readonly words: Uint32Array;
  /** Words of one key. */
  readonly stride: number;
  readonly count: number;
}

const SEED = 12345;

/** Random numbers from one seed: a full-period generator, so no number comes twice in 2^32. */
export function numbers(count: number): Uint32Array {
  let state = SEED;
  return Uint32Array.from({ length: count }, () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state;
  });
}

/** Keys of `stride` words that are all different. */
export function randomKeys(count: number, stride: number): KeySet {
  const first = numbers(count);
  const words = new Uint32Array(count * stride);
  for (let i = 0; i < count; i++) {
    for (let w = 0; w < stride; w++) words[i * stride + w] = w === 0 ? first[i]! : (first[i]! >>> w) ^ 0x5bd1e995;
  }
  return { words, stride, count };
}

/** Indices of an array, each once, in a random order. */
export function indices(count: number): KeySet {
  const words = Uint32Array.from({ length: count }, (_, i) => i);
  for (const [i, random] of numbers(count).entries()) {
    const other = random % (i + 1);
    [words[i], words[other]] = [words[other]!, words[i]!];
  }
  return { words, stride: 1, count };
}

/** The first `count` of them. */
export function firstOf(keys: KeySet, count: number): KeySet {
  return { words: keys.words.subarray(0, count * keys.stride), stride: keys.stride, count };
}
