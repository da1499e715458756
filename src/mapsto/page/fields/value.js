// Any cell, as a text or as JSON: what a type gets that brings no field of its own.
import { el, newId } from "../dom.js";

export default function field(input) {
  const id = newId("value");
  const box = el("input", { id, autocomplete: "off" });
  return {
    element: el("div", { class: "field" }, el("label", { for: id }, input.name), box),
    get() {
      const text = box.value.trim();
      if (!text) return null;
      if (/^[[{]/.test(text)) try { return JSON.parse(text); } catch { return text; }
      return text;
    },
    set(cell) { box.value = cell == null ? "" : typeof cell === "object" ? JSON.stringify(cell) : cell; },
    shown: (cell) => (cell == null ? "—" : String(cell)),
  };
}
