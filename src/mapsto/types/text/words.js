// A text word by word: mapsto.types.text.words. Places are counted in characters, as Python counts them.
import { tensor, whole } from "../_web.js";
import { hash } from "./blake2b.js";

const UNKNOWN = 1, FIRST = 9, MOST_RUNS = 26, WIDTH = 6 + MOST_RUNS, MOST_WORDS = 2000, LEAST = 2;
const BUCKETS = 1 << 14, SHAPES = 256; // that runs and shapes are hashed into; 0 stands for none
const SIGN = "\\u0e00-\\u0eff\\u1000-\\u109f\\u1780-\\u17ff\\u3040-\\u30ff\\u3400-\\u9fff\\uf900-\\ufaff"; // a word each
const W = "[\\p{L}\\p{N}_]", LETTER = "[\\p{L}\\p{Nl}\\p{No}]", OWN = `(?![${SIGN}])${LETTER}`; // \w, [^\W\d_], of other scripts
const PIECE = new RegExp(`https?://[^\\p{White_Space}\\x1c-\\x1f]+|[@#]${W}+|\\p{Nd}+(?:[.,:/]\\p{Nd}+)*|[${SIGN}]`
  + `|(?:${OWN})+(?:[.](?=${W}[.])${LETTER})*(?:['’](?=${LETTER}{3})${LETTER}+)*|['’]${W}{1,2}(?!${W})|${W}|[^\\p{L}\\p{N}_\\p{White_Space}\\x1c-\\x1f]`, "gu");
const ENDING = /(?:'s|’s|ings?|edly|ed|es|s|ly)$/;

export function apart(type) {
  const number = new Map(type.alphabet ? type.alphabet.split("\n").map((word, k) => [word, k + FIRST]) : []), known = new Map();
  const parts = (word) => known.get(word) ?? known.set(word, partsOf(word, number)).get(word);
  return (source) => {
    const found = source ? wordsOf(source).slice(0, MOST_WORDS) : [];
    const steps = Math.max(LEAST, found.length), data = new Int32Array(steps * WIDTH);
    found.forEach(({ word, begin, end }, i) => data.set([begin, end, ...parts(word)], i * WIDTH));
    return { cells: tensor("int32", [1, steps, WIDTH], data), lengths: whole([found.length]) };
  };
}

/** [{word, begin, end}] of a read text: those of a list as they came. */
export function wordsOf({ text, words }) {
  let at = 0, unit = 0; // a character, and where it lies in JavaScript's string
  const told = (word, skipped) => {
    at += [...skipped].length;
    const begin = at;
    at += [...word].length;
    return { word, begin, end: at };
  };
  if (words) return words.map((word, i) => told(word, i ? " " : ""));
  return [...text.matchAll(PIECE)].map((found) => {
    const skipped = text.slice(unit, found.index);
    unit = found.index + found[0].length;
    return told(found[0], skipped);
  });
}

function partsOf(word, number) {
  const lower = word.toLowerCase(), signs = [...lower], marked = ["<", ...signs, ">"];
  const stem = signs.length > 4 ? lower.replace(ENDING, "") : lower, runs = [];
  for (const n of [3, 4]) for (let i = 0; i + n <= marked.length; i++) runs.push(marked.slice(i, i + n).join(""));
  runs.push(marked.slice(0, 5).join(""), marked.slice(-5).join(""));
  const kept = runs.length > MOST_RUNS ? Array.from({ length: MOST_RUNS }, (_, i) => runs[Math.floor((i * runs.length) / MOST_RUNS)]) : runs;
  const named = number.get(lower) ?? UNKNOWN, shape = 1 + (hash(shapeOf(word)) % (SHAPES - 1));
  return [hash(lower), hash(stem), named, shape, ...kept.map((run) => 1 + (hash(run) % (BUCKETS - 1)))];
}

function shapeOf(word) {
  const sign = (one) => (/\p{Uppercase}/u.test(one) ? "X" : /\p{L}/u.test(one) ? "x" : /[\p{Nd}²³¹⁰-⁹₀-₉]/u.test(one) ? "d" : one);
  return [...word].slice(0, 40).map(sign).join("").replace(/(.)\1{2,}/gsu, "$1$1");
}
