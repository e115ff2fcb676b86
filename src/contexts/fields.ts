/**
 * Which loads and stores of a context's fields the kernel knows, as data: rules a field, made into a table with a byte
 * for each offset. The rules were found by asking Linux 6.18 about every offset, size and direction; a test asks again.
 */

/** Sizes are their own bits: 1, 2, 4 and 8. */
export interface FieldRule {
  readonly offset: number;
  readonly size: number;
  /** Sizes of loads and stores. They lie at multiples of their size. */
  readonly read: number;
  readonly write: number;
  /** Where in the field they may begin: at multiples of this. */
  readonly step: number;
}

interface Place {
  readonly offset: number;
  readonly size: number;
}

const ANY_PART = 1 | 2 | 4;

/** Loads of the whole field, or of whole words of an array. */
export function whole({ offset, size }: Place, word: number = Math.min(size, 8)): FieldRule {
  return { offset, size, read: word, write: 0, step: word };
}

/** Loads of any part of the field. */
export function narrow({ offset, size }: Place, read: number = ANY_PART): FieldRule {
  return { offset, size, read, write: 0, step: 1 };
}

/** Loads of the first byte, the first two, or all four, of each word. */
export function front({ offset, size }: Place): FieldRule {
  return { offset, size, read: ANY_PART, write: 0, step: 4 };
}

/** The same field with stores of whole words too. */
export function stores({ offset, size }: Place, write: number = 4): FieldRule {
  return { offset, size, read: 0, write, step: 4 };
}

/** A byte for each offset: sizes of loads, and of stores four bits higher. */
export function accessTable(size: number, rules: readonly FieldRule[]): Uint8Array {
  const table = new Uint8Array(size);
  for (const { offset, size: bytes, read, write, step } of rules) {
    for (let at = 0; at < bytes; at += step) {
      for (const n of [1, 2, 4, 8]) {
        if ((offset + at) % n !== 0 || at + n > bytes) continue;
        table[offset + at]! |= (read & n) | ((write & n) << 4);
      }
    }
  }
  return table;
}

export function tableAllows(table: Uint8Array, offset: number, size: number, write: boolean): boolean {
  return ((table[offset] ?? 0) & (write ? size << 4 : size)) !== 0;
}
