/**
 * Threads as the system numbers them. A worker that was terminated is reaped in its `exit` event, which cannot come while
 * who waits for it waits for one of its locks; on Linux the thread's entry in /proc is gone at once. Elsewhere, and in a
 * browser, nobody can tell: the number is 0, and only the event counts.
 */

/** The number of the calling thread, or 0. */
export function threadId(): number {
  try {
    const link = process.getBuiltinModule("fs").readlinkSync("/proc/thread-self");
    return Number(link.slice(link.lastIndexOf("/") + 1));
  } catch {
    return 0;
  }
}

/** Whether the thread of this process with this number has ended. */
export function threadGone(id: number): boolean {
  return id !== 0 && !process.getBuiltinModule("fs").existsSync(`/proc/self/task/${id}`);
}
