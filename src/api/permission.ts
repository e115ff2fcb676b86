/** EPERM on the kernel host: what this process may do, and what it lacks. */

const bits: Readonly<Record<string, number>> = { CAP_NET_ADMIN: 12, CAP_SYS_ADMIN: 21, CAP_PERFMON: 38, CAP_BPF: 39 };

/** The effective capabilities, or undefined where /proc does not tell. */
function effective(): bigint | undefined {
  try {
    const status = process.getBuiltinModule("fs").readFileSync("/proc/self/status", "utf8");
    const mask = /^CapEff:\s*([0-9a-f]+)$/m.exec(status)?.[1];
    return mask === undefined ? undefined : BigInt(`0x${mask}`);
  } catch {
    return undefined;
  }
}

/** What to do about EPERM of a call that wants `capability` (or CAP_SYS_ADMIN). */
export function permissionHint(capability: "CAP_BPF" | "CAP_SYS_ADMIN" | "CAP_PERFMON" | "CAP_NET_ADMIN"): string {
  const mask = effective();
  const has = (name: string): boolean => mask !== undefined && ((mask >> BigInt(bits[name]!)) & 1n) === 1n;
  if (mask === undefined) return `it needs ${capability}`;
  if (!has(capability) && !has("CAP_SYS_ADMIN")) return `run as root or with ${capability}, which this process lacks`;
  return "the process has the capability: a container's seccomp profile, an LSM or kernel lockdown refuses bpf(2)";
}
