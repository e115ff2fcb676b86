/** Where an object file's bytes come from: the caller, or in Node a file. */
import { InputError } from "../errors.ts";

export interface ObjectFile {
  readonly bytes: Uint8Array;
  /** The path, or undefined. */
  readonly path: string | undefined;
}

export function readObject(source: Uint8Array | string | URL): ObjectFile {
  if (source instanceof Uint8Array) return { bytes: source, path: undefined };
  const path = source instanceof URL ? decodeURIComponent(source.pathname) : source;
  if (typeof process !== "object" || typeof process.getBuiltinModule !== "function") {
    throw new InputError(`loadObject: found the path ${path}, but there are no files here; give the file's bytes`);
  }
  try {
    return { bytes: process.getBuiltinModule("fs").readFileSync(source), path };
  } catch (cause) {
    throw new InputError(`loadObject: cannot read ${path}: ${cause instanceof Error ? cause.message : String(cause)}`, {
      cause,
    });
  }
}
