/** The one way in which this folder complains. */
import { InputError } from "../errors.ts";

export function fail(where: string, found: string, expected: string): never {
  throw new InputError(`ELF: ${where}: found ${found}, expected ${expected}`);
}
