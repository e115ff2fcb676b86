/** `openKernel`: the typed API over bpf(2) of this machine. */
import { HostUnavailable, type HostUnavailableReason } from "../host/host.ts";
import { openKernelHost } from "../host/kernel.ts";
import { ENOSYS, EPERM } from "../uapi/index.ts";
import { BpfHost } from "./bpf_host.ts";
import { BpfError } from "./error.ts";

const errnos: Readonly<Record<HostUnavailableReason, number>> = {
  "not-linux": ENOSYS,
  "no-koffi": ENOSYS,
  "no-bpf": ENOSYS,
  "no-permission": EPERM,
};

/**
 * bpf(2) of the machine's Linux. Needs the package koffi, and CAP_BPF for most calls. Where that is not to be had:
 * `BpfError` ENOSYS or EPERM that says which it is and what to do; its `cause` is a `HostUnavailable` with the `reason`.
 */
export function openKernel(): BpfHost {
  try {
    return new BpfHost(openKernelHost());
  } catch (cause) {
    if (!(cause instanceof HostUnavailable)) throw cause;
    throw new BpfError({ errno: errnos[cause.reason], cmd: "openKernel", what: cause.message, cause });
  }
}
