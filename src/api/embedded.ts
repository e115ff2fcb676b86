/** `createEmbedded`: the typed API over the kernel's map subsystem as a library. */
import {
  attachEmbeddedHost,
  createEmbeddedHost,
  type EmbeddedHost,
  type EmbeddedOptions,
  type HostTicket,
  type WorkerLike,
} from "../host/embedded.ts";
import { BpfHost, type HostMemory } from "./bpf_host.ts";

/** An embedded host. Everything lies in one linear memory; nothing of the machine's kernel is used. */
export class EmbeddedBpfHost extends BpfHost {
  readonly #embedded: EmbeddedHost;

  /** @internal */
  constructor(embedded: EmbeddedHost) {
    super(embedded);
    this.#embedded = embedded;
  }

  override memory(): HostMemory {
    this.requireOpen();
    const { used, free } = this.#embedded.memory();
    return { used, free, maps: super.memory().maps };
  }

  /** @internal */
  protected override bytesOf(fd: number): number {
    return this.#embedded.mapBytes(fd);
  }

  /** @internal */
  protected override openFds(): readonly number[] {
    return this.#embedded.openFds();
  }

  /** Moves the virtual clock on. Throws `InputError` when the host was not made with `{ clock: "virtual" }`. */
  advance(nanoseconds: bigint): void {
    this.requireOpen();
    this.#embedded.advance(nanoseconds);
  }

  /**
   * A ticket for one worker, to be sent to it and given to `attachEmbedded` there. Needs `{ shared: true }`. With
   * `worker` what it held is cleaned up when it ends; without, `reap(ticket)` has to be called.
   */
  share(worker?: WorkerLike): HostTicket {
    this.requireOpen();
    return this.#embedded.share(worker);
  }

  /** Cleans up after a worker that has ended. */
  reap(ticket: HostTicket): void {
    this.#embedded.reap(ticket);
  }
}

/**
 * The kernel's BPF maps as a library: no root, no Linux; Node and browsers. `seed` and `clock: "virtual"` make a run
 * repeatable.
 *
 *     const host = createEmbedded({ cpus: 4, seed: 1 });
 */
export function createEmbedded(options: EmbeddedOptions = {}): EmbeddedBpfHost {
  return new EmbeddedBpfHost(createEmbeddedHost(options));
}

/** In a worker: the host whose `share()` made the ticket. fds and ids are the same there. */
export function attachEmbedded(ticket: HostTicket): EmbeddedBpfHost {
  return new EmbeddedBpfHost(attachEmbeddedHost(ticket));
}
