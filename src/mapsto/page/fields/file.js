// What fields of files share: drop one, choose one, paste one. No kind of its own.
import { base64, el, newId } from "../dom.js";

export function fileField(input, says, show, more, shown = show) {
  const id = newId("file"), title = newId("title");
  let cell = null;
  const view = el("div", {});
  const chosen = el("input", { id, type: "file", class: "hidden", accept: [...input.field.accept, says.accept].join(","),
    onchange: () => chosen.files[0] && take(chosen.files[0]) });
  const set = (found) => { cell = found; view.replaceChildren(...(found ? [show(found)] : [])); };
  const take = async (blob) => {
    if (blob.size) return set(await base64(blob));
    set(null);
    view.replaceChildren(el("p", { class: "bad", role: "alert" }, `${blob.name ?? "The file"} is empty (0 bytes).`));
  };
  const drop = el("div", { class: "drop" }, view,
    el("p", { class: "hint" }, says.hint),
    el("div", { class: "row" },
      el("button", { type: "button", onclick: () => chosen.click() }, says.choose), ...more({ take, view, set })),
    chosen);
  for (const kind of ["dragover", "dragleave", "drop"]) drop.addEventListener(kind, (event) => {
    event.preventDefault();
    drop.classList.toggle("over", kind === "dragover");
    if (kind === "drop" && event.dataTransfer.files[0]) take(event.dataTransfer.files[0]);
  });
  addEventListener("paste", (event) => {
    const file = [...event.clipboardData.files].find((one) => one.type.startsWith(says.accept.split("/")[0]));
    if (file && drop.isConnected) take(file);
  });
  return {
    element: el("div", { class: "field wide", role: "group", "aria-labelledby": title },
      el("span", { class: "label", id: title }, input.name), el("label", { for: id, class: "hidden" }, `${input.name}: a file`), drop),
    get: () => cell, set, shown: (found) => (found ? shown(found) : "—"),
  };
}
