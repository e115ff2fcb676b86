/** What the prover tells the emitter: see `prove/`. */

/** What is known of a register or a place of the stack. Numbers are unsigned; all ranges include both ends. */
export type Value =
  | { readonly kind: "unknown" }
  /** A number of at most 2^53 - 1. */
  | { readonly kind: "number"; readonly min: number; readonly max: number }
  /** This function's r10 + [min, max]; above 0 are its callers' frames. */
  | { readonly kind: "stack"; readonly min: number; readonly max: number }
  | { readonly kind: "ctx"; readonly offset: number }
  /** A pointer into the packet: the one that `base` names + [min, max]. */
  | { readonly kind: "packet"; readonly base: number; readonly min: number; readonly max: number }
  | { readonly kind: "packetEnd" }
  /** The handle of a map of the program. */
  | { readonly kind: "map"; readonly map: number }
  /** Memory of `size` bytes + [min, max]. `from`: the call that returned it, or -1 - its address where that is constant. */
  | {
      readonly kind: "region";
      readonly from: number;
      readonly size: number;
      readonly write: boolean;
      readonly min: number;
      readonly max: number;
      /** It may be NULL instead. */
      readonly nullable: boolean;
    };

/**
 * How a load, store or atomic instruction may reach its memory.
 *
 * - `proved`: the address is right
 * - `window`: it lies in the `size` bytes of the region `from` (see `Value`), or the exact check decides
 * - `stack`: it lies in this function's frame, or the exact check decides
 * - `check`: the exact check decides
 */
export interface Access {
  readonly how: "proved" | "window" | "stack" | "check";
  readonly from?: number;
  readonly size?: number;
}

export interface Facts {
  /** By the instruction's index. */
  readonly access: readonly (Access | undefined)[];
  /** By the index of a call: r1 .. r5 before it. */
  readonly calls: readonly (readonly Value[] | undefined)[];
  /** By function: the lowest offset from r10 that can be touched, a multiple of 8 not below -512. */
  readonly stackDepth: readonly number[];
}
