/** Every command that the embedded host serves, with its handler. What its attributes are stands in `uapi/commands.ts`. */
import type { Kernel } from "../kern/kernel.ts";
import { bpfCommands } from "../uapi/commands.ts";
import {
  BPF_BTF_GET_FD_BY_ID,
  BPF_BTF_GET_NEXT_ID,
  BPF_BTF_LOAD,
  BPF_LINK_CREATE,
  BPF_LINK_DETACH,
  BPF_LINK_GET_FD_BY_ID,
  BPF_LINK_GET_NEXT_ID,
  BPF_MAP_CREATE,
  BPF_MAP_DELETE_BATCH,
  BPF_MAP_DELETE_ELEM,
  BPF_MAP_FREEZE,
  BPF_MAP_GET_FD_BY_ID,
  BPF_MAP_GET_NEXT_ID,
  BPF_MAP_GET_NEXT_KEY,
  BPF_MAP_LOOKUP_AND_DELETE_BATCH,
  BPF_MAP_LOOKUP_AND_DELETE_ELEM,
  BPF_MAP_LOOKUP_BATCH,
  BPF_MAP_LOOKUP_ELEM,
  BPF_MAP_UPDATE_BATCH,
  BPF_MAP_UPDATE_ELEM,
  BPF_OBJ_GET,
  BPF_OBJ_GET_INFO_BY_FD,
  BPF_OBJ_PIN,
  BPF_PROG_GET_FD_BY_ID,
  BPF_PROG_GET_NEXT_ID,
  BPF_PROG_LOAD,
  BPF_PROG_STREAM_READ_BY_FD,
  BPF_PROG_TEST_RUN,
  BPF_RAW_TRACEPOINT_OPEN,
} from "../uapi/index.ts";
import { btfLoad } from "./btf_load.ts";
import {
  btfGetFdById,
  btfGetNextId,
  linkGetFdById,
  linkGetNextId,
  mapGetFdById,
  mapGetNextId,
  progGetFdById,
  progGetNextId,
} from "./ids.ts";
import { objGetInfoByFd } from "./info.ts";
import { linkCreate, linkDetach, rawTracepointOpen } from "./link.ts";
import { mapDeleteBatch, mapLookupAndDeleteBatch, mapLookupBatch, mapUpdateBatch } from "./map_batch.ts";
import { mapCreate } from "./map_create.ts";
import { mapDeleteElem, mapGetNextKey, mapLookupAndDeleteElem, mapLookupElem, mapUpdateElem } from "./map_elem.ts";
import { mapFreeze } from "./map_freeze.ts";
import { objGet, objPin } from "./obj_pin.ts";
import { progLoad } from "./prog_load.ts";
import { progStreamRead } from "./prog_stream.ts";
import { progTestRun } from "./prog_test_run.ts";

/** `size`: how much of the attributes the caller gave; outputs beyond it are left out where the kernel does so. */
type Handler = (kernel: Kernel, attr: number, uattr: number, size: number) => number;

const handlers: Readonly<Record<number, Handler>> = {
  [BPF_MAP_CREATE]: mapCreate,
  [BPF_MAP_LOOKUP_ELEM]: mapLookupElem,
  [BPF_MAP_UPDATE_ELEM]: mapUpdateElem,
  [BPF_MAP_DELETE_ELEM]: mapDeleteElem,
  [BPF_MAP_GET_NEXT_KEY]: mapGetNextKey,
  [BPF_MAP_LOOKUP_AND_DELETE_ELEM]: mapLookupAndDeleteElem,
  [BPF_MAP_FREEZE]: mapFreeze,
  [BPF_MAP_LOOKUP_BATCH]: mapLookupBatch,
  [BPF_MAP_LOOKUP_AND_DELETE_BATCH]: mapLookupAndDeleteBatch,
  [BPF_MAP_UPDATE_BATCH]: mapUpdateBatch,
  [BPF_MAP_DELETE_BATCH]: mapDeleteBatch,
  [BPF_MAP_GET_NEXT_ID]: mapGetNextId,
  [BPF_MAP_GET_FD_BY_ID]: mapGetFdById,
  [BPF_BTF_GET_NEXT_ID]: btfGetNextId,
  [BPF_BTF_GET_FD_BY_ID]: btfGetFdById,
  [BPF_OBJ_PIN]: objPin,
  [BPF_OBJ_GET]: objGet,
  [BPF_OBJ_GET_INFO_BY_FD]: objGetInfoByFd,
  [BPF_BTF_LOAD]: btfLoad,
  [BPF_PROG_LOAD]: progLoad,
  [BPF_PROG_TEST_RUN]: progTestRun,
  [BPF_PROG_GET_NEXT_ID]: progGetNextId,
  [BPF_PROG_GET_FD_BY_ID]: progGetFdById,
  [BPF_PROG_STREAM_READ_BY_FD]: progStreamRead,
  [BPF_RAW_TRACEPOINT_OPEN]: rawTracepointOpen,
  [BPF_LINK_CREATE]: linkCreate,
  [BPF_LINK_DETACH]: linkDetach,
  [BPF_LINK_GET_NEXT_ID]: linkGetNextId,
  [BPF_LINK_GET_FD_BY_ID]: linkGetFdById,
};

export interface Command {
  /** End of the command's last field: CHECK_ATTR refuses anything but zero from here on. */
  readonly end: number;
  readonly run: Handler;
}

/** Dense by number: every call looks here. */
export const commandTable: readonly (Command | undefined)[] = Array.from(
  { length: 1 + Math.max(...Object.keys(handlers).map(Number)) },
  (_, cmd) => {
    const run = handlers[cmd];
    return run && { end: bpfCommands[cmd]!.end, run };
  },
);
