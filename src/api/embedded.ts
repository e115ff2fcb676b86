/** `createEmbedded`: the typed API over the kernel's map subsystem as a library. */

import { InputError } from "../errors.ts";
import {
  attachEmbeddedHost,
  createEmbeddedHost,
  type EmbeddedHost,
  type HostTicket,
  type WorkerLike,
} from "../host/embedded.ts";
import type { EmbeddedOptions } from "../host/embedded_options.ts";
import { encodeInsns, INSN_SIZE, type Insn } from "../insn/index.ts";
import { BpfHost, type HostMemory } from "./bpf_host.ts";
import { type RanOn, ranOn } from "./engine.ts";
import { BpfError } from "./error.ts";
import { type NetworkOptions, networkOf } from "./network.ts";
import type { Observer } from "./observe/observer.ts";

/** What `execute` takes beside instructions. */
export interface ExecuteOptions {
  /** What r1 points to. It is copied: the result has what became of it. Without it r1 and r2 are 0. */
  readonly memory?: Uint8Array;
  /** Is told of the run, as by `host.observe`. */
  readonly observe?: Observer;
}

export interface ExecuteResult extends RanOn {
  /** Unsigned, 64 bits. */
  readonly r0: bigint;
  /** The memory afterwards. */
  readonly memory: Uint8Array;
}

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

  /**
   * Runs instructions that are no program of any kind, by RFC 9669 alone: r1 is `memory`, which they may read and write,
   * r2 its length. They may call helpers that programs of every kind may call. What Linux refuses and the RFC gives a
   * meaning - a division by an immediate 0, a shift by too much - has that meaning. Throws `BpfError` when they are
   * refused (EINVAL), fault (EFAULT) or do not end (ETIMEDOUT).
   *
   *     import { exit, ldx, R0, R1 } from "bpfmaps/insn";
   *     host.execute([ldx("u16", R0, R1, 0), exit()], { memory: Uint8Array.of(1, 2) }).r0; // 0x201n
   */
  execute(insns: readonly Insn[] | Uint8Array, options: ExecuteOptions = {}): ExecuteResult {
    this.requireOpen();
    const code = insns instanceof Uint8Array ? insns : encodeInsns(insns);
    if (code.length % INSN_SIZE !== 0) {
      throw new InputError(`execute: ${code.length} bytes of instructions, expected a multiple of ${INSN_SIZE}`);
    }
    const memory = new Uint8Array(options.memory ?? []);
    const watched = options.observe === undefined ? undefined : this.observe(options.observe);
    try {
      const { errno, log, r0 } = this.#embedded.execute(code, memory);
      if (errno !== 0) throw new BpfError({ errno, cmd: "execute", what: log, log });
      return { r0, memory, ...ranOn(this.#embedded) };
    } finally {
      watched?.stop();
    }
  }

  /** Moves the virtual clock on. Throws `InputError` when the host was not made with `{ clock: "virtual" }`. */
  advance(nanoseconds: bigint): void {
    this.requireOpen();
    this.#embedded.advance(nanoseconds);
  }

  /**
   * Gives the host a network device with this number (`ifindex`), for maps and helpers that name devices; 1, the loopback,
   * is always there. Throws `BpfError`: EEXIST when the number is taken.
   */
  addDevice(ifindex: number): void {
    this.requireOpen();
    if (!Number.isInteger(ifindex) || ifindex < 1 || ifindex > 0x7fff_ffff) {
      throw new InputError(`addDevice: ifindex is ${ifindex}, expected a whole number from 1 to 2^31 - 1`);
    }
    const ret = this.#embedded.addDevice(ifindex);
    if (ret < 0) throw new BpfError({ errno: ret, cmd: "addDevice", what: `device ${ifindex} cannot be added` });
  }

  /** Takes a device away, and out of all maps. Throws `BpfError`: ENODEV when it is not there, or the loopback. */
  removeDevice(ifindex: number): void {
    this.requireOpen();
    const ret = this.#embedded.removeDevice(ifindex);
    if (ret < 0)
      throw new BpfError({ errno: ret, cmd: "removeDevice", what: `there is no device ${ifindex} to remove` });
  }

  /**
   * The network that programs find from now on: devices, routes, neighbours, sockets. Without it there is loopback only.
   * Devices that are new are added to the host. Throws `InputError` that names what is wrong, or `BpfError` ENOMEM.
   */
  setNetwork(network: NetworkOptions): void {
    this.requireOpen();
    const ret = this.#embedded.setNetwork(networkOf(network));
    if (ret < 0) throw new BpfError({ errno: ret, cmd: "setNetwork", what: "its devices cannot be added" });
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
