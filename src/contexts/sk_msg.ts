/** Programs that see what is sent through a socket, and decide where it goes. */

import { sk_msg_md } from "../uapi/index.ts";
import { accessTable, tableAllows, whole } from "./fields.ts";
import { skMsgHelpers } from "./helper_groups.ts";
import type { ContextFamily } from "./table.ts";

const { fields, size: SIZE } = sk_msg_md;
const { data, data_end, family, sk } = fields;

const table: Uint8Array = accessTable(SIZE, [
  whole(data),
  whole(data_end),
  whole({ offset: family.offset, size: sk.offset - family.offset }, 4),
  whole(sk),
]);

export const skMsgContext: ContextFamily = {
  size: SIZE,
  whole: true,
  access: (offset, size, write) => tableAllows(table, offset, size, write),
  helpers: skMsgHelpers,
  packetLoads: false,
  sleepable: false,
  kernelPointers: true,
  pointers: { sock: sk.offset, data: [data.offset, data_end.offset], dataWritable: true },
};
