/** What the kernel host does to the process it lives in: when it ends, what the collector takes, what it costs. */
import { execFileSync } from "node:child_process";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { buildSync } from "esbuild";
import { expect, test } from "vitest";
import { kernelHost } from "../../test/kernel.ts";
import { BPF_F_MMAPABLE, BPF_MAP_CREATE, BPF_MAP_FREEZE, BPF_MAP_TYPE_ARRAY, EBUSY } from "../uapi/index.ts";

const host = kernelHost();
const onKernel = test.runIf(host !== undefined);

/** A script that has `openKernelHost`, as one ES module. */
function bundle(script: string): string {
  const contents = `import { openKernelHost } from "./kernel.ts";\n${script}`;
  const stdin = { contents, resolveDir: import.meta.dirname };
  return buildSync({ stdin, bundle: true, write: false, format: "esm", platform: "node" }).outputFiles[0]!.text;
}

/** What a script prints that runs in a process of its own. */
function run(script: string): string {
  const args = ["--input-type=module", "-"];
  return execFileSync(process.execPath, args, { input: bundle(script), timeout: 20_000, encoding: "utf8" });
}

const RING = `const host = openKernelHost();
const ring = host.bpf(0, { map_type: 27, max_entries: 4096 });`;

onKernel("a host that has waited does not keep the process", () => {
  expect(run(`${RING} console.log(await host.wait([ring], { timeoutMs: 5 }));`)).toBe("[]\n");
});

onKernel("a pending wait does, until process.exit", () => {
  const script = `${RING} host.wait([ring]); setTimeout(() => { console.log("still here"); process.exit(0); }, 50);`;
  expect(run(script)).toBe("still here\n");
});

onKernel("a worker that waits can be terminated", () => {
  const inWorker = bundle(`import { parentPort } from "node:worker_threads";
    ${RING} host.wait([ring]); parentPort.postMessage("waits");`);
  const script = `import { Worker } from "node:worker_threads";
    const worker = new Worker(${JSON.stringify(inWorker)}, { eval: true });
    worker.on("message", async () => { await worker.terminate(); console.log("ended"); });`;
  expect(run(script)).toBe("ended\n");
});

test("where there is no koffi, or no Linux, the error says so", () => {
  const script = `try { openKernelHost(); } catch (error) { console.log(error.name, error.reason, error.message); }`;
  expect(run(`Object.defineProperty(process, "platform", { value: "darwin" }); ${script}`)).toMatch(
    /^HostUnavailable not-linux This is darwin .*createEmbedded/,
  );
  const hide = `process.getBuiltinModule("module").Module._resolveFilename = () => { throw new Error("hidden"); };`;
  expect(run(hide + script)).toMatch(/^HostUnavailable no-koffi .*npm install koffi/);
});

onKernel("without permission the error says so", () => {
  const script = `process.setuid(65534);
    try { openKernelHost(); } catch (error) { console.log(error.name, error.reason, error.message); }`;
  expect(run(script)).toMatch(/^HostUnavailable no-permission .*CAP_BPF/);
});

onKernel("a mapping whose views are gone ends, though nobody said munmap", async () => {
  setFlagsFromString("--expose-gc");
  const gc = runInNewContext("gc") as () => void;
  const attr = { map_type: BPF_MAP_TYPE_ARRAY, key_size: 4, value_size: 8, max_entries: 8, map_flags: BPF_F_MMAPABLE };
  const map_fd = host!.bpf(BPF_MAP_CREATE, attr);
  (() => {
    const view = host!.mmap(map_fd, { offset: 0, length: 4096, prot: 3 }) as Uint8Array;
    view[0] = 1;
  })();
  expect(host!.bpf(BPF_MAP_FREEZE, { map_fd })).toBe(-EBUSY);
  let result = -EBUSY;
  for (let i = 0; i < 50 && result === -EBUSY; i++) {
    gc();
    await new Promise((resolve) => setTimeout(resolve, 10));
    result = host!.bpf(BPF_MAP_FREEZE, { map_fd });
  }
  expect(result).toBe(0);
  host!.close(map_fd);
});

onKernel("a raw call allocates nothing to speak of", () => {
  const map_fd = host!.bpf(BPF_MAP_CREATE, { map_type: 1, key_size: 4, value_size: 8, max_entries: 8 });
  const attr = host!.user.alloc(64);
  const view = new DataView(attr.bytes.buffer, attr.bytes.byteOffset);
  view.setUint32(0, map_fd, true);
  view.setBigUint64(8, attr.address + 32n, true);
  view.setBigUint64(16, attr.address + 40n, true);
  const address = Number(attr.address);
  const rounds = (n: number): void => {
    for (let i = 0; i < n; i++) if (host!.bpf(2, address, 32) !== 0) throw new Error("update failed");
  };
  rounds(20_000);
  const before = process.memoryUsage().heapUsed;
  rounds(2000);
  // An object a call would be 100,000 bytes; numbers that V8 boxes are 16 each.
  expect(process.memoryUsage().heapUsed - before).toBeLessThan(100_000);
  host!.close(map_fd);
});
