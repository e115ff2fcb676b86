import { expect, test } from "vitest";
import { Bug } from "../errors.ts";
import { encodeInsns, exit, mov64Imm, R0 } from "../insn/index.ts";
import { createKernel } from "../kern/create.ts";
import { allocProg, PROG_INSNS, PROG_TYPE } from "../kern/prog.ts";
import { alloc, POOL_USER } from "../mem/alloc.ts";
import { OBJ_REFS } from "../mem/layout.ts";
import * as u from "../uapi/index.ts";
import { progTestRun } from "./prog_test_run.ts";

test.each([false, true])("a bug that throws inside a run leaves CPU and program free, shared %s", (shared) => {
  const k = createKernel({ memory: 16 << 20, cpus: 2, shared, seed: 1, virtualClock: true });
  const { u8, u32 } = k.mem;
  const prog = allocProg(k.mem, 2);
  u8.set(encodeInsns([mov64Imm(R0, 2), exit()]), u32[(prog + PROG_INSNS) >>> 2]!);
  u32[(prog + PROG_TYPE) >>> 2] = u.BPF_PROG_TYPE_XDP;
  const attr = alloc(k.mem, 4096, POOL_USER);
  const { test: fields } = u.bpf_attr;
  u32[(attr + fields.prog_fd.offset) >>> 2] = k.publish(prog, 0);
  u32[(attr + fields.data_in.offset) >>> 2] = attr + 1024;
  u32[(attr + fields.data_size_in.offset) >>> 2] = 64;
  const { stopwatch } = k;
  k.stopwatch = () => {
    throw new Bug("no time");
  };
  for (let i = 0; i < 6; i++) expect(() => progTestRun(k, attr, attr)).toThrow("no time");
  expect([k.run, u32[(prog + OBJ_REFS) >>> 2]]).toEqual([0, 1]);
  k.stopwatch = stopwatch;
  expect(progTestRun(k, attr, attr)).toBe(0);
});
