// The page: what is served, a form made of its fields, answers, and what was asked before. Fields are files of
// their own (fields/KIND.js); so a type that brings a new kind adds one, and this file stays as it is.
import { answered, brief, copied, moved, thumbs } from "./answer.js";
import { ask } from "./asking.js";
import { Problem, el, newId } from "./dom.js";
import { talks, writes } from "./write.js";

const at = (id) => document.getElementById(id);
const HISTORY = 20;

function tell(problem) {
  at("said").replaceChildren(problem ? el("p", { class: "bad" }, problem.message) : "");
  if (problem && !(problem instanceof Problem)) throw problem;
}

async function start() {
  let names;
  try {
    names = await ask("/names");
  } catch (problem) {
    if (problem.status !== 401) return tell(problem);
    return token();
  }
  const asked = decodeURIComponent(location.hash.slice(1)), all = Object.keys(names);
  const name = all.includes(asked) ? asked : all[0];
  at("names").replaceChildren(...(all.length > 1 ? all.map((one) =>
    el("a", { href: `#${encodeURIComponent(one)}`, "aria-current": one === name ? "page" : null }, one)) : []));
  await open(name).catch(tell);
}

/** A server that wants a token is told it once, and the browser keeps it as long as the page is open. */
function token() {
  const id = newId("token"), box = el("input", { id, type: "password", autocomplete: "off", required: true });
  at("signature").textContent = "This server wants a token.";
  at("form").replaceChildren(el("div", { class: "field" }, el("label", { for: id }, "Token"), box),
    el("div", { class: "row" }, el("button", { class: "main" }, "Go on")));
  at("form").onsubmit = (event) => { event.preventDefault(); sessionStorage.setItem("token", box.value); start(); };
}

async function open(name) {
  tell(null);
  const run = await ask(`/${name}`);
  document.title = `${name} · mapsto`;
  at("signature").textContent = run.signature.replace("->", "→").trim();
  at("figures").textContent = Object.entries(run.metrics).map(([output, found]) => {
    const [metric, value] = Object.entries(found)[0] ?? [];
    return metric && value != null ? `${output}: ${metric} ${Number(value.toPrecision(3))} on test rows` : "";
  }).filter(Boolean).join(" · ");
  at("examples").hidden = at("history-part").hidden = true;
  at("history").replaceChildren();
  at("answer").replaceChildren(el("p", { class: "quiet" }, "Nothing asked yet."));
  if (run.loads) loading(run);
  if (run.writes) return (run.writes === "talk" ? talks : writes)(run, at("form"), at("answer"), tell);
  await rows(run);
}

/** A page that answers by itself has its net yet to come. */
function loading(run) {
  const waiting = el("p", { class: "quiet" }, `The net is on its way: ${run.loads}, once. You can ask already.`);
  at("answer").replaceChildren(waiting);
  run.ready.then(() => waiting.replaceChildren("Nothing asked yet."));
}

const field = (input) => import(`./fields/${input.field.kind}.js`).catch(() => import("./fields/value.js"))
  .then((found) => ({ input, ...found.default(input) }));

async function rows(run) {
  const fields = await Promise.all(run.inputs.map(field));
  const button = el("button", { class: "main" }, "Ask");
  const clear = el("button", { type: "button", onclick: () => fields.forEach((one) => one.set(null)) }, "Clear");
  at("form").replaceChildren(el("div", { class: "fields" }, ...fields.map((one) => one.element)),
    el("div", { class: "row" }, button, clear));
  let touched = false;
  at("form").oninput = () => { touched = true; };
  const fill = (row) => fields.forEach((one) => one.set(row[one.input.name]));
  const shown = (row) => fields.slice(0, 3).map((one) => one.shown(row[one.input.name]));
  at("form").onsubmit = async (event) => {
    event.preventDefault();
    touched = true;
    const row = Object.fromEntries(fields.map((one) => [one.input.name, one.get()]));
    if (Object.values(row).every((cell) => cell === null)) return tell(new Problem(0, `Nothing to ask about yet: ${fields.map((one) => one.input.name).slice(0, 5).join(", ")}.`));
    button.disabled = true;
    tell(null);
    try {
      const answer = await ask(`/${run.name}?probabilities=true`, row);
      show(run, row, answer);
      remember(run, row, answer, () => { fill(row); show(run, row, answer); }, shown(row));
    } catch (problem) {
      at("answer").replaceChildren(el("p", { class: "quiet" }, "No answer."));
      tell(problem);
    } finally {
      button.disabled = false;
    }
  };
  ask(`/${run.name}/examples`).then((found) => {
    at("examples").hidden = !found.length;
    if (found.length && !touched) fill(found[0]);
    at("examples").replaceChildren(...found.map((row, i) => el("button",
      { type: "button", title: `Test row ${i + 1}`, onclick: () => { fill(row); at("form").requestSubmit(); } },
      ...between(shown(row)))));
  }, tell);
}

const between = (parts) => parts.flatMap((one, i) => (i ? [" · ", one] : [one]));

function show(run, row, answer) {
  const place = el("div", {}), parts = [answered(run, answer), place];
  if (run.explains && !answer.problem) parts.push(el("button", { type: "button", class: "plain", onclick: async (event) => {
    event.target.disabled = true;
    await ask(`/${run.name}/explain`, row).then((found) => place.replaceChildren(moved(found)), tell);
    event.target.remove();
  } }, "What did it look at?"));
  if (run.feedback && !answer.problem) parts.push(thumbs(run, row, answer, tell));
  if (!run.local) parts.push(copied(run, row));
  at("answer").replaceChildren(...parts);
  if (matchMedia("(max-width: 46rem)").matches) at("answer-title").scrollIntoView();
}

function remember(run, row, answer, again, shown) {
  const said = run.outputs.map((one) => brief(one, answer)).join(" · ");
  at("history").prepend(el("li", {}, el("button", { type: "button", onclick: again },
    el("span", {}, ...between(shown.map((one) => (one instanceof Node ? one.cloneNode() : one)))), el("strong", {}, said))));
  while (at("history").children.length > HISTORY) at("history").lastChild.remove();
  at("history-part").hidden = false;
}

addEventListener("hashchange", start);
start();
