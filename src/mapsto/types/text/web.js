// A text, read in a browser as mapsto.types.text reads it: its tokens, and beside them its counted runs; or word by
// word (words.js).
import { CellError, isMissing, padded, shorten, sound, strip, whole, written } from "../_web.js";
import { counter } from "./ngrams.js";
import { splitter } from "./tokens.js";
import { apart } from "./words.js";

const MISSING = 2, START = 3; // the numbers that stand before a text's tokens
const MOST_CHARACTERS = 20000; // of a text that are read at all

export default function reader(type) {
  const encode = type.kind === "apart" ? apart(type) : tokens(type);
  return (cell) => {
    const source = read(cell);
    return { feed: encode(source), source };
  };
}

function tokens(type) {
  const split = splitter(type), runs = type.buckets ? counter(type) : null;
  return (source) => {
    const text = source ? cut([...source.text], type.long).join("") : "";
    const found = [source ? START : MISSING, ...shortened(split(text), type.kept - 1, type.long)];
    const feed = { tokens: padded("int32", found), lengths: whole([found.length]) };
    return runs ? { ...feed, runs: padded("int32", runs(text)) } : feed;
  };
}

/** {text, words: those of a list, or null}; null where it is missing. */
function read(cell) {
  if (Array.isArray(cell)) {
    const wrong = cell.find((word) => typeof word !== "string");
    if (wrong !== undefined) throw new CellError(`expected a list of texts, got ${shorten(wrong)} among them.\nGive texts, or one text.`);
    const words = cell.map(sound);
    return words.length ? { text: words.join(" "), words } : null;
  }
  if (typeof cell === "string") return strip(cell) ? { text: sound(cell), words: null } : null;
  if (isMissing(cell)) return null;
  if (typeof cell === "object") throw new CellError(`expected a text, got ${shorten(JSON.stringify(cell))}.\nGive text.`);
  return { text: typeof cell === "number" ? written(cell) : cell ? "True" : "False", words: null };
}

function cut(signs, long) {
  if (signs.length <= MOST_CHARACTERS) return signs;
  const half = MOST_CHARACTERS / 2;
  return long === "ends" ? [...signs.slice(0, half), ...signs.slice(-half)] : signs.slice(0, MOST_CHARACTERS);
}

function shortened(found, most, long) {
  if (found.length <= most) return found;
  const first = Math.floor(most / 2);
  return long === "ends" ? [...found.slice(0, first), ...found.slice(found.length - (most - first))] : found.slice(0, most);
}
