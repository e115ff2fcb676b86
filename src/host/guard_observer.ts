/** Observers are told in the middle of a run, when a command would spoil what the run's own command has under way. */
import type { ObservedRun, RunObserver } from "../kern/observer.ts";

/** The same observer, with `enter` and `leave` around each of its calls. */
export function guardObserver(observer: RunObserver, enter: () => void, leave: () => void): RunObserver {
  const around = (what: keyof RunObserver): ((run: ObservedRun) => void) | undefined => {
    if (observer[what] === undefined) return undefined;
    return (run) => {
      enter();
      try {
        observer[what]?.(run);
      } finally {
        leave();
      }
    };
  };
  const guarded: { -readonly [K in keyof RunObserver]: RunObserver[K] } = {};
  for (const what of ["begin", "before", "after", "end"] as const) {
    const call = around(what);
    if (call !== undefined) guarded[what] = call;
  }
  return guarded;
}
