// Prose. Ctrl or ⌘ with Enter asks.
import { el, newId } from "../dom.js";

export default function field(input) {
  const id = newId("text");
  const box = el("textarea", { id, rows: 5, onkeydown: (event) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) box.form.requestSubmit();
  } });
  return {
    element: el("div", { class: "field wide" }, el("label", { for: id }, input.name), box,
      el("p", { class: "hint" }, "Ctrl + Enter asks.")),
    get: () => box.value || null,
    set(cell) { box.value = Array.isArray(cell) ? cell.join(" ") : cell ?? ""; },
    shown: (cell) => (cell == null ? "—" : Array.isArray(cell) ? cell.join(" ") : String(cell)),
  };
}
