/** Threads beside a test. Workers cannot load TypeScript under Node 20, so they run a bundle that is made once a test file. */
import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { pathToFileURL } from "node:url";
import { Worker } from "node:worker_threads";
import { buildSync } from "esbuild";
import { onTestFinished } from "vitest";
import { createEmbeddedHost, type EmbeddedHost } from "../../src/host/embedded.ts";
import type { EmbeddedOptions } from "../../src/host/embedded_options.ts";

const root = `${import.meta.dirname}/../..`;
/** What `load` of a thread can name. They share their modules, as the files of `dist/` do. */
const entries = ["index", "host/embedded", "kern/create", "mem/alloc", "mem/layout", "mem/locks", "struct/ring"];
const bundles = bundle();

/** Of a few files, since a thread that loads each module of its own takes three times as long to start. */
function bundle(): string {
  // Below node_modules, for koffi to be found.
  mkdirSync(`${root}/node_modules/.cache`, { recursive: true });
  const folder = mkdtempSync(`${root}/node_modules/.cache/bpfmaps-threads-`);
  process.once("exit", () => rmSync(folder, { recursive: true }));
  buildSync({
    entryPoints: entries.map((entry) => `${root}/src/${entry}.ts`),
    outbase: `${root}/src`,
    outdir: folder,
    bundle: true,
    splitting: true,
    platform: "node",
    format: "esm",
    outExtension: { ".js": ".mjs" },
  });
  return pathToFileURL(`${folder}/`).href;
}

export interface Started<T> {
  readonly worker: Worker;
  /** The body called `ready()`. */
  readonly ready: Promise<void>;
  /** What the body returned. Of a thread that is killed it never comes. */
  readonly done: Promise<T>;
  /** The thread has ended, however it did, and was cleaned up after. */
  readonly gone: Promise<void>;
}

/**
 * How often a test does something. `npm test` has time for a short look; a long one is
 * `BPFMAPS_STRESS=20 npx vitest run --testTimeout=600000 test/workers`.
 */
export function times(count: number): number {
  return count * Number(process.env.BPFMAPS_STRESS ?? 1);
}

/** A shared host for the test that runs. */
export function sharedHost(options: EmbeddedOptions = {}): EmbeddedHost {
  const host = createEmbeddedHost({ memory: 64 << 20, cpus: 2, seed: 7, ...options, shared: true });
  onTestFinished(() => host.dispose());
  return host;
}

/**
 * Runs the inside of an async function in a thread of its own. It has `data`, `ready()` and `load(file)`, which imports
 * one of `entries`.
 */
export function startThread<T>(body: string, data: object, atExit: () => void = () => undefined): Started<T> {
  const text = `
    const { parentPort, workerData } = require("node:worker_threads");
    const { bundles, data } = workerData;
    const load = (file) => import(new URL(file + ".mjs", bundles).href);
    const ready = () => parentPort.postMessage("ready");
    const body = async () => {${body}};
    body().then((result) => parentPort.postMessage({ result }));`;
  const worker = new Worker(text, { eval: true, workerData: { bundles, data } });
  const gone = new Promise<void>((resolve) => {
    worker.once("exit", () => {
      atExit();
      resolve();
    });
  });
  const ready = new Promise<void>((resolve, reject) => {
    worker.on("message", (message) => message === "ready" && resolve());
    // A thread that ends before it is ready must not be waited for.
    worker.once("error", reject);
  });
  ready.catch(() => undefined);
  const done = new Promise<T>((resolve, reject) => {
    worker.on("message", (message: "ready" | { readonly result: T }) => message !== "ready" && resolve(message.result));
    worker.once("error", reject);
  });
  return { worker, ready, done, gone };
}

/** The same on a shared host, to which the thread is attached as `host`. */
export function startOn<T>(host: EmbeddedHost, body: string, data: object): Started<T> {
  const ticket = host.share();
  const attached = `
    const { ticket } = data;
    const { attachEmbeddedHost } = await load("host/embedded");
    const host = attachEmbeddedHost(ticket);
    const work = async () => {${body}};
    const result = await work();
    host.dispose();
    return result;`;
  return startThread(attached, { ...data, ticket }, () => host.reap(ticket));
}
