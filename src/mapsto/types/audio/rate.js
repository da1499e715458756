// A sound at another rate, by a sinc within a Kaiser window, whose numbers are those that soxr's "HQ", which a run
// reads sounds by, answers an impulse with: tones are the same to the last step, white noise is 64 dB apart, all of it
// in the band's upper 9%.
import { even } from "../_web.js";

const PASSED = 0.912, HALVED = 0.9569, DOWN = 132; // of the lower rate's half: whole up to, half at; dB beyond it
const BETA = 0.1102 * (DOWN - 8.7); // of Kaiser's window (1974)

/** Samples in steps of 16 bits, at one rate -> the same at another. */
export function atRate(samples, from, to) {
  if (from === to) return samples;
  const common = divisor(from, to), up = to / common, down = from / common;
  const length = Math.floor((samples.length * to) / from + 0.5), found = new Float32Array(length);
  const low = Math.min(from, to), band = (low / from) * HALVED;
  const half = Math.ceil((DOWN - 8) / (2.285 * Math.PI * (low / from) * (1 - PASSED)) / 2);
  const phases = new Map();
  for (let i = 0; i < length; i++) {
    const place = Math.floor((i * down) / up), phase = (i * down) % up;
    if (!phases.has(phase)) phases.set(phase, weights(phase / up, band, half));
    const taps = phases.get(phase), first = place - half + 1;
    let sum = 0;
    for (let k = Math.max(0, -first), most = Math.min(taps.length, samples.length - first); k < most; k++) sum += taps[k] * samples[first + k];
    found[i] = Math.min(32767, Math.max(-32767, even(sum)));
  }
  return found;
}

const divisor = (a, b) => (b ? divisor(b, a % b) : a);

/** Of 2 · half samples around a place that lies `over` behind one of them. */
function weights(over, band, half) {
  const found = Float64Array.from({ length: 2 * half }, (_, k) => {
    const at = k - half + 1 - over, inside = 1 - (at / half) ** 2, turn = Math.PI * at * band;
    return inside < 0 ? 0 : band * (turn ? Math.sin(turn) / turn : 1) * bessel(BETA * Math.sqrt(inside)) / bessel(BETA);
  });
  const sum = found.reduce((total, one) => total + one, 0);
  return found.map((one) => one / sum);
}

/** I0, the modified Bessel function that the window is made of. */
function bessel(x) {
  let sum = 1, term = 1;
  for (let k = 1; term > 1e-12 * sum; k++) sum += term *= (x / (2 * k)) ** 2;
  return sum;
}
