/** The typed API: hosts, maps, programs, objects, errors. */

export type { HostTicket, WorkerLike } from "../host/embedded.ts";
export type { EmbeddedOptions } from "../host/embedded_options.ts";
export type {
  Attr,
  AttrObject,
  AttrValue,
  Bpffs,
  Host,
  KernelBtf,
  MapCounters,
  MmapOptions,
  UserBuffer,
  UserMemory,
  WaitOptions,
} from "../host/host.ts";
export { HostUnavailable, type HostUnavailableReason } from "../host/host.ts";
export type { TunnelKey } from "../kern/network.ts";
export type {
  AssignEvent,
  Attachment,
  CloneEvent,
  FrameEvent,
  GivenMemory,
  MessageEvent,
  OverrideEvent,
  PrintEvent,
  RedirectEvent,
  RedirectMapEvent,
  RunEvent,
  SignalEvent,
  StoppedAt,
  Sysctl,
  SysctlEvent,
  Task,
  TunnelKeyEvent,
} from "../kern/scene.ts";
export type { AnyMap, MapOf } from "./any_map.ts";
export { Arena, MappedArena } from "./arena.ts";
export { ArrayMap, PerCpuArrayMap } from "./array_map.ts";
export type { BatchOptions, DrainOptions } from "./batches.ts";
export { BloomFilterMap } from "./bloom_filter_map.ts";
export { BpfHost, type HostMemory, type Leak, type MapMemory } from "./bpf_host.ts";
export { BpfMap, type MapStats, OtherMap } from "./bpf_map.ts";
export * from "./codec/index.ts";
export type { TargetBtf } from "./core_target.ts";
export { type DiffOptions, diffSpec, type SpecDifference } from "./diff_spec.ts";
export {
  attachEmbedded,
  createEmbedded,
  EmbeddedBpfHost,
  type ExecuteOptions,
  type ExecuteResult,
} from "./embedded.ts";
export type { Compiled, RanOn } from "./engine.ts";
export { BpfError, type BpfErrorParts, BulkError, type BulkProgress, type ErrorMap, RunFault } from "./error.ts";
export { type EstimateOptions, estimateMemory } from "./estimate_memory.ts";
export { Globals } from "./globals.ts";
export { HashMap, PerCpuHashMap } from "./hash_map.ts";
export type { MapInfo } from "./info.ts";
export { openKernel } from "./kernel.ts";
export { type GetOptions, KeyedMap, type PageOptions, type SetOptions } from "./keyed_map.ts";
export { type AttachOptions, Link } from "./link.ts";
export type { LoadObjectOptions } from "./load_object.ts";
export type { ProgramBtf, ProgramOptions } from "./load_program.ts";
export { LoadedObject, type NamedMaps } from "./loaded_object.ts";
export { LpmTrieMap } from "./lpm_trie_map.ts";
export type { MapType } from "./map_types.ts";
export { MappedArray, type MmapArrayOptions } from "./mapping.ts";
export type { NetworkOptions } from "./network.ts";
export { ArrayOfMaps, HashOfMaps, ProgArray } from "./object_maps.ts";
export * from "./observe/index.ts";
export type { MapRef } from "./open_map.ts";
export type { Surroundings } from "./own_run.ts";
export { PacketList } from "./packet_list.ts";
export { type OpenPerfOptions, type PerfCounter, PerfEventArray, type PerfRecord } from "./perf_event_array.ts";
export { type IncompatibleAction, IncompatibleMapError, type PinOptions } from "./pin.ts";
export { Program, type ProgramRef } from "./program.ts";
export { type PushOptions, QueueMap, StackMap } from "./queue_map.ts";
export { RedirectMap, type RedirectTarget } from "./redirect_map.ts";
export { type Decoded, type RecordDecoder, RingBuf } from "./ring_buffer.ts";
export type { RunOptions, RunResult } from "./run.ts";
export type { PacketEvent, PacketFailure, RunManyOptions, RunManyResult } from "./run_many.ts";
export type {
  Access,
  ArenaSpec,
  ArrayOfMapsSpec,
  ArraySpec,
  BloomFilterSpec,
  CpuMapSpec,
  DevMapSpec,
  ExactShape,
  ExactSpec,
  HashOfMapsSpec,
  HashSpec,
  InnerShape,
  InnerSpec,
  LpmTrieSpec,
  LruHashSpec,
  LruPerCpuHashSpec,
  MapShape,
  MapShapes,
  MapSpec,
  MapSpecs,
  PerCpuArraySpec,
  PerCpuHashSpec,
  PerfEventArraySpec,
  ProgArraySpec,
  QueueSpec,
  RingBufSpec,
  StackSpec,
  StackTraceSpec,
  UserRingBufSpec,
} from "./spec.ts";
export { type StackFrame, StackTraceMap } from "./stack_trace_map.ts";
export { type Encodable, type RecordEncoder, UserRingBuf } from "./user_ring_buffer.ts";
export { Drain, Walk } from "./walk.ts";
