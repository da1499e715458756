// What every part of the page needs: elements, problems, bytes as base64.

export function el(tag, attributes = {}, ...inside) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else if (value === true) made.setAttribute(name, "");
    else if (value !== false && value != null) made.setAttribute(name, value);
  }
  made.append(...inside.filter((one) => one != null));
  return made;
}

let count = 0;
export const newId = (name) => `${name}-${++count}`;

export class Problem extends Error {
  constructor(status, said) {
    super(said);
    this.status = status;
  }
}

export const base64 = (blob) => new Promise((resolve, reject) => {
  const reader = new FileReader();
  reader.onload = () => resolve(reader.result.split(",")[1] ?? "");
  reader.onerror = () => reject(new Problem(0, "The file cannot be read."));
  reader.readAsDataURL(blob);
});

export const dataUrl = (cell, kind) => `data:${kind};base64,${cell}`;
