/** Packets of XDP programs: see `packet_code.ts`. */
import { XDP_HEADROOM } from "../helpers/xdp.ts";
import { RUN_CTX, RUN_DATA, RUN_DATA_END, RUN_META, RUN_PACKET, RUN_PACKET_MOVED } from "../kern/run_record.ts";
import { xdp_md } from "../uapi/index.ts";
import { const32, local32, when } from "../wasm/expr.ts";
import type { PacketKind } from "./packet_code.ts";

const { data, data_end, data_meta } = xdp_md.fields;
const WORD = 8;

export const xdpCode: PacketKind = ({ mem }, run, code) => {
  const record = const32(code, run);
  const ctx = mem.u32[(run + RUN_CTX) >>> 2]!;
  const room = mem.u32[(run + RUN_PACKET) >>> 2]!;
  const place = room + XDP_HEADROOM;
  return {
    place,
    once: [
      [ctx, xdp_md.size],
      [room, XDP_HEADROOM],
    ],
    refuse: () => undefined,
    renew: () => {
      when(record.load(RUN_PACKET_MOVED), () => {
        // It may have written in front of its packet.
        for (let word = room; word < place; word += WORD) const32(code, word).store64(0, 0);
        for (const field of [RUN_META, RUN_DATA]) record.store(field, place);
        for (const { offset } of [data, data_meta]) const32(code, ctx).store(offset, place);
        record.store(RUN_PACKET_MOVED, 0);
      });
    },
    open: (length) => {
      const end = local32(code, length.add(place));
      record.store(RUN_DATA_END, end);
      const32(code, ctx).store(data_end.offset, end);
    },
    close: () => undefined,
    after: () => {
      const from = local32(code, record.load(RUN_META));
      return { from, length: local32(code, record.load(RUN_DATA_END).sub(from)) };
    },
  };
};
