/** How a script in a page tells the test what came of it: see page.ts. */

/** Anything that JSON has. */
export function report(what: unknown): void {
  (globalThis as unknown as { report(text: string): void }).report(JSON.stringify(what));
}
