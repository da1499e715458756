// Where answers come from: the server that sent this page, with the token that it wants.
import { Problem } from "./dom.js";

const headers = (more) => {
  const token = sessionStorage.getItem("token");
  return { ...more, ...(token ? { Authorization: `Bearer ${token}` } : {}) };
};

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
