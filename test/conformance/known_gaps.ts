/**
 * Cases that the embedded host does not pass yet. A case that begins to pass fails the run until its line is gone.
 */
export interface KnownGap {
  readonly id: string;
  readonly reason: string;
  readonly since: string;
}

export const knownGaps: readonly KnownGap[] = [];
