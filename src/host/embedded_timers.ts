/** When the timers of programs run: as the virtual clock is moved on, or as the real time comes. */
import { InputError } from "../errors.ts";
import { nextExpiry, runningTimers, runTimer } from "../jit/run_timers.ts";
import type { Kernel } from "../kern/kernel.ts";
import { SB_CLOCK_VIRTUAL } from "../mem/layout.ts";

/** Most calls of timers' functions in one turn of the event loop; while the virtual clock stands, beside those that waited. */
const MAX_CALLS = 10_000;
const MAX_DELAY_MS = 2 ** 31 - 1;
const NS_OF_MS = 1_000_000n;

export class HostTimers {
  readonly #kernel: Kernel;
  #handle: ReturnType<typeof setTimeout> | undefined;
  /** When it goes off. */
  #at: bigint | undefined;

  constructor(kernel: Kernel) {
    this.#kernel = kernel;
    if (kernel.mem.u32[SB_CLOCK_VIRTUAL >>> 2] !== 1) kernel.onTimer = (expiry) => this.#expect(expiry);
  }

  /** Moves the virtual clock on. Timers that expire meanwhile run when the clock is there, in their order. */
  advance(nanoseconds: bigint): void {
    const kernel = this.#kernel;
    const until = kernel.now() + nanoseconds;
    if (!kernel.advance(0n)) {
      throw new InputError('advance() needs a virtual clock: create the host with { clock: "virtual" }');
    }
    let left = MAX_CALLS + runningTimers(kernel);
    for (;;) {
      const next = nextExpiry(kernel);
      if (next === undefined || next > until) break;
      const now = kernel.now();
      if (next > now) {
        kernel.advance(next - now);
        left = MAX_CALLS + runningTimers(kernel);
      }
      if (left-- === 0) {
        throw new InputError(
          `advance(${nanoseconds}n): found a timer that starts itself again without delay, for ever; expected time to pass`,
        );
      }
      runTimer(kernel, kernel.now());
    }
    const rest = until - kernel.now();
    if (rest > 0n) kernel.advance(rest);
  }

  /** Waits for the timer that expires first, whoever started it: who did may be gone. */
  look(): void {
    const next = this.#kernel.onTimer === undefined ? undefined : nextExpiry(this.#kernel);
    if (next !== undefined) this.#expect(next);
  }

  #expect(expiry: bigint): void {
    if (this.#at !== undefined && this.#at <= expiry) return;
    clearTimeout(this.#handle);
    this.#at = expiry;
    const left = expiry - this.#kernel.now();
    const delay = left <= 0n ? 0 : Math.min(Number((left + NS_OF_MS - 1n) / NS_OF_MS), MAX_DELAY_MS);
    this.#handle = setTimeout(() => this.#run(), delay);
    // In Node a timer of a program keeps no process alive.
    (this.#handle as { unref?: () => void }).unref?.();
  }

  #run(): void {
    this.#at = undefined;
    const now = this.#kernel.now();
    for (let calls = 0; calls < MAX_CALLS && runTimer(this.#kernel, now); calls++);
    this.look();
  }

  /** Nothing runs any more. */
  end(): void {
    clearTimeout(this.#handle);
    this.#kernel.onTimer = undefined;
  }
}
