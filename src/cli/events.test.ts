import { expect, test } from "vitest";
import type { AnyMap } from "../api/any_map.ts";
import { Events } from "./events.ts";

const maps: [string, AnyMap][] = [["ports", { id: 7 } as AnyMap]];

test("events are told by what happened and how often, maps by name", () => {
  const events = new Events(maps);
  expect(events.lines()).toEqual([]);
  const toPort = { kind: "redirect_map", map: 7, key: 3, flags: 2 } as const;
  events.add(1, [{ kind: "printk", text: "no route\n" }]);
  events.add(2, [toPort]);
  events.add(3, [toPort, { ...toPort, map: 9, flags: 0 }]);
  const device = { ifindex: 5, nextHop: undefined } as const;
  events.add(4, [
    { kind: "redirect", ingress: true, ...device },
    { kind: "redirect_neigh", ingress: false, ...device, nextHop: Uint8Array.of(2, 0) },
    { kind: "clone_redirect", ifindex: 5, ingress: false, data: Uint8Array.of(0xab, 1) },
    { kind: "xdp_frame", verdict: 3, data: new Uint8Array(60) },
    { kind: "signal", signal: 9, thread: false },
    { kind: "override_return", value: 2n ** 64n - 12n },
    { kind: "msg_cork_bytes", bytes: 100 },
  ]);
  expect(events.lines()).toEqual([
    "events",
    "  2 x redirect_map  to ports[3], flags 0x2",
    "  1 x printk  no route",
    "  1 x redirect_map  to map 9[3]",
    "  1 x redirect  into device 5",
    "  1 x redirect_neigh  to device 5",
    "  1 x clone_redirect  to device 5, 2 bytes",
    "  1 x xdp_frame  XDP_TX, 60 bytes",
    "  1 x signal  9 to the process",
    "  1 x override_return  -12",
    "  1 x msg_cork_bytes  100",
  ]);
  expect(events.list()[1]).toEqual({ run: 2, ...toPort, map: "ports", text: "to ports[3], flags 0x2" });
  expect(events.list()[6]).toMatchObject({ run: 4, kind: "clone_redirect", data: "ab01" });
});

test("people are shown some, a report has no more than it can hold", () => {
  const events = new Events(maps);
  events.add(
    1,
    Array.from({ length: 100_003 }, (_, i) => ({ kind: "printk", text: `${i % 20}` }) as const),
  );
  expect(events.list()).toHaveLength(100_000);
  const lines = events.lines();
  expect(lines).toHaveLength(19);
  expect(lines.slice(-2)).toEqual([
    "  ... and 4 more (--json has all)",
    "  (3 events beyond the first 100000 are left out)",
  ]);
});
