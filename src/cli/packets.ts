/** Where the packets of a run come from: a capture, or a file that is one packet. */
import { readFileSync } from "node:fs";
import { InputError } from "../errors.ts";
import { LINKTYPE_ETHERNET, pcapPackets, readPcapHeader } from "../pcap/index.ts";

/** The bytes of a file, or an `InputError` that names it. */
export function readInput(path: string): Uint8Array {
  try {
    return readFileSync(path);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    const why = code === "ENOENT" ? "there is no such file" : code === "EISDIR" ? "it is a folder" : String(code);
    throw new InputError(`cannot read ${path}: ${why}`, { cause: error });
  }
}

/** Adds the file's name to what its reader found wrong. */
export function inFile<T>(path: string, read: () => T): T {
  try {
    return read();
  } catch (error) {
    if (error instanceof InputError) throw new InputError(`${path}: ${error.message}`, { cause: error });
    throw error;
  }
}

export function* capturedPackets(path: string): Generator<Uint8Array> {
  const bytes = readInput(path);
  const header = inFile(path, () => readPcapHeader(bytes));
  if (header.linkType !== LINKTYPE_ETHERNET) {
    throw new InputError(`${path}: link type ${header.linkType}: expected ${LINKTYPE_ETHERNET}, Ethernet frames`);
  }
  const packets = pcapPackets(bytes);
  for (;;) {
    const next = inFile(path, () => packets.next());
    if (next.done) return;
    yield next.value.data;
  }
}
