/** Programs on several threads of one shared host, and threads that die while they run one. Needs `npm run build`. */
import { existsSync } from "node:fs";
import { Worker } from "node:worker_threads";
import { afterEach, beforeAll, expect, test } from "vitest";
import { createEmbeddedHost, type EmbeddedHost } from "../../src/host/embedded.ts";
import * as asm from "../../src/insn/index.ts";
import * as u from "../../src/uapi/index.ts";
import { loadProgram, readResults, resultMap, testRun } from "../conformance/programs.ts";

const { R0, R1, R2, R3, R6 } = asm;
const dist = new URL("../../dist/host/embedded.js", import.meta.url);

const work = `
const { parentPort, workerData } = require("node:worker_threads");
(async () => {
  const { attachEmbeddedHost } = await import(workerData.module);
  const host = attachEmbeddedHost(workerData.ticket);
  parentPort.postMessage("ready");
  const data = new Uint8Array(64);
  const ret = host.bpf(10, {
    prog_fd: workerData.fd, data_in: data, data_size_in: 64, repeat: workerData.repeat,
  });
  host.dispose();
  parentPort.postMessage({ ret });
})();
`;

let host: EmbeddedHost | undefined;
beforeAll(() => {
  if (!existsSync(dist)) throw new Error("dist/ is missing: run `npm run build` first (`npm test` does)");
});
afterEach(() => {
  host?.dispose();
  host = undefined;
});

interface Started {
  readonly worker: Worker;
  readonly ready: Promise<void>;
  readonly done: Promise<unknown>;
  readonly gone: Promise<void>;
}

function start(fd: number, repeat: number): Started {
  const own = host!;
  const ticket = own.share();
  const worker = new Worker(work, { eval: true, workerData: { module: dist.href, ticket, fd, repeat } });
  const gone = new Promise<void>((resolve) =>
    worker.once("exit", () => {
      own.reap(ticket);
      resolve();
    }),
  );
  let isReady: () => void = () => undefined;
  const ready = new Promise<void>((resolve) => {
    isReady = resolve;
  });
  const done = new Promise<unknown>((resolve, reject) => {
    worker.on("message", (m) => (m === "ready" ? isReady() : resolve(m)));
    worker.once("error", reject);
    worker.once("exit", () => resolve("exit"));
  });
  return { worker, ready, done, gone };
}

test("atomic additions of several threads all count; more threads than CPUs take turns", async () => {
  host = createEmbeddedHost({ memory: 64 << 20, cpus: 2, shared: true, seed: 7 });
  const map = resultMap(host, 16);
  const { fd } = loadProgram(host, [
    asm.ldMapValue(R6, map, 0),
    asm.mov64Imm(R1, 1),
    asm.atomic("add", "u64", R6, R1, 0),
    asm.mov64Imm(R1, 1),
    asm.atomic("fetchAdd", "u32", R6, R1, 8),
    asm.mov64Imm(R0, 2),
    asm.exit(),
  ]);
  const repeat = 40_000;
  const workers = [1, 2, 3].map(() => start(fd, repeat));
  await Promise.all(workers.map((w) => w.ready));
  for (let i = 0; i < 50; i++) expect(testRun(host, fd, new Uint8Array(64), 100).ret).toBe(0);
  expect(await Promise.all(workers.map((w) => w.done))).toEqual([1, 2, 3].map(() => ({ ret: 0 })));
  expect([...readResults(host, map, 16)]).toEqual([BigInt(3 * repeat + 5000), BigInt(3 * repeat + 5000)]);
});

test("a thread that dies in a run gives back its CPU, its ring records and its program", async () => {
  host = createEmbeddedHost({ memory: 64 << 20, cpus: 1, shared: true, seed: 7, runBudget: 1e9 });
  for (let round = 0; round < 4; round++) {
    const ring = host.bpf(u.BPF_MAP_CREATE, { map_type: u.BPF_MAP_TYPE_RINGBUF, max_entries: 4096 });
    const flag = resultMap(host, 8);
    // Reserves a record, says so, and never ends.
    const { fd } = loadProgram(host, [
      asm.ldMapFd(R1, ring),
      asm.mov64Imm(R2, 8),
      asm.mov64Imm(R3, 0),
      asm.call(u.BPF_FUNC_ringbuf_reserve),
      asm.ldMapValue(R6, flag, 0),
      asm.st("u64", R6, 0, 1),
      asm.label("loop"),
      asm.jmpImm("jne", R6, 0, "loop"),
      asm.exit(),
    ]);
    const pass = loadProgram(host, [asm.mov64Imm(R0, 2), asm.exit()]).fd;
    const victim = start(fd, 1);
    await victim.ready;
    for (let i = 0; i < 500 && readResults(host, flag, 8)[0] === 0n; i++) await new Promise((r) => setTimeout(r, 10));
    expect(readResults(host, flag, 8)[0]).toBe(1n);
    await victim.worker.terminate();
    await victim.gone;
    // The record is discarded, so the consumer can go on; the only CPU is free.
    const view = host.mmap(ring, { offset: 0, length: 3 * 4096, prot: 1 }) as Uint8Array;
    const header = new DataView(view.buffer, view.byteOffset).getUint32(8192, true);
    expect(header).toBe(8 + u.BPF_RINGBUF_DISCARD_BIT);
    host.munmap(view);
    expect(testRun(host, pass).ret).toBe(0);
    const info = { bpf_fd: fd, info: new Uint8Array(232), info_len: 232 };
    expect(host.bpf(u.BPF_OBJ_GET_INFO_BY_FD, info)).toBe(0);
    const id = new DataView(info.info.buffer).getUint32(4, true);
    for (const open of [ring, flag, fd, pass]) host.close(open);
    expect(host.bpf(u.BPF_PROG_GET_FD_BY_ID, { prog_id: id })).toBe(-u.ENOENT);
  }
});
