/** What an engine may lack of WebAssembly that the compiler can do without. */

/** A function that ends with `return_call` of itself. */
const RETURN_CALL_MODULE = [
  ...[0x00, 0x61, 0x73, 0x6d, 0x01, 0x00, 0x00, 0x00],
  ...[0x01, 0x04, 0x01, 0x60, 0x00, 0x00],
  ...[0x03, 0x02, 0x01, 0x00],
  ...[0x0a, 0x06, 0x01, 0x04, 0x00, 0x12, 0x00, 0x0b],
];

/** Calls that take the place of their function, as Safari has them from 18.2 on. */
export const RETURN_CALLS: boolean = WebAssembly.validate(Uint8Array.from(RETURN_CALL_MODULE));
