// BLAKE2b (RFC 7693) of 4 bytes, less the lowest bit: what mapsto.types.text.words calls words by. A number of 64 bits
// is two of 32, the lower first.

const IV = [0xf3bcc908, 0x6a09e667, 0x84caa73b, 0xbb67ae85, 0xfe94f82b, 0x3c6ef372, 0x5f1d36f1, 0xa54ff53a,
  0xade682d1, 0x510e527f, 0x2b3e6c1f, 0x9b05688c, 0xfb41bd6b, 0x1f83d9ab, 0x137e2179, 0x5be0cd19];
const ORDERS = ["0123456789abcdef", "ea489fd61c02b753", "b8c052fdae367194", "7931dcbe265a40f8", "905724afe1bc683d",
  "2c6a0b834d75fe19", "c51fed4a0763928b", "db7ec13950f4862a", "6fe9b308c2d714a5", "a2847615fb9e3cd0",
  "0123456789abcdef", "ea489fd61c02b753"].map((round) => [...round].map((sign) => 2 * parseInt(sign, 16)));
const MIXED = [[0, 4, 8, 12], [1, 5, 9, 13], [2, 6, 10, 14], [3, 7, 11, 15], [0, 5, 10, 15], [1, 6, 11, 12], [2, 7, 8, 13], [3, 4, 9, 14]]
  .map((four) => four.map((place) => 2 * place));
const BLOCK = 128, HEAD = 0x01010004; // bytes; one key, one leaf, 4 bytes of digest
const UTF8 = new TextEncoder();

export function hash(text) {
  const bytes = UTF8.encode(text), state = Uint32Array.from(IV), block = new Uint8Array(BLOCK);
  state[0] ^= HEAD;
  for (let at = 0; at === 0 || at < bytes.length; at += BLOCK) {
    const part = bytes.subarray(at, at + BLOCK);
    block.fill(0).set(part);
    compress(state, new DataView(block.buffer), at + part.length, at + BLOCK >= bytes.length);
  }
  return state[0] >>> 1;
}

function compress(state, block, count, last) {
  const v = new Uint32Array(32), words = new Uint32Array(32);
  v.set(state);
  v.set(IV, 16);
  v[24] ^= count;
  if (last) [v[28], v[29]] = [~v[28], ~v[29]];
  for (let k = 0; k < 32; k++) words[k] = block.getUint32(4 * k, true);
  for (const order of ORDERS) {
    for (let k = 0; k < MIXED.length; k++) {
      const [a, b, c, d] = MIXED[k];
      step(v, a, b, d, 0, words, order[2 * k]); // turned by 32 bits, 24, 16, 63
      step(v, c, d, b, 24);
      step(v, a, b, d, 16, words, order[2 * k + 1]);
      step(v, c, d, b, 63);
    }
  }
  for (let k = 0; k < 16; k++) state[k] ^= v[k] ^ v[k + 16];
}

/** to += from (and a word of the block); other = (other ^ to), turned right by so many bits, 0 for 32. */
function step(v, to, from, other, bits, words, at) {
  plus(v, to, v[from], v[from + 1]);
  if (words) plus(v, to, words[at], words[at + 1]);
  const low = v[other] ^ v[to], high = v[other + 1] ^ v[to + 1];
  if (bits === 0) {
    v[other] = high;
    v[other + 1] = low;
  } else if (bits === 63) {
    v[other] = (low << 1) | (high >>> 31);
    v[other + 1] = (high << 1) | (low >>> 31);
  } else {
    v[other] = (low >>> bits) | (high << (32 - bits));
    v[other + 1] = (high >>> bits) | (low << (32 - bits));
  }
}

function plus(v, to, low, high) {
  const sum = v[to] + low;
  v[to] = sum;
  v[to + 1] += high + (sum > 0xffffffff ? 1 : 0);
}
