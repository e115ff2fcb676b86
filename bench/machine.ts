/** The machine that the figures are of, and keeping to one CPU of it. */
import { execFileSync } from "node:child_process";
import { createRequire } from "node:module";
import { availableParallelism, cpus, loadavg, platform, release, totalmem } from "node:os";

/** Facts for the head of a report: what figures are worth depends on them. */
export function machine(): string[] {
  const gib = (totalmem() / 2 ** 30).toFixed(0);
  const [load] = loadavg();
  return [
    `${new Date().toISOString().slice(0, 10)}, ${cpus()[0]?.model.trim() ?? "unknown CPU"}, ${cpus().length} CPUs, ${gib} GiB`,
    `${platform()} ${release()}, Node ${process.version}, C compiler: ${compiler()?.version ?? "none"}`,
    `load when it began: ${load?.toFixed(2)}`,
  ];
}

/** clang or another C compiler, if one is at hand. */
export function compiler(): { readonly command: string; readonly version: string } | undefined {
  for (const command of ["clang", "cc"]) {
    try {
      const text = execFileSync(command, ["--version"], { encoding: "utf8", stdio: ["ignore", "pipe", "ignore"] });
      return { command, version: text.split("\n")[0] ?? command };
    } catch {
      // Not there: the next one may be.
    }
  }
  return undefined;
}

/** Keeps this thread, and processes that it starts, on the last CPU. Returns a line that says what came of it. */
export function keepToOneCpu(): string {
  const cpu = availableParallelism() - 1;
  try {
    const koffi = createRequire(`${process.cwd()}/package.json`)("koffi");
    const set = koffi.load(null).func("int sched_setaffinity(int pid, size_t size, const void *mask)");
    const mask = new Uint8Array(128);
    mask[cpu >> 3] = 1 << (cpu & 7);
    if (set(0, mask.length, mask) === 0) return `all sides on CPU ${cpu}`;
  } catch {
    // No koffi, or no such call: figures are good for less.
  }
  return "not kept to one CPU";
}

/** CLOCK_THREAD_CPUTIME_ID of Linux. */
const THREAD_CPU = 3;

/** CPU time of this thread alone, in nanoseconds, or undefined where it cannot be asked for. */
export function threadClock(): (() => number) | undefined {
  try {
    const koffi = createRequire(`${process.cwd()}/package.json`)("koffi");
    const get = koffi.load(null).func("int clock_gettime(int clock, void *time)");
    const time = new BigInt64Array(2);
    const now = (): number => {
      get(THREAD_CPU, time);
      return Number(time[0]) * 1e9 + Number(time[1]);
    };
    return platform() === "linux" && get(THREAD_CPU, time) === 0 ? now : undefined;
  } catch {
    return undefined;
  }
}
