/** Programs on any host: load, run on a packet, read what they left in a map. */
import type { Host } from "../../src/host/host.ts";
import { type AsmItem, assemble, encodeInsns } from "../../src/insn/index.ts";
import * as u from "../../src/uapi/index.ts";

export interface LoadOptions {
  readonly type?: number;
  readonly license?: string;
  readonly flags?: number;
  readonly attachType?: number;
  readonly name?: string;
  readonly logLevel?: number;
}

export interface Loaded {
  /** The fd, or a negative errno. */
  readonly fd: number;
  readonly log: string;
}

/** BPF_PROG_LOAD of an XDP program with a GPL licence. A program that is refused is loaded again for the log's sake. */
export function loadProgram(host: Host, items: readonly AsmItem[], options: LoadOptions = {}): Loaded {
  if (options.logLevel === undefined) {
    const loaded = loadProgram(host, items, { ...options, logLevel: 0 });
    return loaded.fd >= 0 ? loaded : loadProgram(host, items, { ...options, logLevel: 1 });
  }
  const insns = assemble(items);
  const { logLevel } = options;
  const log = new Uint8Array(1 << 16);
  const fd = host.bpf(u.BPF_PROG_LOAD, {
    prog_type: options.type ?? u.BPF_PROG_TYPE_XDP,
    insn_cnt: insns.length,
    insns: encodeInsns(insns),
    license: options.license ?? "GPL",
    prog_flags: options.flags ?? 0,
    expected_attach_type: options.attachType ?? 0,
    prog_name: options.name ?? "test",
    ...(logLevel === 0 ? {} : { log_level: logLevel, log_buf: log, log_size: log.length }),
  });
  return { fd, log: new TextDecoder().decode(log.subarray(0, log.indexOf(0))) };
}

export interface TestRunResult {
  readonly ret: number;
  readonly retval: number;
  readonly dataSize: number;
  readonly data: Uint8Array;
}

const PACKET = new Uint8Array(64);

/** BPF_PROG_TEST_RUN on a packet, 64 zeros unless given. */
export function testRun(host: Host, fd: number, data: Uint8Array = PACKET, repeat = 1): TestRunResult {
  const out = new Uint8Array(8192);
  const attr = {
    prog_fd: fd,
    data_in: data,
    data_size_in: data.length,
    data_out: out,
    data_size_out: out.length,
    repeat,
    retval: 0,
  };
  const ret = host.bpf(u.BPF_PROG_TEST_RUN, attr);
  return { ret, retval: attr.retval, dataSize: attr.data_size_out, data: out.subarray(0, attr.data_size_out) };
}

/** An ARRAY of one value: where programs of tests leave their results. */
export function resultMap(host: Host, size: number): number {
  return host.bpf(u.BPF_MAP_CREATE, {
    map_type: u.BPF_MAP_TYPE_ARRAY,
    key_size: 4,
    value_size: size,
    max_entries: 1,
    map_name: "results",
  });
}

/** The value of a `resultMap`, as u64. */
export function readResults(host: Host, map: number, size: number): BigUint64Array {
  const value = new Uint8Array(size);
  const ret = host.bpf(u.BPF_MAP_LOOKUP_ELEM, { map_fd: map, key: new Uint8Array(4), value });
  if (ret !== 0) throw new Error(`reading the results: ${ret}`);
  return new BigUint64Array(value.buffer);
}

/** What the program's stderr stream holds; reading takes it. */
export function readStderr(host: Host, fd: number): string {
  const text = new Uint8Array(4096);
  const n = host.bpf(u.BPF_PROG_STREAM_READ_BY_FD, {
    prog_fd: fd,
    stream_id: u.BPF_STDERR,
    stream_buf: text,
    stream_buf_len: text.length,
  });
  return n < 0 ? `errno ${n}` : new TextDecoder().decode(text.subarray(0, n));
}
