// SHA-256 of bytes, in hexadecimal. Browsers offer it only to pages loaded over HTTPS or from this
// machine, and a training server is often reached over HTTP, so there is an implementation here.
const ROUNDS = new Uint32Array(64);
const START = new Uint32Array(8);
fillConstants();

export async function sha256(bytes) {
  if (globalThis.crypto?.subtle) {
    return toHex(new Uint8Array(await crypto.subtle.digest('SHA-256', bytes)));
  }
  return sha256WithoutBrowser(bytes);
}

export function sha256WithoutBrowser(bytes) {
  const state = START.slice();
  const words = new Uint32Array(64);
  const length = bytes.length;
  const padded = new Uint8Array(((length + 8) >> 6) * 64 + 64);
  padded.set(bytes);
  padded[length] = 0x80;
  const view = new DataView(padded.buffer);
  view.setUint32(padded.length - 8, Math.floor(length / 0x20000000));
  view.setUint32(padded.length - 4, length << 3);
  for (let block = 0; block < padded.length; block += 64) compress(state, words, view, block);
  const digest = new DataView(new ArrayBuffer(32));
  state.forEach((word, at) => digest.setUint32(4 * at, word));
  return toHex(new Uint8Array(digest.buffer));
}

function compress(state, words, view, block) {
  for (let at = 0; at < 16; at += 1) words[at] = view.getUint32(block + 4 * at);
  for (let at = 16; at < 64; at += 1) {
    const [a, b] = [words[at - 15], words[at - 2]];
    const low = rotate(a, 7) ^ rotate(a, 18) ^ (a >>> 3);
    const high = rotate(b, 17) ^ rotate(b, 19) ^ (b >>> 10);
    words[at] = (words[at - 16] + low + words[at - 7] + high) | 0;
  }
  let [a, b, c, d, e, f, g, h] = state;
  for (let at = 0; at < 64; at += 1) {
    const high = rotate(e, 6) ^ rotate(e, 11) ^ rotate(e, 25);
    const first = (h + high + ((e & f) ^ (~e & g)) + ROUNDS[at] + words[at]) | 0;
    const low = rotate(a, 2) ^ rotate(a, 13) ^ rotate(a, 22);
    const second = (low + ((a & b) ^ (a & c) ^ (b & c))) | 0;
    [h, g, f, e, d, c, b, a] = [g, f, e, (d + first) | 0, c, b, a, (first + second) | 0];
  }
  [a, b, c, d, e, f, g, h].forEach((word, at) => { state[at] += word; });
}

function rotate(word, by) {
  return (word >>> by) | (word << (32 - by));
}

// The constants are the fractional parts of square and cube roots of the first 64 primes.
function fillConstants() {
  const primes = [];
  for (let number = 2; primes.length < 64; number += 1) {
    if (primes.every((prime) => number % prime)) primes.push(number);
  }
  const fraction = (root) => Math.floor((root - Math.floor(root)) * 2 ** 32);
  primes.forEach((prime, at) => { ROUNDS[at] = fraction(Math.cbrt(prime)); });
  primes.slice(0, 8).forEach((prime, at) => { START[at] = fraction(Math.sqrt(prime)); });
}

function toHex(bytes) {
  return [...bytes].map((byte) => byte.toString(16).padStart(2, '0')).join('');
}
