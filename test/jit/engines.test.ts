/**
 * Programs that no verifier has seen, on both engines: the same status, result, packet, context, fault and memory.
 * BPFMAPS_RANDOM_SEED: others. Many more: `npm run conformance -- --unverified`.
 */

import { expect, test } from "vitest";
import { createEmbeddedHost } from "../../src/host/embedded.ts";
import * as asm from "../../src/insn/index.ts";
import * as u from "../../src/uapi/index.ts";
import { SEED } from "../seed.ts";
import { Engines, showTally } from "./engines.ts";

const PROGRAMS = 250;

test.each([false, true])("unverified programs, shared: %s", (shared) => {
  const engines = new Engines(shared);
  for (let index = 0; index < PROGRAMS; index++) {
    const difference = engines.compare(SEED, 2 * index + (shared ? 1 : 0));
    if (difference !== undefined) expect.fail(difference);
  }
  engines.dispose();
  const { tally } = engines;
  console.log(`seed ${SEED}: ${showTally(tally)}`);
  const [most, some] = [tally.count * 0.5, tally.count * 0.03];
  expect(tally.count - tally.refused - tally.interpreted).toBeGreaterThan(most);
  expect(Math.min(tally.exited, tally.faulted)).toBeGreaterThan(some);
});

/** What a verifier would refuse: the program after a tail call adds up registers that it was not given. */
test.each(["jit", "interp"] as const)("a tail call leaves no registers behind, %s", (engine) => {
  const host = createEmbeddedHost({ memory: 4 << 20, engine });
  const map_type = u.BPF_MAP_TYPE_PROG_ARRAY;
  const map_fd = host.bpf(u.BPF_MAP_CREATE, { map_type, key_size: 4, value_size: 4, max_entries: 1 });
  const load = (items: asm.AsmItem[]): number => {
    const insns = asm.encodeInsns(asm.assemble(items));
    const attr = { prog_type: u.BPF_PROG_TYPE_XDP, insn_cnt: insns.length / 8, insns, license: "GPL" };
    return host.bpf(u.BPF_PROG_LOAD, attr);
  };
  const all: readonly asm.Reg[] = [0, 2, 3, 4, 5, 6, 7, 8, 9];
  const target = load([...all.slice(1).map((reg) => asm.alu64("add", 0, reg)), asm.exit()]);
  const set = all.map((reg) => asm.mov64Imm(reg, 1 << reg));
  const prog_fd = load([
    ...set,
    asm.ldMapFd(2, map_fd),
    asm.mov64Imm(3, 0),
    asm.call(12),
    asm.mov64Imm(0, -1),
    asm.exit(),
  ]);
  const value = Uint32Array.of(target);
  expect(host.bpf(u.BPF_MAP_UPDATE_ELEM, { map_fd, key: new Uint8Array(4), value, flags: 0 })).toBe(0);
  const call = { prog_fd, data_in: new Uint8Array(64), data_size_in: 64, retval: -2 };
  expect(host.bpf(u.BPF_PROG_TEST_RUN, call)).toBe(0);
  expect(host.ranBy().engine).toBe(engine);
  expect(call.retval).toBe(0);
  host.dispose();
});
