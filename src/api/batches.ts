/** Loops over records as they come: of a ring, or of several that one reader drains. */
import { InputError } from "../errors.ts";
import type { MapHandle } from "./map_handle.ts";
import { pause } from "./ring_mapping.ts";

/** How batches are read. */
export interface BatchOptions {
  /** Ends the loop by throwing the signal's reason. */
  readonly signal?: AbortSignal;
  /** Most records of a batch; default 4096. */
  readonly max?: number;
  /** Also look every so many milliseconds, for producers that wake nobody (BPF_RB_NO_WAKEUP). */
  readonly everyMs?: number;
}

/** How much is drained. */
export interface DrainOptions {
  /** Most records; default: all there are. */
  readonly max?: number;
}

/** What is read. */
export interface RecordSource<T> {
  /** Reading ends when it is closed. */
  readonly handle: MapHandle;
  /** What to wait for. */
  fds(): readonly number[];
  /** Whether something was produced that was not read, if only a record that is still being written. */
  pending(): boolean;
  drain(fn: (record: T) => void, options: DrainOptions): number;
}

const BATCH_MAX = 4096;
/** Milliseconds that a loop over batches that are always there goes on before others get their turn. */
const TURN_MS = 8;
/** Pause when the next record is still being written. */
const BUSY_MS = 1;

export class Batches<T> {
  readonly #source: RecordSource<T>;
  /** Ends the waits of open loops. */
  readonly #loops: Set<AbortController> = new Set();

  constructor(source: RecordSource<T>) {
    this.#source = source;
  }

  /** Ends all loops: the map was closed. */
  end(): void {
    for (const loop of this.#loops) loop.abort();
  }

  async *run(options: BatchOptions): AsyncGenerator<T[], void, undefined> {
    const { signal, everyMs = -1 } = options;
    const max = checkedMax(options.max, BATCH_MAX);
    const source = this.#source;
    signal?.throwIfAborted();
    const loop = new AbortController();
    const abort = (): void => loop.abort(signal?.reason);
    signal?.addEventListener("abort", abort, { once: true });
    this.#loops.add(loop);
    let turn = performance.now();
    try {
      while (!source.handle.closed) {
        signal?.throwIfAborted();
        const batch: T[] = [];
        source.drain((record) => batch.push(record), { max });
        if (batch.length > 0) {
          yield batch;
          if (performance.now() - turn < TURN_MS) continue;
          await pause(0);
        } else if (!(await this.#wait(loop.signal, everyMs))) {
          return;
        }
        turn = performance.now();
      }
    } finally {
      this.#loops.delete(loop);
      signal?.removeEventListener("abort", abort);
    }
  }

  /** Until there may be records. False: the map was closed meanwhile. */
  async #wait(signal: AbortSignal, everyMs: number): Promise<boolean> {
    const { handle } = this.#source;
    if (this.#source.pending()) {
      await pause(BUSY_MS);
      return true;
    }
    try {
      const ready = await handle.host.wait(this.#source.fds(), { signal, timeoutMs: everyMs });
      if (typeof ready === "number" && !handle.closed) handle.fail("wait", ready);
    } catch (error) {
      if (handle.closed) return false;
      throw error;
    }
    return true;
  }
}

export function checkedMax(max: number | undefined, otherwise: number): number {
  if (max === undefined) return otherwise;
  if (Number.isInteger(max) && max > 0) return max;
  throw new InputError(`max is ${max}, expected a whole number from 1 on`);
}
