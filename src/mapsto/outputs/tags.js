// A tag for each word of a text, told in a browser as mapsto.outputs.tags and mapsto.types.tags tell it.
import { wordsOf } from "../types/text/words.js";

const OUTSIDE = "O";

/** source: the text, as its type's script read it. */
export default function told({ vocabulary, names }) {
  return ({ value }, source) => {
    const words = source ? wordsOf(source).map((one) => one.word) : [];
    const said = Array.from(value.data.subarray(0, value.length), (tag) => vocabulary[Number(tag)]);
    const tags = words.map((_, i) => said[i] ?? vocabulary[0]);
    return names ? { value: tags, words, entities: entities(tags, words) } : { value: tags, words };
  };
}

/** The names that tags mark: what goes on from nothing of its kind begins one. */
function entities(tags, words) {
  const found = [];
  let begin = 0, kind = "";
  for (const [i, tag] of [...tags, OUTSIDE].entries()) {
    const cut = tag.indexOf("-"), mark = cut < 0 ? tag : tag.slice(0, cut), of = cut < 0 ? "" : tag.slice(cut + 1);
    if (kind && (mark !== "I" || of !== kind)) {
      found.push({ type: kind, text: words.slice(begin, i).join(" "), first: begin, last: i - 1 });
      kind = "";
    }
    if (mark === "B" || (mark === "I" && !kind)) [begin, kind] = [i, of];
  }
  return found;
}
