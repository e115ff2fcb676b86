/**
 * PROG_TEST_RUN of programs that see an skb, on the embedded hosts and on the kernel at hand. The kernel's answers are
 * recorded (`RECORD=1`, once), so that embedded hosts are held to them everywhere.
 */
import { readFileSync, writeFileSync } from "node:fs";
import { afterAll, expect, test } from "vitest";
import type { AttrObject, Host } from "../../src/host/host.ts";
import * as u from "../../src/uapi/index.ts";
import { closeHosts, embeddedOf, openHosts } from "./hosts.ts";
import { loadProgram } from "./programs.ts";
import { bytesCases } from "./skb/bytes.table.ts";
import { ipv4, type SkbCase } from "./skb/cases.ts";
import { checksumCases } from "./skb/checksum.table.ts";
import { contextCases } from "./skb/context.table.ts";
import { flowCases } from "./skb/flow.table.ts";
import { loadCases } from "./skb/load.table.ts";
import { redirectCases } from "./skb/redirect.table.ts";
import { roomCases } from "./skb/room.table.ts";
import { tunnelCases } from "./skb/tunnel.table.ts";

const RECORDING = `${import.meta.dirname}/recorded/skb.json`;
const RECORD = process.env.RECORD === "1";
const recorded = JSON.parse(readFileSync(RECORDING, "utf8")) as Record<string, string>;
const answers: Record<string, string> = {};
const { fields } = u.__sk_buff;

const hosts = openHosts({ anyCpu: true });
const embedded = embeddedOf(hosts);
afterAll(() => {
  expect(hosts.exclusive.openFds()).toEqual([]);
  expect(hosts.shared.openFds()).toEqual([]);
  closeHosts(hosts);
  if (RECORD && hosts.kernel !== undefined) writeFileSync(RECORDING, `${JSON.stringify(answers, null, 2)}\n`);
});

function contextOf(values: SkbCase["ctx"] = {}): Uint8Array {
  const view = new DataView(new ArrayBuffer(u.__sk_buff.size));
  for (const [name, value] of Object.entries(values)) {
    const { offset, size } = fields[name as keyof typeof fields];
    if (size === 1) view.setUint8(offset, value);
    else view.setUint32(offset, value, true);
  }
  return new Uint8Array(view.buffer);
}

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString("hex");

/** The packet afterwards: how far from its end it is the one that went in, and what stands in front of that. */
function told(before: Uint8Array, now: Uint8Array): string {
  let same = 0;
  const most = Math.min(before.length, now.length);
  while (same < most && before[before.length - 1 - same] === now[now.length - 1 - same]) same++;
  const front = hex(now.subarray(0, Math.min(now.length - same, 160)));
  return `${front === "" ? "-" : front}+${same}`;
}

/** Everything that comes back, as text: result, r0, packet, and the words of the context that are not zero. */
function answer(host: Host, given: SkbCase): string {
  const { fd, log } = loadProgram(host, given.code, {
    type: given.type ?? u.BPF_PROG_TYPE_SCHED_CLS,
    attachType: given.attachType ?? 0,
  });
  if (fd < 0) throw new Error(`${given.id}: PROG_LOAD ${fd}: ${log}`);
  const data = given.data ?? ipv4;
  const out = new Uint8Array(8192);
  const ctxOut = new Uint8Array(u.__sk_buff.size);
  const attr: Record<string, AttrObject[string]> = {
    prog_fd: fd,
    data_in: data,
    data_size_in: data.length,
    data_out: out,
    data_size_out: out.length,
    retval: 0,
    ctx_in: contextOf(given.ctx),
    ctx_size_in: u.__sk_buff.size,
    ctx_out: ctxOut,
    ctx_size_out: ctxOut.length,
    ...given.attr,
  };
  const ret = host.bpf(u.BPF_PROG_TEST_RUN, attr);
  host.close(fd);
  const size = Number(attr.data_size_out);
  const view = new DataView(ctxOut.buffer);
  const words: string[] = [];
  for (let at = 0; at < ctxOut.length; at += 4) {
    const value = view.getUint32(at, true);
    if (value !== 0) words.push(`${at}:${value.toString(16)}`);
  }
  const ctx = `ctx ${attr.ctx_size_out} ${words.join(" ")}`;
  if (ret !== 0) return `${ret} ${attr.retval} ${size} ${ctx}`;
  return `${attr.retval} ${size} ${told(data, out.subarray(0, size))} ${ctx}`;
}

const skbTable: readonly SkbCase[] = [
  ...contextCases,
  ...bytesCases,
  ...checksumCases,
  ...roomCases,
  ...loadCases,
  ...redirectCases,
  ...flowCases,
  ...tunnelCases,
];
const groups = new Map<string, SkbCase[]>();
for (const each of skbTable) {
  const name = each.id.split(".")[0]!;
  groups.set(name, [...(groups.get(name) ?? []), each]);
}

test.each([...groups])("%s", (_name, cases) => {
  const wrong: string[] = [];
  for (const each of cases) {
    const kernel = hosts.kernel === undefined ? undefined : answer(hosts.kernel, each);
    if (kernel !== undefined) answers[each.id] = kernel;
    const expected = RECORD ? kernel : recorded[each.id];
    if (kernel !== undefined && kernel !== expected) wrong.push(`${each.id}: the kernel now says ${kernel}`);
    for (const [name, host] of embedded) {
      const said = answer(host, each);
      if (said !== expected) wrong.push(`${each.id}: expected ${expected}\n  ${name} ${said}`);
    }
  }
  expect(wrong).toEqual([]);
});

test("every recorded answer has its case", () => {
  expect(Object.keys(recorded).sort()).toEqual(skbTable.map((each) => each.id).sort());
});
