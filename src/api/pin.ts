/** Pins: names in bpffs for maps and programs, and maps that are opened by their pin or made and pinned. */
import { InputError } from "../errors.ts";
import {
  BPF_F_RDONLY,
  BPF_F_WRONLY,
  BPF_MAP_UPDATE_ELEM,
  BPF_OBJ_GET,
  BPF_OBJ_GET_INFO_BY_FD,
  BPF_OBJ_PIN,
  EBADF,
  EEXIST,
  EINVAL,
  ENOENT,
} from "../uapi/index.ts";
import type { HostContext } from "./context.ts";
import { diffMap, type SpecDifference, showDifferences, type WantedMap } from "./diff_spec.ts";
import { BpfError, type BpfErrorParts, type ErrorMap } from "./error.ts";
import { type MapInfo, readMapInfo } from "./info.ts";
import { mapTitle } from "./map_failure.ts";
import { BPFFS_DIR, pinFailure } from "./pin_failure.ts";
import type { Access } from "./spec.ts";

/**
 * What is to become of a pinned map that does not fit. `error`: an `IncompatibleMapError`. `replace`: a new map gets the
 * name in one step; the old one's contents are not copied, and it ends with its last fd and program. `use`: the map is
 * taken as it is, as long as its type and the sizes of key and value allow it.
 */
export type IncompatibleAction = "error" | "replace" | "use";

/** Where a map is pinned, and what to do with the one that is there already. */
export interface PinOptions {
  /** An absolute path; or `by-name`: the map's name in /sys/fs/bpf, each `.` as `_`. Directories are not made. */
  readonly path: string;
  /** Default `error`. A function is given the differences, and the map that is there. */
  readonly onIncompatible?:
    | IncompatibleAction
    | ((differences: readonly SpecDifference[], existing: MapInfo) => IncompatibleAction);
}

/** What is pinned is not what was asked for: `differences` tells in what. `code` is EINVAL. */
export class IncompatibleMapError extends BpfError {
  override readonly name: string = "IncompatibleMapError";
  readonly path: string;
  readonly differences: readonly SpecDifference[];

  constructor(parts: BpfErrorParts & { readonly path: string; readonly differences: readonly SpecDifference[] }) {
    super(parts);
    this.path = parts.path;
    this.differences = parts.differences;
  }
}

/** Others may pin and unpin at the same moment; this often we start again. */
const TRIES = 8;

/** An absolute path: there is no telling where relative ones would lead on the embedded host. */
function absolute(path: string): string {
  if (typeof path === "string" && path.startsWith("/")) return path;
  throw new InputError(`pin path ${JSON.stringify(path)}: expected an absolute path, such as ${BPFFS_DIR}/flows`);
}

/** The path that `by-name` stands for, in a directory. libbpf makes the same of a map's name. */
export function pathByName(dir: string, name: string): string {
  if (name === "") throw new InputError("pin: by-name needs a map with a name");
  return `${dir.replace(/\/+$/, "")}/${name.replaceAll(".", "_")}`;
}

export function pinPath(path: string, name: string): string {
  return path === "by-name" ? pathByName(BPFFS_DIR, name) : absolute(path);
}

/** BPF_OBJ_PIN: the errno, or 0. */
function pinFd(context: HostContext, fd: number, path: string): number {
  return context.seam.bpf(BPF_OBJ_PIN, { pathname: path, bpf_fd: fd });
}

/** Pins an fd, or throws. `title` says what it is. */
export function pin(context: HostContext, fd: number, path: string, title: string, map?: ErrorMap): void {
  const errno = pinFd(context, fd, absolute(path));
  if (errno < 0) throw pinError(context, errno, path, title, map);
}

function pinError(context: HostContext, errno: number, path: string, title: string, map?: ErrorMap): BpfError {
  const what = `cannot pin ${title} at ${path}`;
  return pinFailure(context.seam, { cmd: BPF_OBJ_PIN, errno, path, what, ...(map === undefined ? {} : { map }) });
}

/** Drops a pin, or throws. */
export function unpin(context: HostContext, path: string): void {
  const errno = context.seam.bpffs.unlink(absolute(path));
  if (errno < 0) throw pinFailure(context.seam, { cmd: "unlink", errno, path, what: `cannot unpin ${path}` });
}

/** BPF_OBJ_GET: a new fd, or the errno. */
function getFd(context: HostContext, path: string, access: Access | undefined): number {
  const file_flags = access === undefined ? 0 : access === "ro" ? BPF_F_RDONLY : BPF_F_WRONLY;
  return context.seam.bpf(BPF_OBJ_GET, { pathname: path, file_flags });
}

/** A new fd of what is pinned. */
export function openPinned(context: HostContext, path: string, access?: Access): number {
  const fd = getFd(context, absolute(path), access);
  if (fd < 0) throw openError(context, fd, path);
  return fd;
}

function openError(context: HostContext, errno: number, path: string): BpfError {
  return pinFailure(context.seam, { cmd: BPF_OBJ_GET, errno, path, what: `cannot open what is pinned at ${path}` });
}

