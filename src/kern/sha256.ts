/** SHA-256 (FIPS 180-4), synchronous: what the kernel takes of programs (tag, exclusive maps) and of frozen maps. */

export const SHA256_SIZE = 32;
const BLOCK = 64;
const ROUNDS = 64;

/** The first 32 bits of the fractional parts of the roots that the standard names, computed exactly. */
const { state: INITIAL, constants: K } = tables();

function tables(): { readonly state: Uint32Array; readonly constants: Uint32Array } {
  const state = new Uint32Array(8);
  const constants = new Uint32Array(ROUNDS);
  let count = 0;
  for (let n = 2; count < ROUNDS; n++) {
    let prime = true;
    for (let d = 2; d * d <= n; d++) if (n % d === 0) prime = false;
    if (!prime) continue;
    if (count < 8) state[count] = fraction(n, 2n);
    constants[count++] = fraction(n, 3n);
  }
  return { state, constants };
}

/** floor(2^32 * n^(1/root)) mod 2^32: the integer root of n * 2^(32 * root), by bisection. */
function fraction(n: number, root: bigint): number {
  const target = BigInt(n) << (32n * root);
  let low = 0n;
  let high = 1n << 42n;
  while (high - low > 1n) {
    const mid = (low + high) >> 1n;
    if (mid ** root <= target) low = mid;
    else high = mid;
  }
  return Number(low & 0xffff_ffffn);
}

const rotate = (x: number, n: number): number => (x >>> n) | (x << (32 - n));

function compress(state: Uint32Array, w: Uint32Array): void {
  for (let i = 16; i < ROUNDS; i++) {
    const a = w[i - 15]!;
    const b = w[i - 2]!;
    const s0 = rotate(a, 7) ^ rotate(a, 18) ^ (a >>> 3);
    const s1 = rotate(b, 17) ^ rotate(b, 19) ^ (b >>> 10);
    w[i] = w[i - 16]! + s0 + w[i - 7]! + s1;
  }
  let [a, b, c, d, e, f, g, h] = [...state] as [number, number, number, number, number, number, number, number];
  for (let i = 0; i < ROUNDS; i++) {
    const s1 = rotate(e, 6) ^ rotate(e, 11) ^ rotate(e, 25);
    const t1 = (h + s1 + ((e & f) ^ (~e & g)) + K[i]! + w[i]!) | 0;
    const s0 = rotate(a, 2) ^ rotate(a, 13) ^ rotate(a, 22);
    const t2 = (s0 + ((a & b) ^ (a & c) ^ (b & c))) | 0;
    h = g;
    g = f;
    f = e;
    e = (d + t1) | 0;
    d = c;
    c = b;
    b = a;
    a = (t1 + t2) | 0;
  }
  const next = [a, b, c, d, e, f, g, h];
  for (let i = 0; i < 8; i++) state[i] = state[i]! + next[i]!;
}

/** The 32 bytes of the digest. */
export function sha256(bytes: Uint8Array): Uint8Array {
  const state = INITIAL.slice();
  const w = new Uint32Array(ROUNDS);
  const padded = new Uint8Array(Math.ceil((bytes.length + 9) / BLOCK) * BLOCK);
  padded.set(bytes);
  padded[bytes.length] = 0x80;
  const view = new DataView(padded.buffer);
  view.setBigUint64(padded.length - 8, BigInt(bytes.length) * 8n);
  for (let at = 0; at < padded.length; at += BLOCK) {
    for (let i = 0; i < 16; i++) w[i] = view.getUint32(at + i * 4);
    compress(state, w);
  }
  const digest = new Uint8Array(SHA256_SIZE);
  const out = new DataView(digest.buffer);
  for (let i = 0; i < 8; i++) out.setUint32(i * 4, state[i]!);
  return digest;
}
