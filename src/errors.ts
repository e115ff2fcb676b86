/**
 * The two kinds of failure that are not a `bpf()` errno (the codecs' `CodecError` is an `InputError`). Everything else
 * below the API is a negative errno, and a `BpfError` in it.
 */

/** The caller's file or argument is wrong. Names the place, what was found and what was expected. */
export class InputError extends Error {
  override readonly name: string = "InputError";
}

/** An invariant of bpfmaps broke: never the caller's fault, worth a report. */
export class Bug extends Error {
  override readonly name: string = "Bug";
}
