/** The one error of the codecs: a value that does not fit its type, with the path to the place. */
import { InputError } from "../../errors.ts";

/**
 * What is wrong with the value: another JavaScript type than the codec takes, a number outside the limits, a field that is
 * not there, a field that the codec does not know, or a buffer that is too short.
 */
export type CodecProblem = "type" | "range" | "missing" | "unknown" | "size";

/**
 * A value cannot be encoded, or bytes cannot be decoded. `message` starts with the path and says the value, the limit and
 * what to do: `key.sport: 70000 is out of range for u16 (0 to 65535)`.
 */
export class CodecError extends InputError {
  override readonly name: string = "CodecError";
  readonly problem: CodecProblem;
  /** Where in the value, as in TypeScript: `key.ports[3]`. Empty when the value itself is wrong and nobody named it. */
  readonly path: string;
  /** The message without the path. */
  readonly detail: string;
  /** The value that was found there. */
  readonly value: unknown;

  constructor(problem: CodecProblem, detail: string, value?: unknown, path: string = "") {
    super(`${path === "" ? "value" : path}: ${detail}`);
    this.problem = problem;
    this.detail = detail;
    this.value = value;
    this.path = path;
  }

  /** The same error seen from one level further out: `segment` is a name (`key`, `sport`) or an index (`[3]`). */
  under(segment: string): CodecError {
    const joint = this.path === "" || this.path.startsWith("[") ? "" : ".";
    return new CodecError(this.problem, this.detail, this.value, segment + joint + this.path);
  }
}

/**
 * For `catch`: a CodecError gets `segment` in front of its path, anything else comes back as it is. Nothing about paths
 * is done while encoding goes well.
 */
export function nested(error: unknown, segment: string): unknown {
  return error instanceof CodecError ? error.under(segment) : error;
}

const SHOWN_TEXT = 40;

/** A value in a few words, for messages. */
export function show(value: unknown): string {
  switch (typeof value) {
    case "bigint":
      return `${value}n`;
    case "string":
      return JSON.stringify(value.length > SHOWN_TEXT ? `${value.slice(0, SHOWN_TEXT)}...` : value);
    case "function":
      return "a function";
    case "symbol":
      return "a symbol";
    case "object":
      if (value === null) return "null";
      if (Array.isArray(value)) return `an array of ${value.length}`;
      if (ArrayBuffer.isView(value)) return `a view of ${value.byteLength} bytes`;
      return "an object";
    default:
      return Object.is(value, -0) ? "-0" : String(value);
  }
}

/** `value` has another JavaScript type than the codec takes. `hint` says what to write instead. */
export function wrongType(value: unknown, kind: string, expected: string, hint: string = ""): CodecError {
  return new CodecError("type", `${kind} takes ${expected}, found ${show(value)}${hint && `; ${hint}`}`, value);
}
