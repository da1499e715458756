// A date, or a date with its time.
import { el, newId } from "../dom.js";

export default function field(input) {
  const { low, high, middle, clock } = input.field, id = newId("date");
  const box = el("input", { id, type: clock ? "datetime-local" : "date", ...(clock ? { step: 1 } : {}) });
  const fit = (cell) => { const text = String(cell).replace(" ", "T"); return clock ? text.slice(0, 19) : text.slice(0, 10); };
  box.value = middle ? fit(middle) : "";
  return {
    element: el("div", { class: "field" }, el("label", { for: id }, input.name), box,
      low ? el("p", { class: "hint" }, `in training ${low} to ${high}`) : null),
    get: () => box.value || null,
    set(cell) { box.value = cell == null ? "" : fit(cell); },
    shown: (cell) => (cell == null ? "—" : String(cell)),
  };
}
