/** Every command that the embedded host serves, with its handler and the first byte of the attributes that must be zero. */
import type { Kernel } from "../kern/kernel.ts";
import {
  BPF_BTF_GET_FD_BY_ID,
  BPF_BTF_GET_NEXT_ID,
  BPF_BTF_LOAD,
  BPF_MAP_CREATE,
  BPF_MAP_DELETE_ELEM,
  BPF_MAP_FREEZE,
  BPF_MAP_GET_FD_BY_ID,
  BPF_MAP_GET_NEXT_ID,
  BPF_MAP_GET_NEXT_KEY,
  BPF_MAP_LOOKUP_AND_DELETE_ELEM,
  BPF_MAP_LOOKUP_ELEM,
  BPF_MAP_UPDATE_ELEM,
  BPF_OBJ_GET_INFO_BY_FD,
} from "../uapi/index.ts";
import { btfLoad } from "./btf_load.ts";
import { btfGetFdById, btfGetNextId, mapGetFdById, mapGetNextId } from "./ids.ts";
import { objGetInfoByFd } from "./info.ts";
import { mapCreate } from "./map_create.ts";
import { mapDeleteElem, mapGetNextKey, mapLookupAndDeleteElem, mapLookupElem, mapUpdateElem } from "./map_elem.ts";
import { mapFreeze } from "./map_freeze.ts";

export interface Command {
  /** End of the command's last field: CHECK_ATTR refuses anything but zero from here on. */
  readonly end: number;
  /** `size`: how much of the attributes the caller gave; outputs beyond it are left out where the kernel does so. */
  readonly run: (kernel: Kernel, attr: number, uattr: number, size: number) => number;
}

export const commandTable: Readonly<Record<number, Command>> = {
  [BPF_MAP_CREATE]: { end: 92, run: mapCreate },
  [BPF_MAP_LOOKUP_ELEM]: { end: 32, run: mapLookupElem },
  [BPF_MAP_UPDATE_ELEM]: { end: 32, run: mapUpdateElem },
  [BPF_MAP_DELETE_ELEM]: { end: 16, run: mapDeleteElem },
  [BPF_MAP_GET_NEXT_KEY]: { end: 24, run: mapGetNextKey },
  [BPF_MAP_LOOKUP_AND_DELETE_ELEM]: { end: 32, run: mapLookupAndDeleteElem },
  [BPF_MAP_FREEZE]: { end: 4, run: mapFreeze },
  [BPF_MAP_GET_NEXT_ID]: { end: 8, run: mapGetNextId },
  [BPF_MAP_GET_FD_BY_ID]: { end: 12, run: mapGetFdById },
  [BPF_BTF_GET_NEXT_ID]: { end: 8, run: btfGetNextId },
  [BPF_BTF_GET_FD_BY_ID]: { end: 16, run: btfGetFdById },
  [BPF_OBJ_GET_INFO_BY_FD]: { end: 16, run: objGetInfoByFd },
  [BPF_BTF_LOAD]: { end: 40, run: btfLoad },
};
