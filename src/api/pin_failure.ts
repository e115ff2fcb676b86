/** What is wrong with a path in bpffs: which part of it, and what to do. */
import type { Host } from "../host/host.ts";
import { BPF_OBJ_GET, EACCES, EEXIST, EISDIR, ENAMETOOLONG, ENOENT, ENOTDIR, EPERM } from "../uapi/index.ts";
import { BpfError, type ErrorMap } from "./error.ts";

/** Where bpffs is by convention, and on the embedded host always. */
export const BPFFS_DIR = "/sys/fs/bpf";
const BPFFS_MAGIC = 0xcafe_4a11;
const NAME_MAX = 255;
const PATH_MAX = 4095;

interface Reason {
  readonly what: string;
  readonly hint?: string | undefined;
}

/** A call about a path that failed. */
export interface PinFailure {
  readonly cmd: number | string;
  readonly errno: number;
  readonly path: string;
  /** What was to be done: `cannot pin hash map \`flows\` at /sys/fs/bpf/flows`. */
  readonly what: string;
  readonly map?: ErrorMap;
}

export function pinFailure(host: Host, failure: PinFailure): BpfError {
  const { what: title, path, ...parts } = failure;
  const reason = reasonOf(host, failure);
  const what = reason === undefined ? title : `${title}: ${reason.what}`;
  return new BpfError({ ...parts, what, hint: reason?.hint });
}

function reasonOf(host: Host, { errno, cmd, path }: PinFailure): Reason | undefined {
  switch (Math.abs(errno)) {
    case ENOENT:
    case ENOTDIR:
      return missing(host, path);
    case EEXIST:
      return { what: "the name is taken", hint: `open it with openMap({ pin }), or drop it: host.unpin("${path}")` };
    case EISDIR:
      return { what: "it is a directory", hint: `host.bpffs.rmdir("${path}")` };
    case ENAMETOOLONG:
      return tooLong(path);
    case EPERM:
      return notPermitted(host, path);
    case EACCES:
      return cmd === BPF_OBJ_GET ? noPin(host, path) : undefined;
    default:
      return undefined;
  }
}

function bytesOf(text: string): number {
  return new TextEncoder().encode(text).length;
}

function tooLong(path: string): Reason {
  if (bytesOf(path) > PATH_MAX) return { what: `the path has ${bytesOf(path)} bytes, ${PATH_MAX} are the most` };
  const name = path.split("/").find((each) => bytesOf(each) > NAME_MAX) ?? "";
  return { what: `the name ${name.slice(0, 20)}… has ${bytesOf(name)} bytes, ${NAME_MAX} are the most` };
}

/** The directories on the way to a path, outermost first. */
function parentsOf(path: string): string[] {
  const names = path.split("/").filter((name) => name !== "");
  return names.slice(0, -1).map((_, i) => `/${names.slice(0, i + 1).join("/")}`);
}

function missing(host: Host, path: string): Reason {
  for (const dir of parentsOf(path)) {
    const names = host.bpffs.readdir(dir);
    if (names === -ENOTDIR) return { what: `${dir} is no directory` };
    if (names !== -ENOENT) continue;
    const hint = inBpffs(host, dir) === false ? mountHint(host, dir) : `host.bpffs.mkdir("${dir}")`;
    return { what: `there is no directory ${dir}`, hint };
  }
  return path.endsWith("/") ? { what: "the path ends with a slash" } : { what: "nothing is there" };
}

/** Whether a path, or the nearest directory above it that there is, lies in a bpffs; undefined: nobody tells. */
function inBpffs(host: Host, path: string): boolean | undefined {
  if (host.kind === "embedded") return path === BPFFS_DIR || path.startsWith(`${BPFFS_DIR}/`);
  for (const dir of [path, ...parentsOf(path).reverse(), "/"]) {
    try {
      return process.getBuiltinModule("fs").statfsSync(dir).type === BPFFS_MAGIC;
    } catch {
      // Not there: the one above decides.
    }
  }
  return undefined;
}

function mountHint(host: Host, path: string): string {
  if (host.kind === "embedded") return `bpffs of the embedded host is at ${BPFFS_DIR}`;
  const inConventional = path === BPFFS_DIR || path.startsWith(`${BPFFS_DIR}/`);
  return inConventional
    ? `mount -t bpf bpf ${BPFFS_DIR}`
    : `pins go into a bpffs, by convention at ${BPFFS_DIR} (mount -t bpf bpf ${BPFFS_DIR})`;
}

function notPermitted(host: Host, path: string): Reason | undefined {
  if (inBpffs(host, path) === false) return { what: "that is not in a bpffs", hint: mountHint(host, path) };
  const name = path.split("/").find((each) => each.includes(".") && each !== "." && each !== "..");
  if (name === undefined) return undefined;
  return { what: `names in bpffs have no dot: ${name}`, hint: "`_` is the custom" };
}

function noPin(host: Host, path: string): Reason {
  if (typeof host.bpffs.readdir(path) !== "number") return { what: "it is a directory" };
  if (inBpffs(host, path) === false) return { what: "that is a file, but not in a bpffs", hint: mountHint(host, path) };
  return { what: "its permissions do not allow it", hint: "run as the user who pinned it, or change its mode" };
}
