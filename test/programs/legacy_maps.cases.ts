import { expect } from "vitest";
import { frame, type ProgramCase } from "./cases.ts";

const XDP_ABORTED = 0;
const XDP_DROP = 1;
const XDP_PASS = 2;

/** An IPv4 packet from this address. */
function from(...address: number[]): Uint8Array {
  const packet = frame(60);
  packet.set([0x08, 0x00, 0x45], 12);
  packet.set(address, 26);
  return packet;
}

export const cases: readonly ProgramCase[] = [
  {
    name: "blocked networks are dropped, others are counted by the next stage",
    program: "filter",
    kernel: "run",
    before: ({ object }) => {
      const blocked = object.map("blocked");
      const stages = object.map("stages");
      if (blocked.type !== "lpm_trie" || stages.type !== "prog_array") throw new Error("types of maps");
      // Annotated with its types.
      expect(blocked.get({ prefixLen: 8, data: Uint8Array.of(10, 0, 0, 0) })).toBeUndefined();
      blocked.set({ prefixLen: 8, data: Uint8Array.of(10, 0, 0, 0) }, XDP_DROP);
      blocked.set({ prefixLen: 32, data: Uint8Array.of(10, 0, 0, 7) }, XDP_PASS);
      stages.set(1, object.program("count"));
    },
    runs: [{ data: from(10, 1, 2, 3) }, { data: from(10, 0, 0, 7) }, { data: from(192, 0, 2, 1) }, { data: frame(20) }],
    expect: { retval: [XDP_DROP, XDP_PASS, XDP_PASS, XDP_PASS], maps: { passed: [1n] } },
  },
  {
    name: "without its next stage",
    program: "filter",
    kernel: "run",
    runs: [{ data: from(192, 0, 2, 1) }],
    expect: { retval: XDP_ABORTED, maps: { passed: [0n] } },
  },
];
