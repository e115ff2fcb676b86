/** Threads beside a test. Workers cannot load TypeScript under Node 20, so they run a bundle that is made once a process. */
import { pathToFileURL } from "node:url";
import { Script } from "node:vm";
import { Worker } from "node:worker_threads";
import { buildSync } from "esbuild";
import { onTestFinished } from "vitest";
import { createEmbeddedHost, type EmbeddedHost } from "../../src/host/embedded.ts";
import type { EmbeddedOptions } from "../../src/host/embedded_options.ts";

const root = `${import.meta.dirname}/../..`;
/** What `load` of a thread can name. */
const entries = ["index", "host/embedded", "kern/create", "mem/alloc", "mem/layout", "mem/locks", "struct/ring"];
const bundle = bundled();

/**
 * A script whose value is the modules by name, and what V8 has made of it: a thread that compiles it anew, or loads each
 * module of its own, takes several times as long to start.
 */
function bundled(): { readonly text: string; readonly compiled: Uint8Array } {
  const imports = entries.map((entry, i) => `import * as m${i} from "./src/${entry}.ts";`).join("\n");
  const names = entries.map((entry, i) => `${JSON.stringify(entry)}: m${i}`).join();
  const { outputFiles } = buildSync({
    stdin: { contents: `${imports}\nexport const modules = { ${names} };`, resolveDir: root },
    bundle: true,
    write: false,
    format: "cjs",
    banner: { js: "(() => {\nconst module = {};" },
    footer: { js: "return module.exports.modules;\n})()" },
    // Where koffi is looked for.
    define: { "import.meta.url": JSON.stringify(pathToFileURL(`${root}/bundle.js`).href) },
  });
  const { text } = outputFiles[0]!;
  const script = new Script(text);
  // Functions that have run are compiled, and are kept.
  script.runInThisContext();
  return { text, compiled: script.createCachedData() };
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
 * Runs the inside of an async function in a thread of its own. It has `data`, `ready()` and `load(file)`, which gives
 * one of `entries`.
 */
export function startThread<T>(body: string, data: object, atExit: () => void = () => undefined): Started<T> {
  const text = `
    const { parentPort, workerData } = require("node:worker_threads");
    const { bundle, data } = workerData;
    let modules;
    const load = (file) => {
      const { Script } = require("node:vm");
      modules ??= new Script(bundle.text, { cachedData: bundle.compiled }).runInThisContext();
      return modules[file];
    };
    const ready = () => parentPort.postMessage("ready");
    const body = async () => {${body}};
    body().then((result) => parentPort.postMessage({ result }));`;
  const worker = new Worker(text, { eval: true, workerData: { bundle, data } });
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
