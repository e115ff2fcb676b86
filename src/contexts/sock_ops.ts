/** Programs that are asked about, and told of, what a TCP connection does. */

import { bpf_sock_ops } from "../uapi/index.ts";
import { accessTable, front, stores, tableAllows, whole } from "./fields.ts";
import { sockOpsHelpers } from "./helper_groups.ts";
import type { ContextFamily } from "./table.ts";

const { fields, size: SIZE } = bpf_sock_ops;
const WORDS_END: number = fields.bytes_received.offset;

const table: Uint8Array = accessTable(SIZE, [
  whole({ offset: 0, size: WORDS_END }, 4),
  stores(fields.reply),
  stores(fields.sk_txhash),
  whole(fields.bytes_received),
  whole(fields.bytes_acked),
  whole(fields.sk),
  whole(fields.skb_data),
  whole(fields.skb_data_end),
  whole(fields.skb_len),
  front(fields.skb_tcp_flags),
  whole(fields.skb_hwtstamp),
]);

export const sockOpsContext: ContextFamily = {
  size: SIZE,
  whole: true,
  access: (offset, size, write) => tableAllows(table, offset, size, write),
  helpers: sockOpsHelpers,
  packetLoads: false,
  sleepable: false,
  kernelPointers: true,
  pointers: { sock: fields.sk.offset, data: [fields.skb_data.offset, fields.skb_data_end.offset] },
};
