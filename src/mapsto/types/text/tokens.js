// The tokens of a text as mapsto's own tokenizers cut it, which the library `tokenizers` runs elsewhere: words,
// byte pairs, characters. Names of special tokens that stand in a text are text, as there.
import { runs } from "../_web.js";

const UNKNOWN = 1, FIRST = 9; // the special tokens' numbers come first
const REMOVED = 0, BLANK = 1, ALONE = 2; // what becomes of a sign between words: see Text.web_reader
const PARTS = /'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\p{White_Space}\p{L}\p{N}]+|\p{White_Space}+(?!\P{White_Space})|\p{White_Space}+/gu; // GPT-2's

/** -> the function from a text to its token numbers. */
export function splitter(type) {
  return { words, bpe, char, ngrams: () => () => [] }[type.kind](type);
}

function words(type) {
  const vocabulary = JSON.parse(type.codes).model.vocab, kind = runs(type.signs, type.table, beyond(type));
  return (text) => {
    const found = [""];
    for (const sign of text.normalize("NFC")) {
      const what = kind(sign.codePointAt(0));
      if (what === REMOVED) continue;
      if (what === BLANK) found.push("");
      else if (what === ALONE) found.push(lower(sign), "");
      else found[found.length - 1] += lower(sign);
    }
    return found.filter(Boolean).map((word) => (Object.hasOwn(vocabulary, word) ? vocabulary[word] : UNKNOWN));
  };
}

const lower = (sign) => sign.toLowerCase();
/** Signs behind the table: [first of a stretch, what becomes of it], ascending. */
const beyond = (type) => (code) => type.stretches.findLast(([first]) => first <= code)[1];

function bpe(type) {
  const { model, pre_tokenizer: before } = JSON.parse(type.codes), letters = lettersOfBytes(), known = new Map();
  const ranks = new Map(model.merges.map((pair, rank) => [Array.isArray(pair) ? pair.join(" ") : pair, rank]));
  const utf8 = new TextEncoder();
  const numbers = (part) => {
    if (!known.has(part)) known.set(part, merged([...utf8.encode(part)].map((byte) => letters[byte]), ranks).map((piece) => model.vocab[piece]));
    return known.get(part);
  };
  return (text) => {
    const plain = text.normalize("NFC"), begun = before.add_prefix_space && plain && !plain.startsWith(" ") ? ` ${plain}` : plain;
    return (begun.match(PARTS) ?? []).flatMap(numbers);
  };
}

/** Pairs put together, those learned first before the others, of equal ones the first in the word. */
function merged(pieces, ranks) {
  for (;;) {
    let best = Infinity, at = -1;
    for (let i = 0; i + 1 < pieces.length; i++) {
      const rank = ranks.get(`${pieces[i]} ${pieces[i + 1]}`) ?? Infinity;
      if (rank < best) [best, at] = [rank, i];
    }
    if (at < 0) return pieces;
    pieces.splice(at, 2, pieces[at] + pieces[at + 1]);
  }
}

/** What each byte is called in a vocabulary of byte pairs: itself where it can be seen, else a sign from 256 on. */
function lettersOfBytes() {
  let next = 256;
  const seen = (byte) => (byte > 32 && byte < 127) || (byte > 160 && byte !== 173);
  return Array.from({ length: 256 }, (_, byte) => String.fromCodePoint(seen(byte) ? byte : next++));
}

function char(type) {
  const place = new Map([...type.alphabet.normalize("NFC")].map((sign, k) => [sign, k + FIRST]));
  return (text) => [...text.normalize("NFC")].map((sign) => place.get(sign) ?? UNKNOWN);
}
