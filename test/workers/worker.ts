/**
 * Threads beside a test. Workers cannot load TypeScript under Node 20, so they run what `npm run build` made; `npm test`
 * builds first.
 */
import { existsSync } from "node:fs";
import { Worker } from "node:worker_threads";
import { onTestFinished } from "vitest";
import { createEmbeddedHost, type EmbeddedHost, type EmbeddedOptions } from "../../src/host/embedded.ts";

const dist = new URL("../../dist/", import.meta.url);

export interface Started<T> {
  readonly worker: Worker;
  /** The body called `ready()`. */
  readonly ready: Promise<void>;
  /** What the body returned. Of a thread that is killed it never comes. */
  readonly done: Promise<T>;
  /** The thread has ended, however it did, and was cleaned up after. */
  readonly gone: Promise<void>;
}

/** A shared host for the test that runs. */
export function sharedHost(options: EmbeddedOptions = {}): EmbeddedHost {
  const host = createEmbeddedHost({ memory: 64 << 20, cpus: 2, seed: 7, ...options, shared: true });
  onTestFinished(() => host.dispose());
  return host;
}

/**
 * Runs the inside of an async function in a thread of its own. It has `data`, `ready()` and `load(file)`, which imports
 * from `dist/`.
 */
export function startThread<T>(body: string, data: object, atExit: () => void = () => undefined): Started<T> {
  if (!existsSync(dist)) throw new Error("dist/ is missing: run `npm run build` first (`npm test` does)");
  const text = `
    const { parentPort, workerData } = require("node:worker_threads");
    const { dist, data } = workerData;
    const load = (file) => import(new URL(file, dist).href);
    const ready = () => parentPort.postMessage("ready");
    const body = async () => {${body}};
    body().then((result) => parentPort.postMessage({ result }));`;
  const worker = new Worker(text, { eval: true, workerData: { dist: dist.href, data } });
  const gone = new Promise<void>((resolve) => {
    worker.once("exit", () => {
      atExit();
      resolve();
    });
  });
  const ready = new Promise<void>((resolve) => {
    worker.on("message", (message) => message === "ready" && resolve());
  });
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
    const { attachEmbeddedHost } = await load("host/embedded.js");
    const host = attachEmbeddedHost(ticket);
    const work = async () => {${body}};
    const result = await work();
    host.dispose();
    return result;`;
  return startThread(attached, { ...data, ticket }, () => host.reap(ticket));
}
