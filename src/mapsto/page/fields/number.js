// A number, with a slider over what training rows held. Beyond it may be typed.
import { el, newId } from "../dom.js";

export default function field(input) {
  const { low, high, middle, unit } = input.field;
  const id = newId("number"), ranged = low !== undefined && low < high;
  const box = el("input", { id, inputmode: "decimal", autocomplete: "off", placeholder: "missing" });
  const slider = ranged && el("input", { type: "range", min: low, max: high, step: "any", value: middle,
    "aria-label": `${input.name}, over the range of the training rows`, oninput: () => { box.value = short(+slider.value); } });
  const short = (number) => String(Number(number.toPrecision(4)));
  box.addEventListener("input", () => { if (ranged && box.value && !isNaN(box.value)) slider.value = box.value; });
  const said = ranged ? `in training ${low} to ${high}${unit ? ` ${unit}` : ""}` : "";
  const set = (cell) => { box.value = cell ?? ""; if (ranged && cell != null && !isNaN(cell)) slider.value = cell; };
  if (ranged) set(middle);
  return {
    element: el("div", { class: "field" }, el("label", { for: id }, input.name), box, slider || null,
      said ? el("p", { class: "hint" }, said) : null),
    get() {
      const text = box.value.trim();
      return text === "" ? null : isNaN(text) ? text : Number(text);
    },
    set,
    shown: (cell) => (cell == null ? "—" : String(cell)),
  };
}
