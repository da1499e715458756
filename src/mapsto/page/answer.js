// An answer: values, probabilities as bars, sets and intervals, what moved it, what was right, and how to ask in
// a shell or in Python.
import { ask } from "./asking.js";
import { dataUrl, el, newId } from "./dom.js";

const BARS = 8, DIGITS = 4, LONG = 60;
const short = (value) => (typeof value === "number" ? String(Number(value.toPrecision(DIGITS))) : String(value));
const percent = (value) => `${(100 * value).toFixed(value >= 0.0995 && value < 0.995 ? 0 : 1)} %`;
export const words = (value) => (value == null ? "—" : Array.isArray(value) ? value.map(words).join(", ") : typeof value === "object" ? JSON.stringify(value) : short(value));

export function answered(run, answer) {
  const parts = run.outputs.map((one) => output(one, answer, run.outputs.length > 1));
  if (answer.unsure) parts.unshift(el("p", { class: "badge" }, "Unsure: this is far from what it has learned from."));
  if (answer.note) parts.push(el("p", { class: "badge" }, answer.note));
  return el("div", {}, ...parts);
}

function output(one, answer, named) {
  const column = (field) => answer[one.columns[field]];
  const value = words(column("value")), parts = [];
  if (named) parts.push(el("p", { class: "label" }, one.name));
  const said = column("words") ? marked(column("words"), column("value"), column("entities")) : [value];
  parts.push(el("p", { class: column("words") ? "value long tagged" : value.length > LONG ? "value long" : "value" }, ...said));
  if (column("low") != null) parts.push(el("p", { class: "quiet" }, `9 times in 10 between ${short(column("low"))} and ${short(column("high"))}`));
  const held = column("set"), inSet = new Set((held ?? []).map(String));
  const chances = one.classes.map(([name, place]) => [String(name), answer[place]]).filter(([, chance]) => chance != null);
  if (chances.length) parts.push(bars(chances, inSet));
  else if (column("probability") != null) parts.push(el("p", { class: "quiet" }, `probability ${percent(column("probability"))}`));
  if (held) parts.push(el("p", { class: "hint" }, held.length ? `9 times in 10 the true one is among: ${held.join(", ")}` : "No class is likely enough to be told."));
  return el("div", { class: "output" }, ...parts);
}

/** An answer in a few words: of names that were found in a text these, not what each word is. */
export function brief(one, answer) {
  const found = answer[one.columns.entities];
  if (!found) return words(answer[one.columns.value]);
  return found.map((name) => `${name.text} (${name.type})`).join(", ") || "no names";
}

/** A text whose words are tagged: its names, or over each word what it is. */
function marked(text, tags, names) {
  if (!names) return text.flatMap((word, i) => [el("ruby", {}, word, el("rt", {}, tags[i])), " "]);
  const parts = [];
  let at = 0;
  for (const { first, last, text: name, type } of names) {
    if (first > at) parts.push(`${text.slice(at, first).join(" ")} `);
    parts.push(el("mark", { class: "name" }, name, el("small", {}, type)), " ");
    at = last + 1;
  }
  parts.push(text.slice(at).join(" "));
  if (!names.length) parts.push(el("small", { class: "none" }, "no names"));
  return parts;
}

function bars(chances, held) {
  const sorted = [...chances].sort((a, b) => b[1] - a[1]), left = sorted.slice(BARS);
  const list = el("ol", { class: "bars", "aria-label": "probabilities" }, ...sorted.slice(0, BARS).map(([name, chance]) => {
    const bar = el("span", { class: "bar" });
    bar.style.width = `${100 * chance}%`;
    return el("li", {}, bar, el("span", { class: held.has(name) ? "in" : null }, name), el("span", {}, percent(chance)));
  }));
  if (left.length) list.append(el("li", {}, el("span", {}, `${left.length} others`), el("span", {}, percent(left.reduce((sum, one) => sum + one[1], 0)))));
  return list;
}

