// Labels that do not exclude each other, read in a browser as mapsto.types.categories reads them.
import { CellError, isMissing, shorten, strip, tensor, written } from "./_web.js";

const PAIRS = { "[": "]", "{": "}", "(": ")" }, QUOTED = /'((?:[^'\\]|\\.)*)'|"((?:[^"\\]|\\.)*)"/gs;
const WORDS = { 0: false, 1: true, true: true, false: false, "0.0": false, "1.0": true, yes: true, no: false };
const UNKNOWN = -1;

export default function reader(type) {
  const place = new Map(type.vocabulary.map((name, k) => [name, k]));
  return (cell) => {
    const value = read(cell, type), whole = value && (value.every(([, truth]) => truth === HELD) || type.closed);
    const row = new Int32Array(type.vocabulary.length).fill(whole ? 0 : UNKNOWN);
    for (const [name, truth] of value ?? []) if (place.has(name)) row[place.get(name)] = truth === null ? UNKNOWN : +Boolean(truth);
    return { feed: { cells: tensor("int32", [1, row.length], row) } };
  };
}

const HELD = "held"; // of a list of labels, which says of the others that they are not held

/** [[label, true, false, null where that is not known, or HELD], …]; null where the cell is missing. */
function read(cell, type) {
  if (Array.isArray(cell)) return listed(cell, type);
  if (cell !== null && typeof cell === "object") return Object.entries(cell).map(([name, value]) => [label(name), truthOf(value)]);
  if (isMissing(cell)) return null;
  const text = typeof cell === "string" ? cell : textOf(cell), items = itemsOf(text);
  if (items) return listed(items, type);
  const bare = type.brackets && inBrackets(text) ? inside(text) : strip(text);
  return held((type.mark ? bare.split(type.mark) : [bare]).filter((piece) => strip(piece)));
}

const textOf = (item) => (typeof item === "number" ? written(item) : typeof item === "boolean" ? (item ? "True" : "False") : String(item));
const label = (text) => strip(text).normalize("NFC");
const held = (names) => [...new Set(names.map(label))].map((name) => [name, HELD]);

function listed(items, type) {
  const bits = items.every((item) => (typeof item === "number" || typeof item === "boolean" ? [0, 1].includes(+item) || isMissing(item) : isMissing(item)));
  if (!items.length || type.kind || !bits || items.every((item) => typeof item === "string")) {
    return held(items.filter((item) => !isMissing(item)).map(textOf));
  }
  if (items.length !== type.vocabulary.length) {
    throw new CellError(`expected ${type.vocabulary.length} labels of 0 or 1, got ${items.length}.\nEvery row must name the same labels.`);
  }
  return items.map((item, k) => [type.vocabulary[k], truthOf(item)]);
}

function truthOf(value) {
  if (isMissing(value)) return null;
  const known = typeof value === "string" ? WORDS[strip(value).toLowerCase()] : { 0: false, 1: true }[+value];
  if (known === undefined || typeof value === "object") throw new CellError(`expected 0 or 1 for a label, got ${shorten(JSON.stringify(value))}.`);
  return known;
}

function inBrackets(text) {
  const bare = strip(text);
  return bare.length > 1 && PAIRS[bare[0]] === bare.at(-1);
}

const inside = (text) => strip(strip(text).slice(1, -1));

/** The items of a list of JSON, or of quoted texts in brackets; null of others. */
function itemsOf(text) {
  if (!inBrackets(text)) return null;
  if (strip(text).startsWith("[")) {
    try {
      const found = JSON.parse(text);
      return found.some((item) => item !== null && typeof item === "object") ? null : found;
    } catch (problem) {
      if (!(problem instanceof SyntaxError)) throw problem;
    }
  }
  const bare = inside(text), items = [...bare.matchAll(QUOTED)].map(([, first, second]) => first || second || "");
  return !items.length || /[^ ,;|\t\n]/.test(bare.replace(QUOTED, "")) ? null : items.map((item) => item.replace(/\\(.)/gs, "$1"));
}
