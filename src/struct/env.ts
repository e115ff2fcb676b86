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
  /** The object of this kind (OBJ_*) behind an fd of the caller's process, with one more reference; -EBADF, or -EINVAL. */
  take(fd: number, kind: number): number;
  /** One more reference to an object that the caller can already reach. */
  hold(object: number): void;
  /** Drops a reference; with the last one the object goes. Not under a lock that ending the object may need. */
  put(object: number): void;
  /**
   * The run under way holds the object until it ends, so that its program may be given the address. Called while the
   * object cannot go. Returns the object; 0: memory is out.
   */
  keep(object: number): number;
  /** `map_meta_equal` of the template's type: 0, -EINVAL, or -ENOTSUPP for a type that is never inside another map. */
  metaEqual(template: number, map: number): number;
  /** Whether the map may hold the program, or be used by it: the first one decides for which kind of programs it is. */
  ownerFits(map: number, prog: number): boolean;
  /** Whether the program is of this type and has this expected attach type. */
  progIs(prog: number, type: number, attachType: number): boolean;
  /** Whether this host has a network device with this number. */
  deviceExists(ifindex: number): boolean;
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
