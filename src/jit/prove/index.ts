/** What is known of a program's registers and memory before it is compiled: see `prove.ts`. */
export { type Proof, prove, provesMemory } from "./prove.ts";
