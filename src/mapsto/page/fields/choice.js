// One of the values that training rows held; another may be typed.
import { el, newId } from "../dom.js";

const OTHER = "\u0000other";

export default function field(input) {
  const id = newId("choice"), { choices } = input.field;
  const other = el("input", { "aria-label": `${input.name}: another value`, placeholder: "another value", autocomplete: "off", hidden: true });
  const box = el("select", { id, onchange: () => { other.hidden = box.value !== OTHER; if (!other.hidden) other.focus(); } },
    ...choices.map((one, i) => el("option", { value: i }, String(one))),
    el("option", { value: "" }, "— missing —"), el("option", { value: OTHER }, "another …"));
  return {
    element: el("div", { class: "field" }, el("label", { for: id }, input.name), box, other),
    get: () => (box.value === "" ? null : box.value === OTHER ? other.value || null : choices[box.value]),
    set(cell) {
      const found = choices.findIndex((one) => String(one) === String(cell));
      box.value = cell == null ? "" : found < 0 ? OTHER : found;
      other.hidden = box.value !== OTHER;
      other.value = other.hidden ? "" : cell;
    },
    shown: (cell) => (cell == null ? "—" : String(cell)),
  };
}
