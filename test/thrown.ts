/** What a call throws. */

/** The error of this class that the call throws; one of another class goes on. */
export function thrown<E extends Error>(kind: abstract new (...args: never) => E, call: () => unknown): E {
  try {
    call();
  } catch (error) {
    if (error instanceof kind) return error;
    throw error;
  }
  throw new Error("nothing was thrown");
}
