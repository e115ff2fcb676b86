/** Maps by id, by pin, by fd, and by spec: how `createMap` and `openMap` come to an fd and its object. */
import { BPF_MAP_GET_FD_BY_ID, BPF_OBJ_GET, BPF_OBJ_GET_INFO_BY_FD, EBADF, EINVAL, ENOENT } from "../uapi/index.ts";
import { type AnyMap, type GivenCodecs, type MapFd, noTypes, requireType, wrapMap } from "./any_map.ts";
import type { HostContext } from "./context.ts";
import { createFromSpec } from "./create_map.ts";
import { wantedOf } from "./diff_spec.ts";
import { BpfError } from "./error.ts";
import { fdOfMapId, idFailure } from "./fd_of_id.ts";
import { type MapInfo, readMapInfo } from "./info.ts";
import { fdKind, openOrPin, openPinned, pinPath } from "./pin.ts";
import type { Access, MapShape, MapSpec } from "./spec.ts";

/** Which map to open. */
export type MapRef =
  /** By its id. Needs CAP_SYS_ADMIN on the kernel host. Since Linux 4.13. */
  | { readonly id: number; readonly access?: Access }
  /** By the absolute path that it is pinned at. Since Linux 4.4. */
  | { readonly pin: string; readonly access?: Access }
  /** By an fd that is open. It stays the caller's, unless `own` is true: then closing the map closes it. */
  | { readonly fd: number; readonly own?: boolean };

export function createMap(context: HostContext, spec: MapSpec): AnyMap {
  const given: GivenCodecs & { readonly access?: Access } = spec;
  const { access = "rw" } = given;
  if (spec.pin === undefined) {
    const fd = createFromSpec(context, spec);
    return wrapMap(context, { fd, owned: true, info: infoOfNew(context, fd), access, types: noTypes }, given);
  }
  const { path, onIncompatible } = typeof spec.pin === "string" ? { path: spec.pin } : spec.pin;
  const { fd, info, reused } = openOrPin(context, {
    path: pinPath(path, spec.name ?? ""),
    wanted: wantedOf(spec),
    access: given.access,
    onIncompatible,
    title: `${spec.type} map${spec.name === undefined ? "" : ` \`${spec.name}\``}`,
    create: () => createFromSpec(context, spec),
  });
  return wrapAs(context, { fd, owned: true, info, access, ...(reused ? {} : { types: noTypes }) }, spec, given);
}

function infoOfNew(context: HostContext, fd: number): MapInfo {
  const info = readMapInfo(context.seam, fd);
  if (typeof info !== "number") return info;
  context.seam.close(fd);
  throw new BpfError({ errno: info, cmd: BPF_OBJ_GET_INFO_BY_FD, what: "cannot read what was created" });
}

/** The object for an fd after a look at its type. An fd that is owned is closed when something does not fit. */
function wrapAs(
  context: HostContext,
  map: MapFd,
  shape: { readonly type: string } | undefined,
  given: GivenCodecs,
): AnyMap {
  try {
    requireType(map.info, shape);
  } catch (error) {
    if (map.owned) context.seam.close(map.fd);
    throw error;
  }
  return wrapMap(context, map, given);
}

export function openMap(context: HostContext, ref: MapRef, shape: MapShape | undefined): AnyMap {
  const { seam } = context;
  const { fd, access } = fdOf(context, ref);
  // By id and by pin it is a new fd.
  const isNew = !("fd" in ref);
  const kind = "id" in ref ? "map" : fdKind(context, fd);
  const info = kind === "map" ? readMapInfo(seam, fd) : kind === "none" ? -EBADF : -EINVAL;
  if (typeof info === "number") {
    if (isNew) seam.close(fd);
    throw notAMap(ref, kind, info);
  }
  return wrapAs(context, { fd, owned: isNew || ref.own === true, info, access }, shape, shape ?? {});
}

function fdOf(context: HostContext, ref: MapRef): { readonly fd: number; readonly access: Access | "rw" | undefined } {
  if ("fd" in ref) return { fd: ref.fd, access: undefined };
  const fd = "id" in ref ? fdOfId(context, ref.id, ref.access) : openPinned(context, ref.pin, ref.access);
  return { fd, access: ref.access ?? "rw" };
}

function notAMap(ref: MapRef, kind: "map" | "other" | "none", errno: number): BpfError {
  const it = "fd" in ref ? `fd ${ref.fd}` : "id" in ref ? `map ${ref.id}` : `what is pinned at ${ref.pin}`;
  if (kind === "map") return new BpfError({ errno, cmd: BPF_OBJ_GET_INFO_BY_FD, what: `cannot read what ${it} is` });
  const cmd = "pin" in ref ? BPF_OBJ_GET : "openMap";
  return new BpfError({ errno, cmd, what: kind === "none" ? `${it} is not open` : `${it} is no map` });
}

function fdOfId(context: HostContext, id: number, access: Access | undefined): number {
  const fd = fdOfMapId(context, id, access);
  if (fd >= 0) return fd;
  if (fd === -ENOENT) {
    throw new BpfError({ errno: fd, cmd: BPF_MAP_GET_FD_BY_ID, what: `there is no map with id ${id}` });
  }
  throw idFailure(fd, BPF_MAP_GET_FD_BY_ID, `cannot open map ${id}`);
}
