/**
 * BPF_PROG_TEST_RUN of XDP programs. The packet's first part lies in a page with headroom and tail room, the rest in
 * pages that only helpers reach; a context says how much of it is metadata and where the first part ends. Kernel
 * counterpart: net/bpf/test_run.c.
 */

import { prepareXdp } from "../contexts/xdp.ts";
import { ETH_HLEN, metaSizeBad, XDP_FRAME_SIZE, XDP_HEADROOM } from "../helpers/xdp.ts";
import { PACKET_ROOM } from "../kern/cpus.ts";
import { LOOPBACK } from "../kern/devices.ts";
import type { Kernel } from "../kern/kernel.ts";
import { PROG_ATTACH_TYPE } from "../kern/prog.ts";
import { RUN_DATA, RUN_DATA_END, RUN_FRAGS, RUN_FRAGS_SIZE, RUN_META } from "../kern/run_record.ts";
import { noteEvent } from "../kern/scene.ts";
import { PAGE_SIZE } from "../mem/layout.ts";
import {
  BPF_F_TEST_XDP_LIVE_FRAMES,
  BPF_XDP_CPUMAP,
  BPF_XDP_DEVMAP,
  bpf_attr,
  E2BIG,
  EFAULT,
  EINVAL,
  ENODEV,
  ENOMEM,
  xdp_md,
} from "../uapi/index.ts";
import { pointerAt } from "./attr.ts";
import { giveContext, giveResult, repeatRun, type TestRun, takeContext, testField } from "./prog_test_data.ts";

const { test } = bpf_attr;
const { fields } = xdp_md;
const MAX_BATCH = 256;
/** Pages that a packet may have beside the first. */
const MAX_FRAGS = 17;
/** A live frame's page holds the frame's own record as well. */
const LIVE_FRAME_MAX = 3408;

/** What the caller's context says about the packet. */
interface Shape {
  readonly meta: number;
  readonly linear: number;
  readonly ingressIfindex: number;
  readonly rxQueueIndex: number;
}

/** Programs of device and CPU maps run where a packet was redirected, and nowhere else. */
export function hasXdpTestRun({ mem }: Kernel, prog: number): boolean {
  const attachType = mem.u32[(prog + PROG_ATTACH_TYPE) >>> 2];
  return attachType !== BPF_XDP_DEVMAP && attachType !== BPF_XDP_CPUMAP;
}

export function testRunXdp(run: TestRun): number {
  if (!hasXdpTestRun(run.kernel, run.prog)) return -EINVAL;
  const flags = testField(run, test.flags);
  if (flags & ~BPF_F_TEST_XDP_LIVE_FRAMES) return -EINVAL;
  const batch = testField(run, test.batch_size);
  if (flags === 0 && batch !== 0) return -EINVAL;
  if (batch > MAX_BATCH) return -E2BIG;
  const context = takeContext(run, xdp_md.size);
  if (typeof context === "number") return context;
  const shape = shapeOf(run, context);
  if (typeof shape === "number") return shape;
  return flags === 0 ? runOn(run, context, shape) : runLive(run, context, shape);
}

function shapeOf(run: TestRun, context: DataView | undefined): Shape | number {
  const size = testField(run, test.data_size_in);
  const said = (field: { readonly offset: number }): number => context?.getUint32(field.offset, true) ?? 0;
  const meta = said(fields.data);
  const end = context === undefined ? size : said(fields.data_end);
  if (said(fields.data_meta) !== 0 || end > size || meta > end || metaSizeBad(meta)) return -EINVAL;
  if (meta > XDP_HEADROOM - XDP_FRAME_SIZE || size - meta < ETH_HLEN) return -EINVAL;
  const linear = Math.min(end, PACKET_ROOM - XDP_HEADROOM + meta);
  return { meta, linear, ingressIfindex: said(fields.ingress_ifindex), rxQueueIndex: said(fields.rx_queue_index) };
}

