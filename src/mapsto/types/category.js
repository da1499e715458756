// One of several classes, read in a browser as mapsto.types.category reads it.
import { CellError, isMissing, shorten, sound, strip, split, tensor, written } from "./_web.js";

const MISSING = 0, OTHER = 1, FIRST = 2; // codes of a class that is not told, and of one that is not known
const WHOLE = /^([+-]?(?:0|[1-9][0-9]*))(?:\.0+)?$/;
const DIGITS = { 1: "true", 0: "false", true: "1", false: "0" };

export default function reader(type) {
  const codes = new Map(type.vocabulary.map((name, k) => [name, k + FIRST]));
  return (cell) => {
    const name = read(cell, type, codes), same = name === null ? null : sameName(name, codes);
    const code = same === null ? MISSING : codes.get(same) ?? OTHER;
    return { feed: { cells: tensor("int32", [1], Int32Array.of(code)) }, unknown: code === OTHER };
  };
}

function read(cell, type, codes) {
  if (typeof cell === "string") return named(strip(cell), type, codes);
  if (isMissing(cell)) return null;
  if (typeof cell === "object") throw new CellError(`expected one class, got ${shorten(JSON.stringify(cell))}.`);
  return typeof cell === "number" ? written(cell) : String(cell);
}

function named(cell, type, codes) {
  if (isMissing(cell) && !type.words.includes(cell.toLowerCase())) return null;
  let text = sound(cell);
  if (!codes.has(text)) text = text.normalize("NFC");
  const found = type.whole && WHOLE.exec(text);
  if (found) return found[1];
  if (type.truths) return text.toLowerCase();
  return type.fold ? [...split(text).join(" ")].map((sign) => type.folds[sign] ?? sign.toLowerCase()).join("") : text;
}

/** The one of the known names that this one is, written otherwise: 1.0 is 1, and of truth values 1 is true. */
function sameName(name, codes) {
  if (codes.has(name)) return name;
  const plain = WHOLE.exec(name)?.[1] ?? name;
  if (codes.has(plain)) return plain;
  const meant = [plain.toLowerCase(), DIGITS[plain.toLowerCase()]];
  if (meant[1] === undefined || codes.size > 2) return name;
  const lower = new Map([...codes.keys()].map((one) => [one.toLowerCase(), one]));
  for (const names of [["true", "false"], ["0", "1"]]) {
    if ([...lower.keys()].every((one) => names.includes(one))) return lower.get(meant.find((one) => lower.has(one))) ?? name;
  }
  return name;
}
