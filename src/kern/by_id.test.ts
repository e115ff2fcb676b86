/** What clients keep of programs that others destroy. */
import { expect, test } from "vitest";
import { loadProgram } from "../../test/conformance/programs.ts";
import { EmbeddedHost } from "../host/embedded.ts";
import * as asm from "../insn/index.ts";
import { OBJ_ID, OBJ_PROG } from "../mem/layout.ts";
import { BPF_PROG_GET_FD_BY_ID } from "../uapi/index.ts";
import { attachKernel, createKernel } from "./create.ts";

const PROGRAMS = 200;
const LIVING = 5;

test("programs that another client destroyed are kept for a while, those that live for good", () => {
  const first = createKernel({ memory: 8 << 20, cpus: 1, shared: true, seed: 1, virtualClock: true });
  const second = attachKernel(first.mem.wasm, first.announce()!);
  const [maker, user] = [new EmbeddedHost(first), new EmbeddedHost(second)];
  const live: number[] = [];
  for (let i = 0; i < PROGRAMS; i++) {
    const { fd, log } = loadProgram(maker, [asm.mov64Imm(asm.R0, i), asm.exit()]);
    if (fd < 0) throw new Error(log);
    const prog = first.get(fd, OBJ_PROG);
    const id = first.mem.u32[(prog + OBJ_ID) >>> 2]!;
    first.done(prog);
    const theirs = user.bpf(BPF_PROG_GET_FD_BY_ID, { prog_id: id });
    expect(user.compile(theirs)).toMatchObject({ why: undefined });
    user.close(theirs);
    if (i < LIVING) live.push(id);
    else maker.close(fd);
  }
  expect(second.compiled.size).toBeLessThan(PROGRAMS / 2);
  for (const id of live) expect(second.compiled.get(id)).toBeDefined();
  user.dispose();
  maker.dispose();
});
