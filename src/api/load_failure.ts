/** Programs that are refused: the verifier's log, and what of it is worth showing at once. */
import type { AttrObject } from "../host/host.ts";
import { INSN_SIZE } from "../insn/index.ts";
import { BPF_PROG_LOAD, ENOSPC, EPERM } from "../uapi/index.ts";
import type { HostContext } from "./context.ts";
import { BpfError } from "./error.ts";
import { permissionHint } from "./permission.ts";

const LOG_FIRST = 64 * 1024;
/** A verifier's log can grow beyond all measure; this much is kept. */
const LOG_MAX = 16 * 1024 * 1024;
/** r0 = 0, exit */
const simplest: Uint8Array = Uint8Array.of(0xb7, 0, 0, 0, 0, 0, 0, 0, 0x95, 0, 0, 0, 0, 0, 0, 0);

/** Loads again to hear why it was refused. The errno may be another one than before: of the load that has a log. */
export function loadWithLog(context: HostContext, attr: AttrObject): { readonly result: number; readonly log: string } {
  for (let size = LOG_FIRST; ; size *= 4) {
    const buffer = context.alloc(size);
    try {
      const result = context.seam.bpf(BPF_PROG_LOAD, { ...attr, log_level: 1, log_size: size, log_buf: buffer.bytes });
      if (result === -ENOSPC && size < LOG_MAX) continue;
      const end = buffer.bytes.indexOf(0);
      return { result, log: new TextDecoder().decode(buffer.bytes.slice(0, end < 0 ? size : end)) };
    } finally {
      buffer.free();
    }
  }
}

/** Statistics with which the verifier ends its log. */
const STATISTICS = /^(processed \d+ insns|verification time|stack depth|mark_|peak_states)/;

/** The line that says why, the one before it, and how many there are besides. */
export function logSummary(log: string): string[] {
  const lines = log.split("\n").filter((line) => line.trim() !== "" && !STATISTICS.test(line));
  const shown = lines.slice(-2);
  const omitted = lines.length - shown.length;
  return omitted > 0 ? [`(${omitted} lines omitted, see \`log\`)`, ...shown] : shown;
}

/** Whether the embedded host has such programs at all: whether it takes the simplest of them. */
export function hasType({ seam }: HostContext, attr: AttrObject): boolean {
  if (seam.kind !== "embedded") return true;
  const insn_cnt = simplest.length / INSN_SIZE;
  const fd = seam.bpf(BPF_PROG_LOAD, { ...attr, insns: simplest, insn_cnt, license: "GPL" });
  if (fd < 0) return false;
  seam.close(fd);
  return true;
}

export function loadFailure(what: string, errno: number, log: string, summary: readonly string[]): BpfError {
  const hint = errno === -EPERM && log === "" ? permissionHint("CAP_BPF") : undefined;
  return new BpfError({ errno, cmd: BPF_PROG_LOAD, what, hint, ...(log === "" ? {} : { log, summary }) });
}
