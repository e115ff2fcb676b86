/**
 * One client's view of a host: the linear memory, this thread's slot and process, and what operations need from the
 * machine (CPU, clock, random numbers). All state is in the memory; what is kept here can be made again from it.
 */
import type { Btf } from "../btf/index.ts";
import { Bug } from "../errors.ts";
import { AREA_BASE, AREA_READ_END, AREA_WRITE_END, alloc, free, USER_AREA } from "../mem/alloc.ts";
import { Copies } from "../mem/copies.ts";
import {
  GRANULE,
  GRANULE_SHIFT,
  OBJ_BTF,
  OBJ_ID,
  OBJ_KIND,
  OBJ_MAP,
  OBJ_PROG,
  OBJ_REFS,
  OBJ_USERS,
  SB_CLOCK,
  SB_CLOCK_VIRTUAL,
  SB_CPUS,
  SB_RUN_BUDGET,
  SB_SLEEPERS,
  SB_TABLE,
  SB_TIME_ORIGIN,
  SB_WAKES,
} from "../mem/layout.ts";
import type { Memory } from "../mem/memory.ts";
import { random32 } from "../mem/random.ts";
import type { MapEnv } from "../struct/env.ts";
import { EBADF, EINVAL, EPERM } from "../uapi/index.ts";
import { ById } from "./by_id.ts";
import {
  ATTR_BLOCK,
  announceClient,
  attachClient,
  type ClientSlot,
  RESULTS_BLOCK,
  releaseClient,
  rememberBlock,
  SCRATCH_BLOCK,
  STAGE_BLOCK,
  useOf,
} from "./clients.ts";
import type { CompiledProgram, Engine, TailCalls } from "./compiled.ts";
import { oweToBorrower } from "./cpus.ts";
import { deviceExists } from "./devices.ts";
import { ElementCode } from "./element_code.ts";
import { KEY_MAX } from "./element_gen.ts";
import { entryObject, entryOf, getEntry, installFd, removeFd } from "./fds.ts";
import { addId, removeId } from "./ids.ts";
import { entryOfMap } from "./map.ts";
import { destroyObject, releaseUsers } from "./objects.ts";
import type { ProgramCode, RunObserver } from "./observer.ts";
import { ownerFits } from "./owner.ts";
import { PROG_ATTACH_TYPE, PROG_TYPE } from "./prog.ts";
import { keepReference } from "./run_record.ts";
import { emptyScene, type Scene } from "./scene.ts";
import { beginUse, endUse, handOver } from "./use.ts";

// Constants of this module are folded into compiled code; imported ones are read and checked each time.
const USER: number = USER_AREA;
const SIZE: number = GRANULE;
const IN_GRANULE: number = GRANULE - 1;
const SHIFT: number = GRANULE_SHIFT;
const MAP_KIND: number = OBJ_MAP;
const W_KIND: number = OBJ_KIND >>> 2;
const SCRATCH_MIN = 4096;
const ATTR_ROOM = 192;

