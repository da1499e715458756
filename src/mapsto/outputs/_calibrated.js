// What makes answers honest, for one row: temperatures, sets and intervals, as mapsto.outputs._temperature and
// _conformal apply them. Probabilities are floats of 32 bits, as the net gives them.
import { even } from "../types/_web.js";

const TINY = 1e-12, MICRO = 1e6; // probabilities are told apart to a millionth
const RANGE = Math.log(20); // a scale is at most so much above or below its typical value
const MASK = (1n << 64n) - 1n;

export const rounded = (chance) => even(chance * MICRO) / MICRO;
/** Places of numbers, the largest first, of equal ones the earlier. */
export const order = (numbers) => [...numbers.keys()].sort((i, j) => numbers[j] - numbers[i] || i - j);

export function tempered(chances, temperature) {
  const scaled = Array.from(chances, (chance) => Math.log(chance + TINY) / temperature), most = Math.max(...scaled);
  const powers = scaled.map((one) => Math.exp(one - most)), sum = powers.reduce((total, one) => total + one, 0);
  return powers.map((one) => Math.fround(one / sum));
}

/** Which classes are in the row's set. */
export function inClassSet(chances, { least, share }) {
  const close = chances.map(rounded), tied = close.some((one, k) => one === least[k]) ? lot(chances) : 0;
  return close.map((one, k) => one > least[k] || (one === least[k] && tied < share[k]));
}

/** A number in [0, 1) that looks random and is a function of the probabilities alone. */
function lot(chances) {
  const bits = new Uint32Array(Float32Array.from(chances).buffer);
  let mixed = 0n;
  bits.forEach((one, k) => { mixed = (mixed + BigInt(one) * (BigInt(2 * k + 1) * 0x9E3779B97F4A7C15n)) & MASK; });
  for (const shift of [33n, 29n]) mixed = ((mixed ^ (mixed >> shift)) * 0xFF51AFD7ED558CCDn) & MASK;
  return Number(mixed >> 11n) / 2 ** 53;
}

/** Half of the width of the interval around a number; null where it is not known. */
export function halfwidth(value, spread, { halfwidth: half, scale }) {
  if (half == null) return null;
  if (!scale) return half;
  const near = (one) => Math.min(3, Math.max(-3, one)), at = near((value - scale.value) / scale.std);
  const wide = spread === undefined ? 0 : near(Math.log(Math.max(spread, 1e-300)) - scale.spread);
  const line = [1, wide, at, at ** 2].reduce((sum, one, k) => sum + one * scale.weights[k], 0);
  return half * Math.exp(Math.min(scale.weights[0] + RANGE, Math.max(scale.weights[0] - RANGE, line)));
}
