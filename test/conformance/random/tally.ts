/** Counts of compared calls, by command. */
import type { RandomOp } from "./op.ts";

export const COMMANDS = [
  "MAP_CREATE",
  "MAP_LOOKUP_ELEM",
  "MAP_UPDATE_ELEM",
  "MAP_DELETE_ELEM",
  "MAP_GET_NEXT_KEY",
  "MAP_LOOKUP_AND_DELETE_ELEM",
  "MAP_LOOKUP_BATCH",
  "MAP_LOOKUP_AND_DELETE_BATCH",
  "MAP_UPDATE_BATCH",
  "MAP_DELETE_BATCH",
  "MAP_FREEZE",
  "MAP_GET_FD_BY_ID",
  "MAP_GET_NEXT_ID",
  "OBJ_GET_INFO_BY_FD",
  "OBJ_PIN",
  "OBJ_GET",
  "PROG_TEST_RUN",
  "close",
  "mmap",
  "munmap",
  "mapped bytes",
  "unlink",
  "rename",
  "consume",
  "poll",
  "walk",
] as const;

export type Command = (typeof COMMANDS)[number];

const indexes = Object.fromEntries(COMMANDS.map((name, i) => [name, i])) as Readonly<Record<Command, number>>;
/** Calls of the walks through all keys and values. */
export const WALK: number = indexes.walk;

const byOp = {
  create: indexes.MAP_CREATE,
  try: indexes.MAP_CREATE,
  freeze: indexes.MAP_FREEZE,
  poll: indexes.poll,
  close: indexes.close,
  drop: indexes.close,
  open: indexes.MAP_GET_FD_BY_ID,
  next_id: indexes.MAP_GET_NEXT_ID,
  info: indexes.OBJ_GET_INFO_BY_FD,
  mmap: indexes.mmap,
  munmap: indexes.munmap,
  read: indexes["mapped bytes"],
  store: indexes["mapped bytes"],
  consume: indexes.consume,
  pin: indexes.OBJ_PIN,
  get: indexes.OBJ_GET,
  unlink: indexes.unlink,
  rename: indexes.rename,
  run: indexes.PROG_TEST_RUN,
} as const satisfies Record<Exclude<RandomOp["op"], "element" | "batch">, number>;

const elements = {
  lookup: indexes.MAP_LOOKUP_ELEM,
  update: indexes.MAP_UPDATE_ELEM,
  delete: indexes.MAP_DELETE_ELEM,
  next: indexes.MAP_GET_NEXT_KEY,
  take: indexes.MAP_LOOKUP_AND_DELETE_ELEM,
} as const;

const batches = {
  lookup: indexes.MAP_LOOKUP_BATCH,
  take: indexes.MAP_LOOKUP_AND_DELETE_BATCH,
  update: indexes.MAP_UPDATE_BATCH,
  delete: indexes.MAP_DELETE_BATCH,
} as const;

/** The column of a call, as an index of `COMMANDS`. */
export function commandOf(op: RandomOp): number {
  if (op.op === "element") return elements[op.command];
  return op.op === "batch" ? batches[op.command] : byOp[op.op];
}

export class Tally {
  readonly calls: number[] = COMMANDS.map(() => 0);
  /** Calls that did not end in an errno. */
  readonly succeeded: number[] = COMMANDS.map(() => 0);
  readonly differences: number[] = COMMANDS.map(() => 0);

  /** Differences that did not come again when their sequence was run again: the kernel's answer was not steady. */
  unsteady = 0;

  add(other: Tally): void {
    for (let i = 0; i < COMMANDS.length; i++) {
      this.calls[i]! += other.calls[i]!;
      this.succeeded[i]! += other.succeeded[i]!;
      this.differences[i]! += other.differences[i]!;
    }
    this.unsteady += other.unsteady;
  }

  count(command: number, success: boolean, same: boolean): void {
    this.calls[command]!++;
    if (success) this.succeeded[command]!++;
    if (!same) this.differences[command]!++;
  }

  /** Generated calls; walks are not among them. */
  total(): number {
    return this.calls.reduce((sum, n, i) => (i === WALK ? sum : sum + n), 0);
  }

  differing(): number {
    return this.differences.reduce((sum, n) => sum + n, 0);
  }

  /** Per cent of the generated calls that did not end in an errno. */
  success(): number {
    const good = this.succeeded.reduce((sum, n, i) => (i === WALK ? sum : sum + n), 0);
    return (100 * good) / Math.max(1, this.total());
  }
}