export class Kernel implements MapEnv {
  readonly mem: Memory;
  readonly cpus: number;
  readonly client: ClientSlot;
  readonly process: number;
  cpu: number;
  /** The run record of the program that runs now, or 0. */
  run = 0;
  /** The run that is being ended, and the CPU's entry whose lock is being taken or dropped; 0: none. See `cpus.ts`. */
  ending = 0;
  leaving = 0;
  /** Most instructions of one run. */
  readonly runBudget: number;
  /** Room for one union bpf_attr: commands work on a copy in here. */
  readonly attr: number;
  /** Room for a key of up to KEY_MAX bytes. */
  readonly keyCopy: number;
  /** Parsed BTF: a cache over the bytes in memory. */
  readonly btfCache: ById<Btf>;
  /** The kernel's own BTF, parsed: see `helpers/kernel_btf.ts`. */
  kernelBtf: Btf | undefined;
  readonly scene: Scene = emptyScene();
  readonly copies: Copies = new Copies();
  /** Programs as observers see them. */
  readonly codeCache: ById<ProgramCode>;
  /** Programs as this client has compiled them. */
  readonly compiled: ById<CompiledProgram>;
  /** Made with the first program that is compiled. */
  tailCalls: TailCalls | undefined;
  /** What compiled programs import: see `jit/runtime_module.ts`. */
  runtime: WebAssembly.Exports | undefined;
  /** Commands on single elements, as this client has compiled them. */
  readonly elements: ElementCode = new ElementCode(this);
  /** What runs programs: compiled code where that can be, or always the interpreter. */
  engine: Engine = "jit";
  /** Who is told of this client's runs. */
  observer: RunObserver | undefined = undefined;
  /** Address of this client's word for the map in use. */
  readonly use: number;
  readonly #table: number;
  /** Threads count time each from its own beginning; the host's is that of the client that made it. */
  readonly #clockOffset: bigint;
  readonly #clockOffsetNumber: number;
  #results = 0;
  #scratch = 0;
  #scratchSize = 0;

  constructor(mem: Memory, client: ClientSlot) {
    this.mem = mem;
    this.client = client;
    this.btfCache = new ById(mem, OBJ_BTF);
    this.codeCache = new ById(mem, OBJ_PROG);
    this.compiled = new ById(mem, OBJ_PROG);
    this.process = attachClient(mem, client);
    if (this.process === 0) {
      throw new Bug(`client slot ${client.slot} was not announced, or somebody attached to it already`);
    }
    this.use = useOf(client.slot);
    this.cpus = mem.u32[SB_CPUS >>> 2]!;
    this.cpu = client.slot % this.cpus;
    this.runBudget = mem.readU64(SB_RUN_BUDGET);
    this.attr = alloc(mem, ATTR_ROOM + KEY_MAX);
    this.keyCopy = this.attr + ATTR_ROOM;
    if (this.attr === 0) {
      releaseClient(mem, client);
      throw new RangeError("the host's memory has no room for one more client: close maps, or give it more `memory`");
    }
    rememberBlock(mem, client, ATTR_BLOCK, this.attr, ATTR_ROOM + KEY_MAX);
    const origin = performance.timeOrigin - mem.view.getFloat64(SB_TIME_ORIGIN, true);
    this.#clockOffsetNumber = Math.round(origin * 1e6);
    this.#clockOffset = BigInt(this.#clockOffsetNumber);
    this.#table = mem.u32[SB_TABLE >>> 2]! >>> 2;
  }

  /** A timer was started that expires at this time; set by hosts whose clock is the real one. */
  onTimer: ((expiry: bigint) => void) | undefined = undefined;

  /** Who waits in this thread for news of rings; set by the host. */
  onWake: (() => void) | undefined = undefined;

  /**
   * A ring has news. First the count, then the look at the sleepers; who goes to sleep announces itself first and goes
   * only if the count stands: one of the two sees the other.
   */
  wake(): void {
    const { atomics, i32, shared } = this.mem;
    atomics.add32(SB_WAKES, 1);
    if (shared && atomics.load32(SB_SLEEPERS) !== 0) Atomics.notify(i32, SB_WAKES >>> 2);
    this.onWake?.();
  }

  random32(): number {
    return random32(this.mem);
  }

  /** Nanoseconds since the host began (virtual), or of the machine's monotonic clock. */
  now(): bigint {
    if (this.mem.u32[SB_CLOCK_VIRTUAL >>> 2] === 1) return this.mem.u64[SB_CLOCK >>> 3]!;
    return BigInt(Math.round(performance.now() * 1e6)) + this.#clockOffset;
  }

  /** Nanoseconds of the same clock, counted from anywhere: for what lies between two readings, without a bigint. */
  stopwatch(): number {
    const { mem } = this;
    return mem.u32[SB_CLOCK_VIRTUAL >>> 2] === 1 ? mem.readU64(SB_CLOCK) : Math.round(performance.now() * 1e6);
  }

