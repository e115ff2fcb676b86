/** Packets of XDP programs: see `packet_code.ts`. */
import { XDP_HEADROOM } from "../helpers/xdp.ts";
import { RUN_CTX, RUN_DATA, RUN_DATA_END, RUN_META, RUN_PACKET, RUN_PACKET_MOVED } from "../kern/run_record.ts";
import { xdp_md } from "../uapi/index.ts";
import { const32, local32, when } from "../wasm/expr.ts";
import { emitPutBack, type PacketKind, type Region } from "./packet_code.ts";

export const xdpCode: PacketKind = ({ mem }, run, code) => {
  const record = const32(code, run);
  const ctx = mem.u32[(run + RUN_CTX) >>> 2]!;
  const room = mem.u32[(run + RUN_PACKET) >>> 2]!;
  const place = room + XDP_HEADROOM;
  const once: readonly Region[] = [
    [ctx, xdp_md.size],
    [room, XDP_HEADROOM],
  ];
  return {
    place,
    once,
    refuse: () => undefined,
    renew: () => {
      when(record.load(RUN_PACKET_MOVED), () => {
        // It may have written in front of its packet.
        for (const region of once) emitPutBack(mem, code, region);
        for (const field of [RUN_META, RUN_DATA]) record.store(field, place);
        record.store(RUN_PACKET_MOVED, 0);
      });
    },
    open: (length) => {
      const end = local32(code, length.add(place));
      record.store(RUN_DATA_END, end);
      const32(code, ctx).store(xdp_md.fields.data_end.offset, end);
    },
    close: () => undefined,
    after: () => {
      const from = local32(code, record.load(RUN_META));
      return { from, length: local32(code, record.load(RUN_DATA_END).sub(from)) };
    },
  };
};
