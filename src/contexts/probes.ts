/** Programs at probes, tracepoints and perf events: they see registers or a record, and change neither. */

import { bpf_perf_event_data } from "../uapi/index.ts";
import { accessTable, narrow, tableAllows, whole } from "./fields.ts";
import { kprobeHelpers, perfEventHelpers, tracingHelpers } from "./helper_groups.ts";
import type { ContextFamily } from "./table.ts";

const { fields: perfFields } = bpf_perf_event_data;
/** struct pt_regs of x86-64. */
const REGS_SIZE = perfFields.regs.size;
/** What perf keeps at the beginning of a tracepoint's record for itself. */
const RECORD_HEAD = 8;
/** PERF_MAX_TRACE_SIZE */
const RECORD_MAX = 8192;
/** MAX_BPF_FUNC_ARGS */
export const MAX_ARGS = 12;

function aligned(offset: number, size: number, write: boolean): boolean {
  return !write && offset % size === 0;
}

const probe = { packetLoads: false, kernelPointers: true, helpers: tracingHelpers } as const;

/**
 * Also uprobes and what is attached to many functions at once. 0 as the attach type is for a single probe, of either kind;
 * the kernel loads any number and looks at it when the program is attached.
 */
export const kprobeContext: ContextFamily = {
  ...probe,
  size: REGS_SIZE,
  whole: true,
  access: (offset, size, write) => aligned(offset, size, write),
  helpers: [...tracingHelpers, ...kprobeHelpers],
  sleepable: true,
};

export const tracepointContext: ContextFamily = {
  ...probe,
  size: RECORD_MAX,
  access: (offset, size, write) => offset >= RECORD_HEAD && aligned(offset, size, write),
  sleepable: false,
};

const perfTable: Uint8Array = accessTable(bpf_perf_event_data.size, [
  whole(perfFields.regs),
  narrow(perfFields.sample_period, 15),
  narrow(perfFields.addr, 15),
]);

export const perfEventContext: ContextFamily = {
  ...probe,
  size: bpf_perf_event_data.size,
  whole: true,
  access: (offset, size, write) => tableAllows(perfTable, offset, size, write),
  helpers: [...tracingHelpers, ...perfEventHelpers],
  sleepable: false,
};

export const rawTracepointContext: ContextFamily = {
  ...probe,
  size: MAX_ARGS * 8,
  access: (offset, size, write) => aligned(offset, size, write),
  sleepable: false,
};

/** The first argument is a buffer that the program may write. */
export const rawTracepointWritableContext: ContextFamily = {
  ...rawTracepointContext,
  access: (offset, size, write) => aligned(offset, size, write) && (offset > 0 || size === 8),
};