  /** The machine's clock as `now` tells it, to the nanosecond for the first 100 days of a thread. */
  nowNumber(): number {
    return Math.round(performance.now() * 1e6) + this.#clockOffsetNumber;
  }

  /** Nanoseconds since 1970; with a virtual clock what `now` says. */
  realtime(): bigint {
    if (this.mem.u32[SB_CLOCK_VIRTUAL >>> 2] === 1) return this.now();
    return BigInt(Math.round(performance.timeOrigin * 1e3)) * 1000n + BigInt(Math.round(performance.now() * 1e6));
  }

  /** Moves the virtual clock on. False: this host has the real one. */
  advance(nanoseconds: bigint): boolean {
    if (this.mem.u32[SB_CLOCK_VIRTUAL >>> 2] !== 1) return false;
    this.mem.u64[SB_CLOCK >>> 3] = this.mem.u64[SB_CLOCK >>> 3]! + nanoseconds;
    return true;
  }

  /** True when every byte of [address, address + length) is user memory, or a mapping that allows the access. */
  userOk(address: number, length: number, write: boolean): boolean {
    const inOne = (address & IN_GRANULE) + length <= SIZE && this.mem.i32[this.#table + (address >>> SHIFT)] === USER;
    return inOne || length === 0 || this.#rangeOk(address, length, write);
  }

  #rangeOk(address: number, length: number, write: boolean): boolean {
    if (address + length > this.mem.byteLength) return false;
    const { u32 } = this.mem;
    const last = (address + length - 1) >>> GRANULE_SHIFT;
    for (let g = address >>> GRANULE_SHIFT; g <= last; g++) {
      const area = u32[this.#table + g]!;
      if (area === USER_AREA) continue;
      // A mapping reaches from its area's base on; an area without one has 0 here.
      const reach = u32[(area + (write ? AREA_WRITE_END : AREA_READ_END)) >>> 2]!;
      if (area === 0 || address + length > u32[(area + AREA_BASE) >>> 2]! + reach) return false;
    }
    return true;
  }

  /** Memory of this client's own of at least this size, good until the next call. 0: out of memory. */
  scratch(bytes: number): number {
    if (bytes <= this.#scratchSize) return this.#scratch;
    const size = Math.max(bytes, SCRATCH_MIN);
    const block = alloc(this.mem, size);
    if (block === 0) return 0;
    const [old, oldSize] = [this.#scratch, this.#scratchSize];
    this.#scratch = block;
    this.#scratchSize = size;
    rememberBlock(this.mem, this.client, SCRATCH_BLOCK, block, size);
    if (old !== 0) free(this.mem, old, oldSize);
    return block;
  }

  /** A block of this client's own, of this size always, which stays. 0: out of memory. */
  results(bytes: number): number {
    if (this.#results === 0) {
      this.#results = alloc(this.mem, bytes);
      if (this.#results !== 0) rememberBlock(this.mem, this.client, RESULTS_BLOCK, this.#results, bytes);
    }
    return this.#results;
  }

  /** User memory that goes with this client, if it is still there then; address 0: there is none. */
  stageAt(address: number, bytes: number): void {
    rememberBlock(this.mem, this.client, STAGE_BLOCK, address, bytes);
  }

  /** The object of this kind behind an fd, or -EBADF (no such fd), -EINVAL (another kind). Pair with `done`. */
  get(fd: number, kind: number): number {
    const entry = getEntry(this.mem, this.process, fd);
    if (entry === 0) return -EBADF;
    const object = entryObject(entry);
    if (this.mem.u32[(object + OBJ_KIND) >>> 2] === kind) return object;
    this.done(object);
    return -EINVAL;
  }

  /** The map behind an fd that allows `mode`, in use until `endMap`; -EPERM when the fd does not allow it. */
  getMap(fd: number, mode: number): number {
    const { mem } = this;
    const entry = mem.shared ? beginUse(this, fd, mode) : entryOf(mem, this.process, fd);
    const object = entryObject(entry);
    // An fd that is not open has no entry, which is no mode either.
    if ((entry & mode) === mode && mem.i32[(object >>> 2) + W_KIND] === MAP_KIND) return object;
    return this.#noMap(entry);
  }

  /** Ends what `getMap` began. */
  endMap(): void {
    if (this.mem.shared) endUse(this);
  }

  #noMap(entry: number): number {
    if (entry === 0) return -EBADF;
    const object = entryObject(entry);
    const isMap = this.mem.u32[(object + OBJ_KIND) >>> 2] === OBJ_MAP;
    this.endMap();
    return isMap ? -EPERM : -EINVAL;
  }

  take(fd: number, kind: number): number {
    const object = this.get(fd, kind);
    if (object >= 0 && !this.mem.shared) this.hold(object);
    return object;
  }

  keep(object: number): number {
    return keepReference(this, this.run, object);
  }

  metaEqual(template: number, map: number): number {
    return entryOfMap(this, template).ops.map_meta_equal(this.mem, template, map);
  }

  ownerFits(map: number, prog: number): boolean {
    return ownerFits(this, map, prog);
  }

  progIs(prog: number, type: number, attachType: number): boolean {
    const { u32 } = this.mem;
    return u32[(prog + PROG_TYPE) >>> 2] === type && u32[(prog + PROG_ATTACH_TYPE) >>> 2] === attachType;
  }

  deviceExists(ifindex: number): boolean {
    return deviceExists(this.mem, ifindex);
  }

  /** Ends what `get` began: shared hosts hold the object during an operation. */
  done(object: number): void {
    if (this.mem.shared) this.put(object);
  }

  /** One more reference to an object that the caller can already reach. */
  hold(object: number): void {
    this.mem.atomics.add32(object + OBJ_REFS, 1);
  }

  /** Drops a reference; the last one takes the object away. */
  put(object: number): void {
    if (this.mem.atomics.add32(object + OBJ_REFS, -1) === 1) this.putLast(object);
  }

  /** The last reference was dropped. */
  putLast(object: number): void {
    const { u32, shared } = this.mem;
    if (shared) {
      if (handOver(this.mem, object)) return;
      if (u32[(object + OBJ_KIND) >>> 2] === OBJ_PROG && oweToBorrower(this, object)) return;
    }
    if (u32[(object + OBJ_ID) >>> 2] !== 0) removeId(this.mem, u32[(object + OBJ_KIND) >>> 2]!, object);
    destroyObject(this, object);
  }

  /** One more reference of user space (an fd, a pin) to an object that the caller can already reach. */
  holdUser(object: number): void {
    this.hold(object);
    this.mem.atomics.add32(object + OBJ_USERS, 1);
  }

  /** Drops a reference of user space. With the last one the object's kind has a say, while the reference still holds. */
  putUser(object: number): void {
    if (this.mem.atomics.add32(object + OBJ_USERS, -1) === 1) releaseUsers(this, object);
    this.put(object);
  }

  /** Takes a new object away that nobody has seen: it has no id yet. */
  discard(object: number): void {
    destroyObject(this, object);
  }

  /** Gives a new object (one reference, the caller's) an id and an fd. On failure the object is gone. */
  publish(object: number, mode: number): number {
    const added = addId(this.mem, this.mem.u32[(object + OBJ_KIND) >>> 2]!, object);
    if (added < 0) {
      destroyObject(this, object);
      return added;
    }
    return this.install(object, mode);
  }

  /** An fd for a reference of the caller's. On failure the reference is dropped. */
  install(object: number, mode: number): number {
    const fd = installFd(this.mem, this.process, object, mode);
    if (fd < 0) this.put(object);
    return fd;
  }

  close(fd: number): number {
    const object = removeFd(this.mem, this.process, fd);
    if (object < 0) return object;
    this.putUser(object);
    return 0;
  }

  /** A slot for a worker of this process; undefined when all are taken. */
  announce(): ClientSlot | undefined {
    return announceClient(this.mem, this.process);
  }
}
