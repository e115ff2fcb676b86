/** What the running kernel shows of itself in files: version, configuration, symbols. */
import type { KernelFacts } from "./host.ts";

const SYMBOLS = "/proc/kallsyms";
/** A line of /proc/kallsyms: address, kind, name, and for modules a tab and the module. */
const SYMBOL = /^([0-9a-f]+) \S (\S+)/;
/** What the last part of a version is cut to in the code, whose last byte it is. */
const SUBLEVEL_MAX = 255;

export function kernelFacts(): KernelFacts {
  return { version: versionCode(process.getBuiltinModule("os").release()), config, symbols };
}

/** `6.18.44-1-amd64` → LINUX_VERSION_CODE. */
export function versionCode(release: string): number {
  const [, major = 0, minor = 0, sublevel = 0] = /^(\d+)\.(\d+)(?:\.(\d+))?/.exec(release)?.map(Number) ?? [];
  return (major << 16) | (minor << 8) | Math.min(sublevel || 0, SUBLEVEL_MAX);
}

function config(): string | undefined {
  const { release } = process.getBuiltinModule("os");
  const boot = read(`/boot/config-${release()}`);
  if (boot !== undefined) return boot.toString("latin1");
  const packed = read("/proc/config.gz");
  return packed === undefined ? undefined : process.getBuiltinModule("zlib").gunzipSync(packed).toString("latin1");
}

/** Nothing where the kernel hides addresses: they read as zero there. */
function symbols(names: ReadonlySet<string>): ReadonlyMap<string, readonly bigint[]> {
  const found = new Map<string, bigint[]>();
  for (const line of read(SYMBOLS)?.toString("latin1").split("\n") ?? []) {
    const [, address, name] = SYMBOL.exec(line) ?? [];
    if (address === undefined || name === undefined || !names.has(name)) continue;
    const value = BigInt(`0x${address}`);
    const known = found.get(name) ?? [];
    if (value !== 0n && !known.includes(value)) found.set(name, [...known, value]);
  }
  return found;
}

function read(path: string): Buffer | undefined {
  try {
    return process.getBuiltinModule("fs").readFileSync(path);
  } catch {
    return undefined;
  }
}
