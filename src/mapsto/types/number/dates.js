// Dates and times as seconds since 1970, and where they lie in the year, the week and the day: as
// mapsto.types.number.numerals and _calendar have it.
import { CellError, even, shorten, strip } from "../_web.js";

const DAY = 86400, HOUR = 3600;
const MONTHS = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];
const CLOCK = String.raw`(?:[T ,]+(\d{1,2}):(\d{2})(?::(\d{2}(?:\.\d+)?))?\s*([AaPp]\.?[Mm]\.?)?)?$`;
const SLASHED = new RegExp(String.raw`^(\d{1,2})([/.\-])(\d{1,2})\2(\d{4}|\d{2})` + CLOCK);
const NAMED = new RegExp(String.raw`^(?:[A-Za-z]{3,9},?\s+)?(?:(\d{1,2})[ \-.]+([A-Za-z]{3,9})|([A-Za-z]{3,9})\.? (\d{1,2})),?[ \-.]+(\d{4})` + CLOCK);
const ISO = /^\d{4}[-/.]\d{1,2}(?:[-/.]\d{1,2})?(?:[T ].*)?$/;
const ISO_CLOCK = /^(\d{2})(?::(\d{2})(?::(\d{2})(?:[.,](\d+))?)?)?$/;
const TIME = /^\d{1,2}:\d{2}(?::\d{2}(?:\.\d+)?)?$/, HALVES = /^\d{1,2}:\d{2}(?::\d{2}(?:\.\d+)?)?\s*[AaPp]\.?[Mm]\.?$/;
const ZONED = /^(.*\d:\d{2}(?::\d{2}(?:[.,]\d+)?)?(?:\s*[AaPp]\.?[Mm]\.?)?)\s*(?:(?:UTC|GMT)?([+\-−])(\d{1,2}):?(\d{2})?|([A-Za-z]{1,4}))(?:\s?\[[\w/+\-]+\]|\s?\(\w+\))?$/;
const ZONES = { Z: 0, UTC: 0, GMT: 0, UT: 0, WET: 0, BST: 1, WEST: 1, CET: 1, CEST: 2, EET: 2, EEST: 3, MSK: 3, IST: 5.5,
  SGT: 8, HKT: 8, JST: 9, KST: 9, AWST: 8, AEST: 10, AEDT: 11, NZST: 12, NZDT: 13, EST: -5, EDT: -4, CST: -6, CDT: -5,
  MST: -7, MDT: -6, PST: -8, PDT: -7, AKST: -9, AKDT: -8, HST: -10, BRT: -3 };

/** A text as date or time, in UTC where a zone is told; null where it is neither. */
export function moment(text, dayFirst) {
  const [plain, offset] = parted(text), told = read(plain, dayFirst);
  return told === null || offset === null ? told : told - offset;
}

/** [the time without its zone, that zone's seconds before UTC or null]. */
function parted(text) {
  const found = text.includes(":") && ZONED.exec(text);
  if (!found) return [text, null];
  const [, clock, sign, hours, minutes, word] = found;
  if (word) return word.toUpperCase() in ZONES ? [clock, ZONES[word.toUpperCase()] * HOUR] : [text, null];
  const offset = Number(hours) * HOUR + Number(minutes ?? 0) * 60;
  return offset > 15 * HOUR ? [text, null] : [clock, sign === "+" ? offset : -offset];
}

function read(given, dayFirst) {
  let text = given;
  if (TIME.test(text)) text = `1970-01-01 ${text.padStart(text.split(":").length === 2 ? 5 : 8, "0")}`;
  if (HALVES.test(text)) text = `1/1/1970 ${text}`;
  if (ISO.test(text)) return iso(text);
  const slashed = SLASHED.exec(text);
  if (slashed) {
    const [, first, mark, second, year, ...clock] = slashed;
    const american = mark === "." ? null : dated(year, first, second, clock), other = dated(year, second, first, clock);
    if (american === null || other === null) return american ?? other;
    return dayFirst ? other : american;
  }
  const named = NAMED.exec(text);
  if (!named) return null;
  const [, day, month, monthToo, dayToo, year, ...clock] = named;
  const number = MONTHS.indexOf((month ?? monthToo).slice(0, 3).toLowerCase()) + 1;
  return number ? dated(year, number, day ?? dayToo, clock) : null;
}

function iso(text) {
  const [day, ...rest] = text.replaceAll("T", " ").split(" "), clock = strip(rest.join(" "));
  const parts = day.split(/[-/.]/);
  if (parts.length === 2 && (day.includes(".") || clock || !(parts[0] >= 1600 && parts[0] <= 2200))) return null;
  const found = clock ? ISO_CLOCK.exec(clock) : ["", "0", "0", "0"];
  if (!found) throw new CellError(`expected a date with a clock as 12:30:00, got ${shorten(text)}.\nWrite it as 2026-01-31 12:30:00.`);
  const [hour, minute, second] = found.slice(1, 4).map((part) => Number(part ?? 0));
  const micro = Number((found[4] ?? "").slice(0, 6).padEnd(6, "0")) / 1e6;
  const seconds = at(Number(parts[0]), Number(parts[1]), Number(parts[2] ?? 1), hour, minute);
  return seconds === null || second > 59 ? null : seconds + second + micro;
}

function dated(year, month, day, [hour, minute, second, half]) {
  const full = Number(year) + (year.length === 4 ? 0 : Number(year) < 70 ? 2000 : 1900);
  const hours = half ? Number(hour) % 12 + (/^[pP]/.test(half) ? 12 : 0) : Number(hour ?? 0);
  const seconds = at(full, Number(month), Number(day), hours, Number(minute ?? 0));
  return seconds === null ? null : seconds + Number(second ?? 0);
}

/** Seconds since 1970; null where the calendar has no such minute. */
function at(year, month, day, hour, minute) {
  const found = new Date(0);
  found.setUTCFullYear(year, month - 1, day);
  const there = year > 0 && found.getUTCFullYear() === year && found.getUTCMonth() === month - 1 && found.getUTCDate() === day;
  return there && hour < 24 && minute < 60 ? found.getTime() / 1000 + hour * HOUR + minute * 60 : null;
}

/** Two waves a year, month, weekday; two waves a day if `clock`. */
export function calendar(seconds, clock) {
  const stamp = Math.trunc(seconds), days = Math.floor(stamp / DAY), date = new Date(days * DAY * 1000);
  const first = new Date(0).setUTCFullYear(date.getUTCFullYear(), 0, 1) / 1000 / DAY;
  const hot = (size, one) => Array.from({ length: size }, (_, k) => +(k === one));
  const found = [...waves((days - first) / 365.25), ...hot(12, date.getUTCMonth()), ...hot(7, ((days + 3) % 7 + 7) % 7)];
  return clock ? [...found, ...waves((stamp - days * DAY) / DAY)] : found;
}

function waves(turns) {
  const angle = 2 * Math.PI * turns;
  return [Math.sin(angle), Math.cos(angle), Math.sin(2 * angle), Math.cos(2 * angle)];
}

/** A moment as answers tell it. */
export function told(seconds) {
  const date = new Date(even(seconds) * 1000);
  if (Number.isNaN(date.getTime()) || date.getUTCFullYear() < 1 || date.getUTCFullYear() > 9999) return `${seconds} s`;
  const text = date.toISOString();
  return seconds % DAY ? `${text.slice(0, 10)} ${text.slice(11, 19)}` : text.slice(0, 10);
}