/** What moved the answer: red speaks for it, blue against. */
export function moved(found) {
  const inside = Object.entries(found.inputs), parts = [];
  const plain = inside.filter(([, one]) => one.weight !== undefined).sort((a, b) => Math.abs(b[1].weight) - Math.abs(a[1].weight));
  for (const [name, one] of inside) {
    if (one.picture) parts.push(el("img", { src: dataUrl(one.picture, "image/png"), alt: `${name}: parts marked by how much they move the answer` }));
    if (one.pieces) parts.push(el("p", { class: "pieces" }, ...one.pieces.map(([text, weight]) => {
      const mark = el("mark", { title: short(weight) }, text);
      if (weight) mark.style.background = `color-mix(in srgb, var(--${weight > 0 ? "for" : "against"}) ${Math.round(60 * Math.abs(weight))}%, transparent)`;
      return mark;
    })));
  }
  for (const [name, one] of plain) {
    const bar = el("i", { class: one.weight < 0 ? "against" : null });
    bar.style.width = `${50 * Math.abs(one.weight)}%`;
    if (one.weight < 0) bar.style.transform = "translateX(-100%)";
    parts.push(el("div", { class: "weight" }, el("span", {}, name), el("span", { class: "axis" }, bar), el("span", {}, one.weight.toFixed(2))));
  }
  if (!parts.length) return el("p", { class: "hint" }, "There is nothing in this row that could be hidden.");
  parts.push(el("p", { class: "hint" }, `What moved the answer for ${found.output}: red speaks for it, blue against it. Each part was hidden in turn.`));
  return el("div", { class: "seen" }, ...parts);
}

/** Was it right? What is kept, the run can be extended with. */
export function thumbs(run, row, answer, tell) {
  const place = el("div", { class: "copy" });
  const keep = (body) => ask(`/${run.name}/feedback`, { row, ...body })
    .then(() => place.replaceChildren(el("p", { class: "quiet", role: "status" }, "Kept. Thank you.")), tell);
  const [first] = run.outputs, id = newId("right");
  const box = first.classes.length ? el("select", { id }, ...first.classes.map(([name], i) => el("option", { value: i }, String(name)))) : el("input", { id });
  const right = () => keep({ right: { [first.name]: first.classes.length ? first.classes[box.value][0] : box.value } });
  const wrong = () => place.replaceChildren(el("label", { for: id }, `The right ${first.name}`), box,
    el("div", { class: "row" }, el("button", { type: "button", onclick: right }, "Keep it"), el("button", { type: "button", class: "plain", onclick: () => keep({ thumb: "down" }) }, "I do not know")));
  place.append(el("div", { class: "row" }, el("span", {}, "Is it right?"),
    el("button", { type: "button", onclick: () => keep({ answer, thumb: "up" }) }, "Yes"), el("button", { type: "button", onclick: wrong }, "No")));
  return place;
}

export function copied(run, row) {
  const files = run.inputs.filter((one) => one.schema.contentEncoding).map((one) => one.name);
  const url = `${location.origin}/${run.name}`, quoted = (text) => `'${text.replaceAll("'", "'\\''")}'`;
  const form = run.inputs.map((one) => `-F ${quoted(files.includes(one.name) ? `${one.name}=@FILE` : `${one.name}=${row[one.name] ?? ""}`)}`).join(" ");
  const curl = files.length ? `curl ${form} ${quoted(url)}` : `curl --json ${quoted(JSON.stringify(row))} ${quoted(url)}`;
  const python = (value) => JSON.stringify(value, null, 1).replace(/\n\s*/g, " ").replace(/\bnull\b/g, "None").replace(/\btrue\b/g, "True").replace(/\bfalse\b/g, "False");
  const cells = Object.fromEntries(run.inputs.map((one) => [one.name, files.includes(one.name) ? "FILE" : row[one.name]]));
  const code = `import mapsto\n\nprint(mapsto.Client("${url}").predict(${python(cells)}))`;
  const copy = (text) => async (event) => {
    await navigator.clipboard.writeText(text);
    event.target.textContent = "Copied";
  };
  return el("div", { class: "copy row" }, el("span", { class: "quiet" }, "The same in"),
    el("button", { type: "button", class: "plain", onclick: copy(curl) }, "a shell"), el("button", { type: "button", class: "plain", onclick: copy(code) }, "Python"));
}
