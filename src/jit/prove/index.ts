/** What is known of a program's registers and memory before it is compiled: see `prove.ts`. */
export { prove } from "./prove.ts";
