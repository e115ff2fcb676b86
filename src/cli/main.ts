#!/usr/bin/env node
/** The program: exit codes stay out of `process.exit`, since what was printed must reach a pipe. */
import { bpfmaps } from "./bpfmaps.ts";

// A reader that closed the pipe (`| head`) has seen what it wanted.
process.stdout.on("error", (error: NodeJS.ErrnoException) => {
  if (error.code === "EPIPE") process.exit(0);
  throw error;
});
process.exitCode = await bpfmaps(process.argv.slice(2));
