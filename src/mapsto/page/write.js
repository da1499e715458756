// Runs that write: a text that goes on, and a talk. Both come a piece at a time and can be stopped.
import { events } from "./asking.js";
import { el, newId } from "./dom.js";

function options() {
  const tokens = newId("tokens"), heat = newId("heat");
  const most = el("input", { id: tokens, type: "number", min: 1, max: 4096, value: 128 });
  const warm = el("input", { id: heat, type: "number", min: 0, max: 2, step: 0.1, value: 0.8 });
  const element = el("div", { class: "fields" },
    el("div", { class: "field" }, el("label", { for: tokens }, "Tokens at most"), most),
    el("div", { class: "field" }, el("label", { for: heat }, "Temperature"), warm, el("p", { class: "hint" }, "0 takes the likeliest each time")));
  return { element, get: () => ({ tokens: +most.value, temperature: +warm.value, seed: Math.floor(1e6 * Math.random()) }) };
}

/** Pieces into a place, until the end or until it is stopped. */
async function pour(path, asked, place, button, tell) {
  let stopped = false, text = "";
  const label = button.textContent, stop = (event) => { event.preventDefault(); event.stopPropagation(); stopped = true; };
  button.textContent = "Stop";
  button.addEventListener("click", stop);
  try {
    for await (const said of events(path, { ...asked, stream: true })) {
      if (stopped) break;
      text += said.text ?? "";
      place.append(said.text ?? "");
    }
  } catch (problem) {
    tell(problem);
  } finally {
    button.textContent = label;
    button.removeEventListener("click", stop);
  }
  return text;
}

export function writes(run, form, answer, tell) {
  const id = newId("prompt"), box = el("textarea", { id, rows: 4 }), how = options();
  const button = el("button", { class: "main" }, "Go on");
  form.replaceChildren(el("div", { class: "field wide" }, el("label", { for: id }, "A beginning"), box), how.element, el("div", { class: "row" }, button));
  form.onsubmit = async (event) => {
    event.preventDefault();
    tell(null);
    const place = el("p", { class: "value long" }, el("span", { class: "quiet" }, box.value));
    answer.replaceChildren(place);
    await pour(`/${run.name}/write`, { prompt: box.value, ...how.get() }, place, button, tell);
  };
}

export function talks(run, form, answer, tell) {
  const id = newId("say"), how = options(), talk = el("div", { class: "talk", role: "log", "aria-label": "the talk", tabindex: 0 });
  const box = el("textarea", { id, rows: 2, onkeydown: (event) => {
    if (event.key === "Enter" && !event.shiftKey) { event.preventDefault(); form.requestSubmit(); }
  } });
  const button = el("button", { class: "main" }, "Say it");
  let messages = [];
  const anew = el("button", { type: "button", onclick: () => { messages = []; talk.replaceChildren(); } }, "Begin anew");
  form.replaceChildren(el("div", { class: "field wide" }, el("label", { for: id }, "Your message"), box, el("p", { class: "hint" }, "Enter sends, Shift + Enter begins a line.")),
    how.element, el("div", { class: "row" }, button, anew));
  answer.replaceChildren(talk);
  form.onsubmit = async (event) => {
    event.preventDefault();
    const content = box.value.trim();
    if (!content) return;
    tell(null);
    box.value = "";
    messages.push({ role: "user", content });
    const place = el("p", { class: "assistant" });
    talk.append(el("p", { class: "user" }, content), place);
    const text = await pour(`/${run.name}/write`, { messages, ...how.get() }, place, button, tell);
    if (text.trim()) messages.push({ role: "assistant", content: text });
    else { messages.pop(); place.textContent = "(it says nothing)"; }
    talk.scrollTop = talk.scrollHeight;
  };
}
