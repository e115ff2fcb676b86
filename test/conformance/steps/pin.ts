/** Steps in bpffs. */
import { errnoOf, isErrno } from "../encode.ts";
import type { Value } from "../session.ts";
import type { Errno, Fields, Result } from "../step.ts";
import { compare, resultOf, type State } from "./state.ts";

/**
 * A path of the tables on this host: from the mount on. One that begins with `=` stands as it is, `{mount}` being the
 * mount.
 */
export function pathOf(state: State, path: string): string {
  if (path.startsWith("=")) return path.slice(1).replaceAll("{mount}", state.session.bpffs);
  return `${state.session.bpffs}/${path}`;
}

function fieldsOf(state: State, given: Fields): Record<string, Value> {
  return Object.fromEntries(Object.entries(given).map(([name, field]) => [name, state.value(name, field)]));
}

export function pin(state: State, path: string, result: Result, given: Fields = {}): string | undefined {
  const fields = fieldsOf(state, given);
  const ret = state.session.pin(fields.bpf_fd === undefined ? state.map.fd : 0, pathOf(state, path), fields);
  return compare(resultOf(result), ret);
}

export function get(state: State, path: string, result: Result, given: Fields = {}, name?: string): string | undefined {
  const fd = state.session.get(pathOf(state, path), fieldsOf(state, given));
  if (fd >= 0) state.keepOpened(fd, name);
  return compare(resultOf(result), Math.min(fd, 0));
}

export function openDir(state: State, name: string, path: string, result: Result): string | undefined {
  state.session.calls++;
  const fd = state.session.host.bpffs.open(pathOf(state, path));
  if (fd >= 0) state.keepFd(name, fd);
  return compare(resultOf(result), Math.min(fd, 0));
}

export function readDir(state: State, path: string, names: readonly string[] | Errno): string | undefined {
  state.session.calls++;
  const found = state.session.host.bpffs.readdir(pathOf(state, path));
  const expected = isErrno(names) ? errnoOf(names) : [...names].sort().join(" ");
  // The kernel has files of its own in the root, such as `maps.debug`; no pin can have a dot in its name.
  const own = typeof found === "number" ? found : found.filter((name) => !name.includes(".")).join(" ");
  return compare(expected as string | number, own);
}