/**
 * What an fd is. What OBJ_GET_INFO_BY_FD says of programs can be taken for a map; an update without key and value never
 * does anything, and is EINVAL for what is no map alone.
 */
export function fdKind(context: HostContext, fd: number): "map" | "other" | "none" {
  const result = context.seam.bpf(BPF_MAP_UPDATE_ELEM, { map_fd: fd, key: null, value: null, flags: 0 });
  if (result === -EBADF) return "none";
  return result === -EINVAL ? "other" : "map";
}

/** A pinned map, or the one that was made for the pin. */
export interface PinnedMap {
  readonly fd: number;
  readonly info: MapInfo;
  /** It was there. */
  readonly reused: boolean;
}

/** A map that is to be there under a name. */
export interface PinRequest {
  readonly path: string;
  readonly wanted: WantedMap;
  /** What the fd is to allow. */
  readonly access?: Access | undefined;
  readonly onIncompatible?: PinOptions["onIncompatible"];
  /** For errors: `hash map \`flows\``. */
  readonly title: string;
  /** Makes the map; the fd is the caller's. */
  readonly create: () => number;
}

/** Opens the map that is pinned, when it fits; otherwise makes and pins it. */
export function openOrPin(context: HostContext, request: PinRequest): PinnedMap {
  for (let tries = 0; ; tries++) {
    const found = openFitting(context, request);
    if (found !== undefined) return found;
    const made = makeAndPin(context, request, (fd) => pinFd(context, fd, request.path));
    if (typeof made !== "number") return made;
    // Somebody else pinned one meanwhile: that one is looked at. Whoever unpins as often keeps us from it.
    if (made !== -EEXIST || tries === TRIES) throw pinError(context, made, request.path, request.title);
  }
}

/** The pinned map, or the one that replaced it. Undefined: nothing is pinned there. */
function openFitting(context: HostContext, request: PinRequest): PinnedMap | undefined {
  const { path, wanted, access, onIncompatible = "error" } = request;
  const { seam } = context;
  const fd = getFd(context, path, access);
  if (fd === -ENOENT) return undefined;
  if (fd < 0) throw openError(context, fd, path);
  let kept = false;
  try {
    const info = infoOf(context, fd, path);
    const differences = diffMap(wanted, info, { btf: context.btf(info.btfId), cpus: seam.possibleCpus });
    const action =
      differences.length === 0
        ? "use"
        : typeof onIncompatible === "function"
          ? onIncompatible(differences, info)
          : onIncompatible;
    if (action === "error") throw incompatible(path, info, differences);
    kept = action === "use";
    return kept ? { fd, info, reused: true } : replace(context, request);
  } finally {
    if (!kept) seam.close(fd);
  }
}

function infoOf(context: HostContext, fd: number, path: string): MapInfo {
  if (fdKind(context, fd) !== "map") {
    throw new BpfError({ errno: EINVAL, cmd: BPF_OBJ_GET, what: `what is pinned at ${path} is no map` });
  }
  const info = readMapInfo(context.seam, fd);
  if (typeof info !== "number") return info;
  throw new BpfError({ errno: info, cmd: BPF_OBJ_GET_INFO_BY_FD, what: `cannot read what is pinned at ${path}` });
}

function incompatible(path: string, info: MapInfo, differences: readonly SpecDifference[]): IncompatibleMapError {
  const { id, name, type, maxEntries } = info;
  return new IncompatibleMapError({
    errno: EINVAL,
    cmd: BPF_OBJ_GET,
    what: `${mapTitle(info)} is pinned at ${path} and is not what was asked for`,
    facts: showDifferences(differences),
    hint: `ask for what is there; or drop it: host.unpin("${path}"); or say what to do: onIncompatible: "replace" | "use"`,
    map: { id, name, type, maxEntries },
    path,
    differences,
  });
}

/** Makes a map and names it; an errno of the naming, with the map gone. */
function makeAndPin(context: HostContext, request: PinRequest, name: (fd: number) => number): PinnedMap | number {
  const { seam } = context;
  const fd = request.create();
  let errno: number;
  let info: MapInfo | number;
  try {
    info = readMapInfo(seam, fd);
    errno = typeof info === "number" ? info : name(fd);
  } catch (error) {
    seam.close(fd);
    throw error;
  }
  if (errno === 0 && typeof info !== "number") return { fd, info, reused: false };
  seam.close(fd);
  return errno;
}

/** A new map takes the name over in one step, so that at no moment there is none. */
function replace(context: HostContext, request: PinRequest): PinnedMap {
  const { path, title } = request;
  const { bpffs } = context.seam;
  const made = makeAndPin(context, request, (fd) => {
    const slash = path.lastIndexOf("/") + 1;
    const random = crypto.getRandomValues(new Uint32Array(2)).join("");
    const temporary = `${path.slice(0, slash)}bpfmaps_new_${random}`;
    const pinned = pinFd(context, fd, temporary);
    if (pinned < 0) return pinned;
    const renamed = bpffs.rename(temporary, path);
    if (renamed < 0) bpffs.unlink(temporary);
    return renamed;
  });
  if (typeof made === "number") throw pinError(context, made, path, title);
  return made;
}
