// Counted runs of characters and words, hashed into buckets: mapsto.types.text.ngrams, for one text.
import { runs } from "../_web.js";

const SPACE = 0, WORD = 1, SINGLE = 2; // kinds of signs
const TABLE = 0x20000; // code points whose kind is told; those above stand alone
const COUNTED = 8; // bits of a count in a packed run
// of splitmix64's finaliser (Steele et al. 2014), and of a letter's place: the upper and the lower 32 bits
const FIRST = [0xBF58476D, 0x1CE4E5B9], SECOND = [0x94D049BB, 0x133111EB], LETTER = [0x100, 0x1B3];

/** -> the function from a text to its packed runs, by bucket. */
export function counter({ kinds, buckets, words, longest }) {
  const kindOf = runs(kinds, TABLE, () => SINGLE), half = buckets / 2;
  return (text) => {
    const signs = signsOf(text, kindOf), counts = new Map(), count = (bucket) => counts.set(bucket, (counts.get(bucket) ?? 0) + 1);
    for (let n = 2; n <= longest; n++) {
      for (let at = 0; at + n <= signs.length; at++) count(half + (hashOf(signs, at, n) & (half - 1)));
    }
    for (const hash of wordRuns(signs, words)) count(hash[1] & (half - 1));
    return [...counts.keys()].sort((a, b) => a - b).map((bucket) => ~((bucket << COUNTED) | Math.min(counts.get(bucket), 255)));
  };
}

/** [{code, kind}] of a text between two spaces, runs of spaces as one. */
function signsOf(text, kindOf) {
  const found = [];
  for (const sign of ` ${text.normalize("NFC")} `) {
    const code = sign.codePointAt(0), kind = kindOf(code), lower = sign.toLowerCase();
    const again = kind === SPACE && found.at(-1)?.kind === SPACE;
    const folded = code < TABLE && [...lower].length === 1 ? lower.codePointAt(0) : code;
    if (!again) found.push({ code: kind === SPACE ? 32 : folded, kind });
  }
  return found;
}

function hashOf(signs, at, n) {
  const hash = Uint32Array.of(0, n);
  for (let i = 0; i < n; i++) {
    add(hash, 0, signs[at + i].code + 1);
    mix(hash);
  }
  return hash[1];
}

/** Hashes of runs of 1, 2, … `longest` words. */
function wordRuns(signs, longest) {
  if (!longest) return [];
  const words = [];
  let place = 0, before = SPACE;
  for (const { code, kind } of signs) {
    if (kind === SINGLE || (kind === WORD && before !== WORD)) {
      words.push(new Uint32Array(2));
      place = 0;
    }
    if (kind !== SPACE) {
      const letter = Uint32Array.of(0, code);
      times(letter, LETTER);
      add(letter, 0, place++);
      mix(letter);
      add(words.at(-1), ...letter);
    }
    before = kind;
  }
  words.forEach(mix);
  const found = [...words];
  let run = words;
  for (let n = 1; n < longest; n++) {
    run = run.slice(0, -1).map((hash, i) => {
      const next = hash.slice();
      times(next, [0, 3]);
      add(next, ...words[i + n]);
      mix(next);
      return next;
    });
    found.push(...run);
  }
  return found;
}

// ---- numbers of 64 bits, as [upper, lower] ----

function add(number, high, low) {
  const sum = number[1] + low;
  number[1] = sum;
  number[0] += high + (sum > 0xffffffff ? 1 : 0);
}

function times(number, [high, low]) {
  const [a, b, c, d] = [number[1] >>> 16, number[1] & 0xffff, low >>> 16, low & 0xffff];
  const least = b * d, middle = a * d + (least >>> 16), upper = b * c + (middle & 0xffff);
  const over = a * c + (middle >>> 16) + (upper >>> 16);
  number[0] = over + (Math.imul(number[0], low) >>> 0) + (Math.imul(number[1], high) >>> 0);
  number[1] = ((upper & 0xffff) << 16) | (least & 0xffff);
}

function shift(number, bits) {
  number[1] ^= (number[1] >>> bits) | (number[0] << (32 - bits));
  number[0] ^= number[0] >>> bits;
}

/** Every bit of the result depends on every bit of the number. */
function mix(number) {
  shift(number, 30);
  times(number, FIRST);
  shift(number, 27);
  times(number, SECOND);
  shift(number, 31);
}
