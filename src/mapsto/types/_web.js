// What reading cells in a browser takes, whatever their type: the words for nothing, Python's blanks, tensors.
// As mapsto.cells and mapsto.types._graph have it.

/** A cell that cannot be read, and what to do: a person sees it. */
export class CellError extends Error {}

const WORDS = new Set(["", "na", "n/a", "nan", "null", "none", "?", "-", "--", ".", "#n/a", "#na", "<na>", "nil",
  "missing", "(null)", "#div/0!", "#ref!", "#value!", "#num!", "#name?", "#null!"]);
const BLANK = "\\t-\\r\\x1c-\\x20\\x85\\xa0\\u1680\\u2000-\\u200a\\u2028\\u2029\\u202f\\u205f\\u3000"; // str.isspace()
const AROUND = new RegExp(`^[${BLANK}]+|[${BLANK}]+$`, "g"), BETWEEN = new RegExp(`[${BLANK}]+`);
const LEAST = 2; // steps of a sequence at least, as its graph was made

export const strip = (text) => text.replace(AROUND, "");
export const split = (text) => text.split(BETWEEN).filter(Boolean);
export const isMissing = (cell) => cell == null || (typeof cell === "number" && Number.isNaN(cell))
  || (typeof cell === "string" && WORDS.has(strip(cell).toLowerCase()));
/** Halves of characters, which no text can be written with, as U+FFFD. */
export const sound = (text) => text.replace(/[\ud800-\udbff](?![\udc00-\udfff])|(?<![\ud800-\udbff])[\udc00-\udfff]/g, "\ufffd");

export function shorten(cell, most = 40) {
  const text = [...split(String(cell)).join(" ")];
  return text.length > most ? `'${text.slice(0, most).join("")}…'` : `'${text.join("")}'`;
}

/** A number as Python's str() writes it. */
export function written(number) {
  if (Number.isInteger(number)) return BigInt(number).toString();
  const [digits, power] = number.toExponential().split("e"), at = +power;
  if (at >= -4 && at < 16) return String(number);
  return `${digits}e${at < 0 ? "-" : "+"}${String(Math.abs(at)).padStart(2, "0")}`;
}

/** The nearest whole number, of two the even one, as Python and numpy round. */
export function even(value) {
  const low = Math.floor(value), over = value - low;
  return over < 0.5 ? low : over > 0.5 ? low + 1 : low % 2 ? low + 1 : low;
}

/** What a graph is given: type as ONNX Runtime calls it. */
export const tensor = (type, dims, data) => ({ type, dims, data });
export const whole = (numbers) => tensor("int64", [numbers.length], BigInt64Array.from(numbers, BigInt));

/** One cell of unequal length, (1, T), 0 behind its end. */
export function padded(type, cell) {
  const length = Math.max(LEAST, cell.length), data = new ({ int32: Int32Array })[type](length);
  data.set(cell);
  return tensor(type, [1, length], data);
}

/** The bytes of a file, which a field gives as base64; null where there is none. */
export function bytesOf(cell) {
  if (cell == null || cell === "") return null;
  if (typeof cell !== "string") throw new CellError(`expected a file as base64, got ${shorten(cell)}.`);
  let held;
  try {
    held = atob(cell.startsWith("data:") ? cell.slice(cell.indexOf(",") + 1) : cell);
  } catch {
    throw new CellError(`expected a file as base64, got ${shorten(cell)}.`);
  }
  return Uint8Array.from(held, (letter) => letter.charCodeAt(0));
}

/** {type: a run of code points that are alike, behind each other} as "type:length type:length …" -> of each code
 * point its type; `rest` beyond. */
export function runs(text, size, rest) {
  const found = new Uint8Array(size);
  let at = 0;
  for (const run of text.split(" ")) {
    const [kind, length] = run.split(":");
    found.fill(+kind, at, at += +length);
  }
  return (code) => (code < size ? found[code] : rest(code));
}
