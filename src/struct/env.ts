/** What map types and the structures under them are given: the machine around them, and the attributes of a new map. */
import type { Memory } from "../mem/memory.ts";

/** What map types need from the layers above them. `kern/kernel.ts` implements it. */
export interface MapEnv {
  readonly mem: Memory;
  /** Number of possible CPUs. */
  readonly cpus: number;
  /** The virtual CPU of the operation or run under way. */
  cpu: number;
  random32(): number;
  /** A ring has news for who waits on it. Called after all locks are dropped; must not throw. */
  wake?(map: number): void;
}

/** The fields of MAP_CREATE that a type judges, with the kernel's names. map_extra comes in two halves. */
export interface MapCreateAttr {
  readonly map_type: number;
  readonly key_size: number;
  readonly value_size: number;
  readonly max_entries: number;
  readonly map_flags: number;
  readonly numa_node: number;
  readonly map_extra_lo: number;
  readonly map_extra_hi: number;
  readonly inner_map_fd: number;
  readonly btf_key_type_id: number;
  readonly btf_value_type_id: number;
}
