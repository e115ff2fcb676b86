/** Several threads pin, rename and drop the same few names on a shared host, and are killed at it. */
import { expect, test } from "vitest";
import type { EmbeddedHost } from "../../src/host/embedded.ts";
import * as u from "../../src/uapi/index.ts";
import { EMBEDDED_BPFFS, emptyBpffs } from "../bpffs.ts";
import { type Started, sharedHost, startOn } from "./worker.ts";

/** Names that each thread has. */
const OWN = 100;
const MAP = { map_type: u.BPF_MAP_TYPE_ARRAY, key_size: 4, value_size: 4, max_entries: 1 };

/** What a thread does: with names of its own, where every call must work, or without end with names that all have. */
const work = `
  const { gate, fd, id, thread, loops } = data;
  const { bpffs } = host;
  const at = (name) => "${EMBEDDED_BPFFS}/" + name;
  const pin = (name) => host.bpf(6, { pathname: at(name), bpf_fd: fd });
  const idAt = (name) => {
    const got = host.bpf(7, { pathname: at(name) });
    if (got < 0) return got;
    const info = new Uint8Array(8);
    host.bpf(15, { bpf_fd: got, info_len: 8, info });
    host.close(got);
    return new DataView(info.buffer).getUint32(4, true);
  };
  ready();
  // All begin together.
  Atomics.wait(new Int32Array(gate), 0, 0);
  let failed = 0;
  const expect = (found, wanted) => { if (found !== wanted) failed++; };
  for (let loop = 0; loop < loops; loop++) {
    for (let i = 0; i < ${OWN}; i++) expect(pin("p" + i + "_" + thread), 0);
    for (let i = 0; i < ${OWN}; i++) expect(bpffs.rename(at("p" + i + "_" + thread), at("r" + i + "_" + thread)), 0);
    for (let i = 0; i < ${OWN}; i++) expect(idAt("r" + i + "_" + thread), id);
    for (let i = 0; i < ${OWN}; i++) expect(bpffs.unlink(at("r" + i + "_" + thread)), 0);
  }
  const names = ["a", "b", "d", "d/a", "d/b", "d/d", "d/d/a", "e", "e/a"];
  let seed = thread;
  const random = (below) => {
    seed = (Math.imul(seed, 1664525) + 1013904223) >>> 0;
    return (seed >>> 8) % below;
  };
  while (loops === 0) {
    const [path, to] = [names[random(names.length)], names[random(names.length)]];
    const ways = [() => pin(path), () => idAt(path), () => bpffs.mkdir(at(path)), () => bpffs.rmdir(at(path)),
      () => bpffs.unlink(at(path)), () => bpffs.rename(at(path), at(to))];
    ways[random(ways.length)]();
  }
  return failed;
`;

/** Starts the threads, and lets them go once all are there. `done`: calls that failed. */
async function startAll(
  host: EmbeddedHost,
  fd: number,
  threads: readonly number[],
  loops: number,
): Promise<Started<number>[]> {
  const gate = new SharedArrayBuffer(4);
  const id = idOf(host, fd);
  const running = threads.map((thread) => startOn<number>(host, work, { gate, fd, id, thread, loops }));
  await Promise.all(running.map(({ ready }) => ready));
  const word = new Int32Array(gate);
  Atomics.store(word, 0, 1);
  Atomics.notify(word, 0);
  return running;
}

function idOf(host: EmbeddedHost, fd: number): number {
  const info = new Uint8Array(8);
  host.bpf(u.BPF_OBJ_GET_INFO_BY_FD, { bpf_fd: fd, info_len: 8, info });
  return new DataView(info.buffer).getUint32(4, true);
}

test("threads with names of their own do not disturb each other, and nothing is left over", async () => {
  const host = sharedHost();
  const fd = host.bpf(u.BPF_MAP_CREATE, MAP);
  const running = await startAll(host, fd, [1, 2, 3], 15);
  expect(await Promise.all(running.map(({ done }) => done))).toEqual([0, 0, 0]);
  await Promise.all(running.map(({ gone }) => gone));
  expect(host.bpffs.readdir(EMBEDDED_BPFFS)).toEqual([]);
  host.close(fd);
  // Every reference was given back: the map is gone.
  expect(host.bpf(u.BPF_MAP_GET_NEXT_ID, { start_id: 0 })).toBe(-u.ENOENT);
});

test("threads killed at it leave a tree that works", async () => {
  const host = sharedHost();
  const fd = host.bpf(u.BPF_MAP_CREATE, MAP);
  const id = idOf(host, fd);
  for (let round = 0; round < 3; round++) {
    const running = await startAll(host, fd, [10 * round + 1, 10 * round + 2], 0);
    await new Promise((resolve) => setTimeout(resolve, 5 + 6 * round));
    await Promise.all(running.map(({ worker }) => worker.terminate()));
    await Promise.all(running.map(({ gone }) => gone));
    emptyBpffs(host, EMBEDDED_BPFFS);
    expect(host.bpffs.readdir(EMBEDDED_BPFFS)).toEqual([]);
    const path = `${EMBEDDED_BPFFS}/after`;
    expect(host.bpf(u.BPF_OBJ_PIN, { pathname: path, bpf_fd: fd })).toBe(0);
    const again = host.bpf(u.BPF_OBJ_GET, { pathname: path });
    expect(idOf(host, again)).toBe(id);
    host.close(again);
    expect(host.bpffs.unlink(path)).toBe(0);
  }
});
