/**
 * Waiting for fds of the kernel host. All of a host's waits go through one epoll, which the thread's own event loop
 * watches: no thread parks anywhere, and the pool that `fs` uses is left alone. (Measured against a worker thread in
 * epoll_wait: 7 against 26 us from event to continuation, nothing to start, and nothing to stop when the process ends.)
 */
import { EBADF, EEXIST, EINTR, ENOENT } from "../uapi/index.ts";
import type { UserBuffer, WaitOptions } from "./host.ts";
import type { Libc, PollHandle } from "./kernel_libc.ts";
import type { NativeMemory } from "./user_memory.ts";

// poll(2) and epoll(7) give these the same numbers.
export const POLLIN = 0x1;
export const POLLOUT = 0x4;
const POLLNVAL = 0x20;
const EPOLLONESHOT = 2 ** 30;
const EPOLL_CLOEXEC = 0x80000;
const EPOLL_CTL_ADD = 1;
const EPOLL_CTL_DEL = 2;
const EPOLL_CTL_MOD = 3;
/** sizeof(struct pollfd): fd, events, revents. */
const POLLFD = 8;
/** Events taken at a time; what is left wakes the loop again. */
const EVENTS = 64;
const TIMEOUT_MAX = 0x7fff_ffff;

interface Waiting {
  readonly fds: readonly number[];
  /** Ends the wait: ready fds or a negative errno. */
  readonly settle: (result: number[] | number) => void;
}

export class Waiter {
  readonly #libc: Libc;
  readonly #memory: NativeMemory;
  /** What makes an fd ready: POLLIN, or POLLOUT for the ring that user space fills. */
  readonly #eventsOf: (fd: number) => number;
  readonly #packed: boolean;
  readonly #waiting: Set<Waiting> = new Set();
  /** Fds that the epoll knows. */
  readonly #known: Set<number> = new Set();
  #pollfds: UserBuffer | undefined;
  #events: UserBuffer | undefined;
  #epoll = -1;
  #handle: PollHandle | undefined;

  constructor(libc: Libc, memory: NativeMemory, eventsOf: (fd: number) => number) {
    this.#libc = libc;
    this.#memory = memory;
    this.#eventsOf = eventsOf;
    // struct epoll_event is packed on x86-64 only: 12 bytes there, 16 elsewhere, the fd behind 4 or 8 of them.
    this.#packed = process.arch === "x64";
  }

  poll(fds: readonly number[], timeoutMs: number): number[] | number {
    const endless = timeoutMs < 0;
    const until = performance.now() + timeoutMs;
    const list = this.#room(fds.length * POLLFD);
    const view = viewOf(list);
    for (;;) {
      for (let i = 0; i < fds.length; i++) {
        view.setInt32(i * POLLFD, fds[i]!, true);
        view.setUint32(i * POLLFD + 4, fds[i]! < 0 ? 0 : this.#eventsOf(fds[i]!), true);
      }
      const left = endless ? -1 : Math.min(Math.max(Math.ceil(until - performance.now()), 0), TIMEOUT_MAX);
      const n = this.#libc.poll(Number(list.address), fds.length, timeoutMs === 0 ? 0 : left);
      if (n >= 0) return readyOf(fds, view, n);
      const errno = this.#libc.errno();
      if (errno !== EINTR) return -errno;
    }
  }

  async wait(fds: readonly number[], { signal, timeoutMs = -1 }: WaitOptions): Promise<number[] | number> {
    signal?.throwIfAborted();
    const now = this.poll(fds, 0);
    if (typeof now === "number" || now.length > 0 || timeoutMs === 0) return now;
    return new Promise((resolve, reject) => {
      let timer: ReturnType<typeof setTimeout> | undefined;
      const end = (): void => {
        clearTimeout(timer);
        signal?.removeEventListener("abort", abort);
        this.#waiting.delete(waiting);
        if (this.#waiting.size === 0) this.#handle?.unref();
      };
      const abort = (): void => {
        end();
        reject(signal?.reason);
      };
      const waiting: Waiting = {
        fds: [...fds],
        settle: (result) => {
          end();
          resolve(result);
        },
      };
      if (timeoutMs > 0) timer = setTimeout(() => waiting.settle([]), Math.min(timeoutMs, TIMEOUT_MAX));
      signal?.addEventListener("abort", abort);
      const error = this.#begin(waiting);
      if (error < 0) waiting.settle(error);
    });
  }

  #begin(waiting: Waiting): number {
    if (this.#handle === undefined) {
      this.#epoll = this.#libc.epoll_create1(EPOLL_CLOEXEC);
      if (this.#epoll < 0) return -this.#libc.errno();
      this.#events = this.#memory.alloc(EVENTS * 16);
      this.#handle = this.#libc.watch(this.#epoll, () => this.#wake());
    }
    this.#handle.ref();
    this.#waiting.add(waiting);
    return this.#armAll(waiting.fds);
  }

  #armAll(fds: readonly number[]): number {
    for (const fd of fds) {
      // poll(2) passes over a negative fd; epoll_ctl(2) does not.
      const error = fd < 0 ? 0 : this.#arm(fd);
      if (error < 0) return error;
    }
    return 0;
  }

  /** Asks for one event of an fd; one that is ready already makes the event at once. */
  #arm(fd: number): number {
    const known = this.#known.has(fd);
    let error = this.#control(known ? EPOLL_CTL_MOD : EPOLL_CTL_ADD, fd);
    // Other code of the process closed or opened the fd.
    if (known && error === -ENOENT) error = this.#control(EPOLL_CTL_ADD, fd);
    else if (!known && error === -EEXIST) error = this.#control(EPOLL_CTL_MOD, fd);
    if (error === 0) this.#known.add(fd);
    return error;
  }

