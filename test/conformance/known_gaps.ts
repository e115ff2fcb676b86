/**
 * Cases that the embedded host does not pass yet. A case that begins to pass fails the run until its line is gone.
 */
export interface KnownGap {
  readonly id: string;
  readonly reason: string;
  readonly since: string;
}

const since = "2026-11-26";
const noHash = "the hash of a map's contents (bpf_map_info.hash) is not built yet";

export const knownGaps: readonly KnownGap[] = [
  { id: "map_create.special_fields", reason: "bpf_spin_lock and other special fields are not built yet", since },
  { id: "info.hash.refused", reason: noHash, since },
  { id: "info.hash.frozen_array", reason: noHash, since },
  { id: "info.hash.padding", reason: noHash, since },
];
