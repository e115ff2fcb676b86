/** How threads of the embedded host wait for rings: a count of news in the memory, and sleepers who are told. */
import type { Kernel } from "../kern/kernel.ts";
import { entryOfMap } from "../kern/map.ts";
import { OBJ_MAP, SB_SLEEPERS, SB_WAKES } from "../mem/layout.ts";
import { EBADF } from "../uapi/index.ts";
import type { WaitOptions } from "./host.ts";

/** The longest that a thread of a shared host sleeps before it looks again, in milliseconds. */
const WAIT_SLICE = 50;

/** Who waits in this thread. */
export class Wakes {
  readonly #kernel: Kernel;
  #waiters: (() => void)[] = [];
  #open = true;

  constructor(kernel: Kernel) {
    this.#kernel = kernel;
    kernel.onWake = () => this.#wakeAll();
  }

  /** Nobody but this thread works on an exclusive host, so nothing could become ready while it blocks: it does not. */
  poll(fds: readonly number[], timeoutMs: number): number[] | number {
    const end = timeoutMs < 0 ? Number.POSITIVE_INFINITY : performance.now() + timeoutMs;
    const { mem } = this.#kernel;
    for (;;) {
      const seen = mem.atomics.load32(SB_WAKES);
      const ready = this.#ready(fds);
      if (typeof ready === "number" || ready.length > 0 || !mem.shared) return ready;
      const left = end - performance.now();
      if (left <= 0) return ready;
      mem.atomics.add32(SB_SLEEPERS, 1);
      Atomics.wait(mem.i32, SB_WAKES >>> 2, seen, Math.min(left, WAIT_SLICE));
      mem.atomics.add32(SB_SLEEPERS, -1);
    }
  }

  #ready(fds: readonly number[]): number[] | number {
    const kernel = this.#kernel;
    const ready: number[] = [];
    for (const fd of fds) {
      if (fd < 0) continue;
      const map = kernel.get(fd, OBJ_MAP);
      if (map === -EBADF) return map;
      if (map < 0 || entryOfMap(kernel, map).ops.map_poll(kernel, map) !== 0) ready.push(fd);
      if (map >= 0) kernel.done(map);
    }
    return ready;
  }

  async wait(fds: readonly number[], options: WaitOptions = {}): Promise<number[] | number> {
    const { signal, timeoutMs = -1 } = options;
    const end = timeoutMs < 0 ? Number.POSITIVE_INFINITY : performance.now() + timeoutMs;
    for (;;) {
      signal?.throwIfAborted();
      const seen = this.#kernel.mem.atomics.load32(SB_WAKES);
      const ready = this.#ready(fds);
      if (typeof ready === "number" || ready.length > 0) return ready;
      const left = end - performance.now();
      if (left <= 0) return ready;
      await this.#nextWake(seen, left, signal);
      // Disposed of meanwhile: the fds are closed.
      if (!this.#open) return -EBADF;
    }
  }

  /**
   * Ends with the next wake-up of any ring after the one counted as `seen`, with the signal, or after `ms`. Waiting for
   * other threads keeps no process alive by itself, so a timer does.
   */
  #nextWake(seen: number, ms: number, signal: AbortSignal | undefined): Promise<void> {
    const { mem } = this.#kernel;
    return new Promise((resolve) => {
      const limit = mem.shared ? Math.min(ms, WAIT_SLICE) : ms;
      const timer = Number.isFinite(limit) ? setTimeout(() => done(), limit) : undefined;
      const done = (): void => {
        clearTimeout(timer);
        signal?.removeEventListener("abort", done);
        this.#waiters = this.#waiters.filter((w) => w !== done);
        resolve();
      };
      signal?.addEventListener("abort", done, { once: true });
      this.#waiters.push(done);
      if (!mem.shared) return;
      mem.atomics.add32(SB_SLEEPERS, 1);
      const other = Atomics.waitAsync(mem.i32, SB_WAKES >>> 2, seen, limit);
      const awake = (): void => {
        mem.atomics.add32(SB_SLEEPERS, -1);
        done();
      };
      if (other.async) other.value.then(awake);
      else awake();
    });
  }

  #wakeAll(): void {
    for (const wake of this.#waiters) queueMicrotask(wake);
  }

  /** Everybody wakes: the host's fds are closed. */
  end(): void {
    this.#open = false;
    this.#kernel.onWake = undefined;
    this.#wakeAll();
  }
}
