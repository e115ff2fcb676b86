/** Runs the steps of a case in a session and tells the first that did not go as the table says. */
import * as u from "../../src/uapi/index.ts";
import { emptyBpffs } from "../bpffs.ts";
import { constant, errnoOf, flagsOf, fromHex, isErrno, nameOf, toHex } from "./encode.ts";
import { BAD_ADDRESS, type Session } from "./session.ts";
import { type Case, PROT, type Step, type Table } from "./step.ts";
import { call } from "./steps/call.ts";
import { eachFlag, eachName, eachValue } from "./steps/create.ts";
import { fill, keys, member, members, next, pushEach, sameBuffer, take, update } from "./steps/element.ts";
import { fdinfo, info, infoHash } from "./steps/info.ts";
import { get, openDir, pathOf, pin, readDir } from "./steps/pin.ts";
import { shape } from "./steps/shape.ts";
import { compare, resultOf, State } from "./steps/state.ts";

/** What is wrong with the case in this session, or undefined. */
export function runCase(session: Session, table: Table, test: Case): string | undefined {
  const state = new State(session, { ...table.attr, ...test.attr });
  try {
    const inner = test.inner ?? table.inner;
    if (inner !== undefined) state.makePlain("inner", inner);
    if (test.noMap !== true) {
      const map = state.make({});
      if (typeof map === "number") return `MAP_CREATE of the case's map: ${nameOf(map)}`;
      state.keep(map, "map");
    }
    for (const [i, step] of test.steps.entries()) {
      const problem = runStep(state, step);
      if (problem !== undefined) return `step ${i + 1} ${JSON.stringify(step, bigints)}: ${problem}`;
    }
    return undefined;
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  } finally {
    state.end();
    if (table.bpffs === true) emptyBpffs(session.host, session.bpffs);
  }
}

function bigints(_key: string, value: unknown): unknown {
  return typeof value === "bigint" ? `${value}n` : value;
}

function runStep(state: State, step: Step): string | undefined {
  const { session } = state;
  switch (step[0]) {
    case "create": {
      const made = state.make(step[1]);
      if (typeof made !== "number") state.keep(made, step[3]);
      return compare(resultOf(step[2]), typeof made === "number" ? made : 0);
    }
    case "map":
      return state.makePlain(step[1], step[2]);
    case "prog":
      return state.loadProg(step[1], step[2] ?? {}, step[3] ?? 0);
    case "create flags":
      return eachFlag(state, Number(flagsOf(step[1])), step[2] ?? {});
    case "create each":
      return eachValue(state, step[1], step[2]);
    case "create names":
      return eachName(state, step[1]);
    case "update":
      return update(state, state.key(step[1]), step[2], flagsOf(step[3]), step[4]);
    case "lookup":
      return compare(state.expectedValue(step[2]), session.lookup(state.map, state.key(step[1])));
    case "delete":
      return compare(resultOf(step[2]), session.delete(state.map, state.key(step[1])));
    case "take":
      return take(state, state.key(step[1]), step[2]);
    case "next":
      return next(state, step[1], step[2]);
    case "keys":
      return keys(state, step[1]);
    case "fill":
      return fill(state, step[1], step[2], step[3]);
    case "push":
      return update(state, 0, step[1], flagsOf(step[3] ?? 0), step[2]);
    case "push!":
      return update(state, 0, step[1], u.BPF_EXIST, step[2]);
    case "pop":
      return take(state, 0, step[1]);
    case "peek":
      return compare(state.expectedValue(step[1]), session.lookup(state.map, 0));
    case "member":
      return member(state, step[1], step[2]);
    case "push each":
      return pushEach(state, step[1], step[2], step[3]);
    case "members":
      return members(state, step[1], step[2], step[3]);
    case "freeze":
      return compare(resultOf(step[1]), session.call(u.BPF_MAP_FREEZE, { map_fd: state.map.fd }));
    case "info":
      return info(state, step[1]);
    case "fdinfo":
      return fdinfo(state, step[1], step[2] ?? {});
    case "open":
      return state.open(step[1], flagsOf(step[2]), step[3]);
    case "use":
      state.use(step[1]);
      return undefined;
    case "close":
      return state.close(step[1], step[2]);
    case "btf":
      return state.loadBtf(step[1]);
    case "shape":
      return shape(state, step[1], step[2], step[3] ?? {});
    case "call":
    case "object":
    case "raw":
      return call(state, step[0], step[1], step[2], step[3], step[4] ?? {});
    case "at": {
      const cmd = typeof step[1] === "number" ? step[1] : constant(step[1]);
      session.calls++;
      return compare(resultOf(step[4]), session.host.bpf(cmd, step[2] === "BAD" ? BAD_ADDRESS : step[2], step[3]));
    }
    case "same buffer":
      return sameBuffer(state, step[1], fromHex(step[2]), step[3], step[4]);
    case "info length": {
      const found = session.info(state.map, step[1]);
      const expected = isErrno(step[2]) ? errnoOf(step[2]) : step[2];
      return compare(expected, typeof found === "number" ? found : found.length);
    }
    case "info hash":
      return infoHash(state, step[1]);
    case "mmap":
      return state.mmap(step[1], step[2], PROT[step[3]], step[4], step[5]);
    case "use mapping":
      state.useMapping(step[1]);
      return undefined;
    case "munmap":
      return state.mapping === undefined
        ? "nothing is mapped"
        : compare(resultOf(step[1]), session.host.munmap(state.mapping));
    case "bytes": {
      const at = state.mapping?.subarray(step[1], step[1] + step[2].length / 2);
      return compare(step[2], at === undefined ? "nothing" : toHex(at));
    }
    case "store":
      state.mapping?.set(fromHex(step[2]), step[1]);
      return undefined;
    case "mapped value": {
      const at = session.host.user.addressOf((state.mapping ?? new Uint8Array()).subarray(step[3]));
      const cmd = step[1] === "update" ? u.BPF_MAP_UPDATE_ELEM : u.BPF_MAP_LOOKUP_ELEM;
      const fields = { map_fd: state.map.fd, key: state.key(step[2]), value: at, flags: 0 };
      return compare(resultOf(step[4]), session.call(cmd, fields));
    }
    case "pin":
      return pin(state, step[1], step[2], step[3]);
    case "get":
      return get(state, step[1], step[2], step[3], step[4]);
    case "mkdir":
    case "rmdir":
    case "unlink":
      session.calls++;
      return compare(resultOf(step[2]), session.host.bpffs[step[0]](pathOf(state, step[1])));
    case "rename":
      session.calls++;
      return compare(resultOf(step[3]), session.host.bpffs.rename(pathOf(state, step[1]), pathOf(state, step[2])));
    case "readdir":
      return readDir(state, step[1], step[2]);
    case "opendir":
      return openDir(state, step[1], step[2], step[3]);
    case "poll": {
      session.calls++;
      const ready = session.host.poll([state.map.fd], 0);
      const found = typeof ready === "number" ? nameOf(ready) : String(ready.length === 1);
      return compare(String(step[1]), found);
    }
    default: {
      const unknown: never = step;
      throw new Error(`no such step: ${JSON.stringify(unknown)}`);
    }
  }
}
