/** Maps by id: the fd, and the error when there is none. */
import { BPF_F_RDONLY, BPF_F_WRONLY, BPF_MAP_GET_FD_BY_ID, EPERM } from "../uapi/index.ts";
import type { HostContext } from "./context.ts";
import { BpfError } from "./error.ts";
import { permissionHint } from "./permission.ts";
import type { Access } from "./spec.ts";

/** BPF_MAP_GET_FD_BY_ID: an fd or an errno. */
export function fdOfMapId(context: HostContext, id: number, access: Access | undefined): number {
  const open_flags = access === undefined ? 0 : access === "ro" ? BPF_F_RDONLY : BPF_F_WRONLY;
  return context.seam.bpf(BPF_MAP_GET_FD_BY_ID, { map_id: id, open_flags });
}

/** A command about ids that failed. */
export function idFailure(errno: number, cmd: number, what: string): BpfError {
  const hint = errno === -EPERM ? permissionHint("CAP_SYS_ADMIN") : undefined;
  return new BpfError({ errno, cmd, what, hint });
}
