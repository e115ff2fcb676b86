import { expect, test } from "vitest";
import * as uapi from "../uapi/index.ts";
import { kindOfSection } from "./section_names.ts";

test.each([
  ["xdp", { type: uapi.BPF_PROG_TYPE_XDP, expectedAttachType: uapi.BPF_XDP, flags: 0 }],
  ["xdp.frags", { type: uapi.BPF_PROG_TYPE_XDP, expectedAttachType: uapi.BPF_XDP, flags: uapi.BPF_F_XDP_HAS_FRAGS }],
  ["xdp/devmap", { type: uapi.BPF_PROG_TYPE_XDP, expectedAttachType: uapi.BPF_XDP_DEVMAP, flags: 0 }],
  ["tc", { type: uapi.BPF_PROG_TYPE_SCHED_CLS, flags: 0 }],
  ["?tc", { type: uapi.BPF_PROG_TYPE_SCHED_CLS, flags: 0 }],
  ["classifier", { type: uapi.BPF_PROG_TYPE_SCHED_CLS, flags: 0 }],
  ["action", { type: uapi.BPF_PROG_TYPE_SCHED_ACT, flags: 0 }],
  ["socket", { type: uapi.BPF_PROG_TYPE_SOCKET_FILTER, flags: 0 }],
  [
    "cgroup_skb/ingress",
    { type: uapi.BPF_PROG_TYPE_CGROUP_SKB, expectedAttachType: uapi.BPF_CGROUP_INET_INGRESS, flags: 0 },
  ],
  ["kprobe", { type: uapi.BPF_PROG_TYPE_KPROBE, flags: 0 }],
  ["kprobe/do_exit", { type: uapi.BPF_PROG_TYPE_KPROBE, flags: 0, attachTo: "do_exit" }],
  ["tracepoint/a/b", { type: uapi.BPF_PROG_TYPE_TRACEPOINT, flags: 0, attachTo: "a/b" }],
  ["raw_tp/x", { type: uapi.BPF_PROG_TYPE_RAW_TRACEPOINT, flags: 0, attachTo: "x" }],
  [
    "fentry.s/f",
    {
      type: uapi.BPF_PROG_TYPE_TRACING,
      expectedAttachType: uapi.BPF_TRACE_FENTRY,
      flags: uapi.BPF_F_SLEEPABLE,
      attachTo: "f",
    },
  ],
  // Exact names have nothing after them, and no name is a prefix of another.
  ["xdp/other", undefined],
  ["xdp_main", undefined],
  ["kprobes/x", undefined],
  ["socket/x", undefined],
  ["", undefined],
  [".text", undefined],
])("%s", (name, kind) => {
  expect(kindOfSection(name)).toEqual(kind);
});
