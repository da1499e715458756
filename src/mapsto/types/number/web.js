// A number or a date, read in a browser as mapsto.types.number reads it. What it would read and a browser cannot
// is a problem that is shown: digits of other scripts, and clocks that only Python's ISO knows.
import { CellError, isMissing, shorten, strip, tensor } from "../_web.js";
import { calendar, moment } from "./dates.js";

const VAST = 3.39e38; // the largest number of 32 bits, nearly: what programs write for "not known"
const SPAN = /^(?:(\d+)\s*d(?:ays?)?\s*)?(?:(\d+)\s*h(?:rs?|ours?)?\.?\s*)?(?:(\d+)\s*m(?:ins?|inutes?)?\.?\s*)?(?:(\d+(?:\.\d+)?)\s*s(?:ecs?|econds?)?\.?)?$/i;
const UNIT = /^([-+−]?\d(?:[\d.,]*\d)?)\s?((?:\p{L}|[°'"])(?:\p{L}|[²³2]){0,8}(?:\/\p{L}{1,4})?[²³]?)$/u;
const PLAIN = /^[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?$/;
const MONEY = /^(?:[$€£¥₹]|USD|EUR|GBP|CHF|JPY)\s*|\s*(?:[$€£¥₹%]|USD|EUR|GBP|CHF|JPY)$/;
const GROUP = /^[1-9]\d{0,2}[.,]\d{3}$/; // thousands, or three decimals
const GROUPS = /^(?:\d{1,3}(?:,\d{2,3})*(?:,\d{3})+(?:[eE][+-]?\d+)?|\d{1,3}(?:\.\d{3})+(?:[eE][+-]?\d+)?)$/;
const WANTED = "expected a number or a date, got";

export default function reader(type) {
  const dayFirst = type.day_first ?? type.dates_day_first;
  return (cell) => {
    const value = valued(cell, type, dayFirst);
    const feed = { cells: tensor("float64", [1], Float64Array.of(value ?? NaN)) };
    if (type.kind === "date") {
      const waves = Float64Array.from(calendar(value ?? type.mean, type.clock));
      feed.waves = tensor("float64", [1, waves.length], waves);
    }
    return { feed };
  };
}

/** null where it is missing. */
function valued(given, type, dayFirst) {
  if (isMissing(given)) return null;
  if (typeof given === "string" && gap(given, type)) return null;
  const cell = type.unit && typeof given === "string" ? bare(strip(given), type.unit) : given;
  const { value, dated } = numbered(cell, type.decimal ?? type.mark, dayFirst);
  if (Math.abs(value) >= VAST || (type.missing ?? []).includes(value)) return null;
  if (dated !== (type.kind === "date")) {
    const [wanted, got] = dated ? ["number", "date"] : ["date", "number"];
    throw new CellError(`expected a ${wanted}, got the ${got} ${shorten(cell)}.\nWrite the whole column as ${wanted}s.`);
  }
  return value;
}

function gap(cell, type) {
  const word = strip(cell).toLowerCase();
  return type.words.includes(word) || type.gaps.includes(word);
}

function bare(text, unit) {
  if (unit === "h m s") {
    const found = SPAN.exec(text);
    if (!text || !found || found.slice(1).every((part) => part === undefined)) return text;
    return [86400, 3600, 60, 1].reduce((sum, seconds, i) => sum + seconds * Number(found[i + 1] ?? 0), 0);
  }
  const found = UNIT.exec(text);
  return found && found[2].toLowerCase() === unit ? found[1] : text;
}

/** {value, dated}; CellError: neither number nor date. */
function numbered(cell, decimal, dayFirst) {
  if (typeof cell === "boolean") return { value: +cell, dated: false };
  if (typeof cell === "number") return { value: finite(cell, cell), dated: false };
  if (typeof cell !== "string") throw new CellError(`${WANTED} ${shorten(JSON.stringify(cell))}.\nGive a number.`);
  const text = strip(cell);
  if (/(?![0-9])\p{Nd}/u.test(text)) throw new CellError(`${shorten(text)}: digits of other scripts are not read in a browser.\nWrite 0 to 9.`);
  if ((decimal === "." || !/[.,]/.test(text)) && isPlain(text)) return { value: finite(Number(text), text), dated: false };
  if (!/[0-9]/.test(text)) throw new CellError(`${WANTED} ${shorten(text)}.\nCorrect or empty the cell.`);
  const seconds = moment(text, dayFirst);
  if (seconds !== null) return { value: seconds, dated: true };
  const [sign, digits] = withoutSigns(text), plain = sign + withPoint(digits, decimal);
  if (!isPlain(plain)) throw new CellError(`${WANTED} ${shorten(text)}.\nCorrect or empty the cell.`);
  return { value: finite(Number(plain), text), dated: false };
}

const isPlain = (text) => PLAIN.test(strip(text)) || /^[+-]?inf(?:inity)?$/i.test(text);

function finite(value, cell) {
  if (!Number.isFinite(value)) throw new CellError(`expected a finite number, got ${shorten(cell)}.\nLeave the cell empty if the value is not known.`);
  return value;
}

/** [sign, the rest]: no currency, no percent, no accountants' parentheses, no blanks between digits. */
function withoutSigns(text) {
  const plain = text.replaceAll("−", "-"), first = plain.slice(0, 1);
  const [sign, rest] = plain.startsWith("(") && plain.endsWith(")") ? ["-", plain.slice(1, -1)]
    : first === "-" || first === "+" ? [first, plain.slice(1)] : ["", plain];
  return [sign, strip(rest).replace(MONEY, "").replace(MONEY, "").replace(/(?<=\d)[ \u00a0\u202f'’](?=\d{3})/g, "")];
}

/** Digits with marks between them -> with a decimal point, and no other mark. */
function withPoint(plain, given) {
  const commas = plain.split(",").length - 1, points = plain.split(".").length - 1;
  let decimal = given;
  if (commas && points) decimal = plain.lastIndexOf(".") > plain.lastIndexOf(",") ? "." : ",";
  else if (commas === 1 && decimal === "." && !GROUP.test(plain)) decimal = ",";
  else if (points === 1 && decimal === "," && !GROUP.test(plain)) decimal = ".";
  const at = plain.indexOf(decimal), group = decimal === "." ? "," : ".";
  let start = at < 0 ? plain : plain.slice(0, at);
  if (start.includes(group)) {
    if (!GROUPS.test(start)) return plain;
    start = start.replaceAll(group, "");
  }
  return at < 0 ? start : `${start}.${plain.slice(at + 1)}`;
}