  #control(op: number, fd: number): number {
    const events = this.#events!;
    const view = viewOf(events);
    view.setUint32(0, this.#eventsOf(fd) + EPOLLONESHOT, true);
    view.setInt32(this.#packed ? 4 : 8, fd, true);
    return this.#libc.epoll_ctl(this.#epoll, op, fd, Number(events.address)) < 0 ? -this.#libc.errno() : 0;
  }

  /** The event loop saw the epoll ready. An event is only a hint: who may go on is decided by asking the fds again. */
  #wake(): void {
    const events = this.#events!;
    const n = this.#libc.epoll_wait(this.#epoll, Number(events.address), EVENTS, 0);
    const view = viewOf(events);
    const fired = new Set<number>();
    for (let i = 0; i < n; i++) fired.add(view.getInt32(this.#packed ? i * 12 + 4 : i * 16 + 8, true));
    for (const waiting of [...this.#waiting]) {
      if (!waiting.fds.some((fd) => fired.has(fd))) continue;
      const ready = this.poll(waiting.fds, 0);
      if (typeof ready === "number" || ready.length > 0) waiting.settle(ready);
      else this.#armAll(waiting.fds);
    }
  }

  /** Before an fd is closed. A mapping keeps the map's file alive, and the epoll would keep it too. */
  forget(fd: number): void {
    if (this.#known.delete(fd)) this.#control(EPOLL_CTL_DEL, fd);
    for (const waiting of [...this.#waiting]) if (waiting.fds.includes(fd)) waiting.settle(-EBADF);
  }

  dispose(): void {
    for (const waiting of [...this.#waiting]) waiting.settle(-EBADF);
    this.#handle?.close();
    this.#handle = undefined;
    if (this.#epoll >= 0) this.#libc.close(this.#epoll);
    this.#epoll = -1;
  }

  #room(bytes: number): UserBuffer {
    if (this.#pollfds === undefined || this.#pollfds.bytes.length < bytes) {
      this.#pollfds?.free();
      this.#pollfds = this.#memory.alloc(Math.max(bytes, 64 * POLLFD));
    }
    return this.#pollfds;
  }
}

function viewOf({ bytes }: UserBuffer): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
}

function readyOf(fds: readonly number[], view: DataView, n: number): number[] | number {
  const ready: number[] = [];
  for (let i = 0; i < fds.length && n > 0; i++) {
    const revents = view.getUint16(i * POLLFD + 6, true);
    if ((revents & POLLNVAL) !== 0) return -EBADF;
    if (revents !== 0) ready.push(fds[i]!);
  }
  return ready;
}
