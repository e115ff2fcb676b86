/** What bundleForPage makes of objects. */
declare module "*.bpf.o" {
  const bytes: Uint8Array;
  export default bytes;
}
