/** Where the packets of a run come from: a capture, or a file that is one packet. */
import { readFileSync } from "node:fs";
import { InputError } from "../errors.ts";
import { capturedPackets, LINKTYPE_ETHERNET } from "../pcap/index.ts";

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

/** The Ethernet frames of a capture, pcap or pcapng. */
export function* framesOf(path: string): Generator<Uint8Array> {
  const packets = capturedPackets(readInput(path));
  for (let number = 1; ; number++) {
    const next = inFile(path, () => packets.next());
    if (next.done) return;
    const { linkType, data } = next.value;
    if (linkType !== LINKTYPE_ETHERNET) {
      const expected = `expected ${LINKTYPE_ETHERNET}, Ethernet frames`;
      throw new InputError(`${path}: packet ${number}: link type ${linkType}: ${expected}`);
    }
    yield data;
  }
}