/** Interface and queue are looked at once the first part of the packet has been read. */
function deviceBad(shape: Shape, context: DataView | undefined): number {
  if (context !== undefined && context.getUint32(fields.egress_ifindex.offset, true) !== 0) return -EINVAL;
  if (shape.ingressIfindex !== 0 && shape.ingressIfindex !== LOOPBACK) return -ENODEV;
  return shape.rxQueueIndex !== 0 ? -EINVAL : 0;
}

function runOn(run: TestRun, context: DataView | undefined, shape: Shape): number {
  const { kernel, attr } = run;
  const { mem } = kernel;
  const from = pointerAt(kernel, attr + test.data_in.offset);
  const size = testField(run, test.data_size_in);
  if (!kernel.userOk(from, shape.linear, false)) return -EFAULT;
  const bad = deviceBad(shape, context);
  if (bad !== 0) return bad;
  const fragsSize = size - shape.linear;
  if (fragsSize > MAX_FRAGS * PAGE_SIZE) return -ENOMEM;
  if (!kernel.userOk(from + shape.linear, fragsSize, false)) return -EFAULT;
  return repeatRun(
    run,
    (record) => {
      // A packet that says nothing else came from there.
      const ingressIfindex = shape.ingressIfindex === 0 ? LOOPBACK : shape.ingressIfindex;
      const to = prepareXdp(kernel, record, { ...shape, ingressIfindex, fragsSize });
      if (to === 0) return -ENOMEM;
      mem.copy(to, from, shape.linear);
      mem.copy(mem.u32[(record + RUN_FRAGS) >>> 2]!, from + shape.linear, fragsSize);
      return 0;
    },
    (record, retval, duration) => finish(run, context, record, retval, duration),
  );
}

/**
 * Live frames: each run gets a frame of its own, which the kernel then hands to an interface or its stack. There are none
 * here: frames and verdicts are events of the run. The results are those of no run.
 */
function runLive(run: TestRun, context: DataView | undefined, shape: Shape): number {
  const { kernel, attr } = run;
  const given = (pointer: { readonly offset: number }): boolean => pointerAt(kernel, attr + pointer.offset) !== 0;
  const size = testField(run, test.data_size_in);
  if (context !== undefined && (given(test.data_out) || given(test.ctx_out))) return -EINVAL;
  if (shape.linear !== size || size - shape.meta > LIVE_FRAME_MAX) return -EINVAL;
  const from = pointerAt(kernel, attr + test.data_in.offset);
  if (!kernel.userOk(from, size, false)) return -EFAULT;
  const bad = deviceBad(shape, context);
  if (bad !== 0) return bad;
  const ingressIfindex = shape.ingressIfindex === 0 ? LOOPBACK : shape.ingressIfindex;
  const frame = (record: number): void => {
    kernel.mem.copy(prepareXdp(kernel, record, { ...shape, ingressIfindex, fragsSize: 0 }), from, size);
  };
  const note = (record: number, verdict: number): void => {
    const { u8, u32 } = kernel.mem;
    const data = u8.slice(u32[(record + RUN_DATA) >>> 2]!, u32[(record + RUN_DATA_END) >>> 2]!);
    noteEvent(kernel.scene, { kind: "xdp_frame", verdict, data });
  };
  return repeatRun(
    run,
    (record) => {
      frame(record);
      return 0;
    },
    (record, verdict, duration) => {
      note(record, verdict);
      frame(record);
      return finish(run, context, record, 0, duration);
    },
    (record, verdict) => {
      note(record, verdict);
      frame(record);
    },
  );
}

function finish(run: TestRun, context: DataView | undefined, record: number, retval: number, duration: number): number {
  const word = (field: number): number => run.kernel.mem.u32[(record + field) >>> 2]!;
  const meta = word(RUN_META);
  context?.setUint32(fields.data.offset, word(RUN_DATA) - meta, true);
  context?.setUint32(fields.data_end.offset, word(RUN_DATA_END) - meta, true);
  const ret = giveResult(run, {
    retval,
    duration,
    data: meta,
    linear: word(RUN_DATA_END) - meta,
    frags: word(RUN_FRAGS),
    fragsSize: word(RUN_FRAGS_SIZE),
  });
  return ret === 0 ? giveContext(run, context) : ret;
}
