// What every part of the page needs: elements, requests with the token, bytes as base64.

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

const headers = (more) => {
  const token = sessionStorage.getItem("token");
  return { ...more, ...(token ? { Authorization: `Bearer ${token}` } : {}) };
};

export class Problem extends Error {
  constructor(status, said) {
    super(said);
    this.status = status;
  }
}

async function send(path, body) {
  const how = body === undefined ? { headers: headers({}) }
    : { method: "POST", headers: headers({ "Content-Type": "application/json" }), body: JSON.stringify(body) };
  const answer = await fetch(path, how).catch(() => { throw new Problem(0, "The server cannot be reached."); });
  if (!answer.ok) {
    const said = await answer.json().catch(() => ({}));
    throw new Problem(answer.status, said.problem || answer.statusText);
  }
  return answer;
}

export const ask = async (path, body) => (await send(path, body)).json();

/** The data of server-sent events, as they come. */
export async function* events(path, body) {
  const reader = (await send(path, body)).body.pipeThrough(new TextDecoderStream()).getReader();
  try {
    for (let held = ""; ;) {
      const { value, done } = await reader.read();
      if (done) return;
      const parts = (held + value).split("\n\n");
      held = parts.pop();
      for (const part of parts) {
        const said = JSON.parse(part.slice("data: ".length));
        if (said.error) throw new Problem(503, said.error.message);
        yield said;
      }
    }
  } finally {
    reader.cancel();
  }
}

export const base64 = (blob) => new Promise((resolve, reject) => {
  const reader = new FileReader();
  reader.onload = () => resolve(reader.result.split(",")[1] ?? "");
  reader.onerror = () => reject(new Problem(0, "The file cannot be read."));
  reader.readAsDataURL(blob);
});

export const dataUrl = (cell, kind) => `data:${kind};base64,${cell}`;
