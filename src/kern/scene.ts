/**
 * What is around the runs of one client and no part of the map subsystem: who runs, memory that programs may probe, and
 * what programs did to the outside. It is the client's own: nobody else looks at it.
 */

/** Who runs: what bpf_get_current_* tell. */
export interface Task {
  readonly pid: number;
  readonly tgid: number;
  readonly uid: number;
  readonly gid: number;
  /** At most 15 bytes count. */
  readonly comm: string;
}

/** Bytes at an address of the kernel's or of user space, for helpers that probe and for typed pointers. */
export interface GivenMemory {
  readonly address: bigint;
  readonly bytes: Uint8Array;
}

/** Something that a program did which cannot be seen in maps, packet or context. */
export type RunEvent = RedirectMapEvent;

/** bpf_redirect_map found a target; the packet goes there if the program returns XDP_REDIRECT. */
export interface RedirectMapEvent {
  readonly kind: "redirect_map";
  /** The map's id. */
  readonly map: number;
  readonly key: number;
  readonly flags: number;
}

export interface Scene {
  task: Task;
  memory: readonly GivenMemory[];
  /** Of the run under way, or the last one. */
  events: RunEvent[];
}

export function emptyScene(): Scene {
  return { task: { pid: 1, tgid: 1, uid: 0, gid: 0, comm: "bpfmaps" }, memory: [], events: [] };
}
