// Where answers come from: this browser. The net is run by onnxruntime-web; what reads a cell and what tells an
// answer are scripts of the types and of the kinds of answers, which web.json names.
import * as runtime from "../runtime/ort.js";
import { CellError, shorten } from "../types/_web.js";
import { Problem } from "./dom.js";

const here = new URL("../", import.meta.url), LENGTHS = ".lengths", MOST_THREADS = 4;
const opening = open();
let before = Promise.resolve(); // a session answers one row after the other

async function json(name) {
  const found = await fetch(new URL(name, here));
  if (!found.ok) throw new Problem(found.status, `${name}: cannot be loaded. Export the run again.`);
  return found.json();
}

/** Threads share their memory, which a browser allows to pages that are isolated (COOP and COEP); else there is one. */
function session() {
  runtime.env.wasm.wasmPaths = { wasm: new URL("runtime/ort.wasm", here).href };
  runtime.env.wasm.numThreads = globalThis.crossOriginIsolated ? Math.min(MOST_THREADS, navigator.hardwareConcurrency ?? 1) : 1;
  runtime.env.logLevel = "error";
  return runtime.InferenceSession.create(new URL("model.onnx", here).href, { executionProviders: ["wasm"] });
}

async function open() {
  const made = session().catch((problem) => { throw new Problem(0, `The net cannot be run here: ${problem.message ?? problem}`); });
  const [rooms, web] = await Promise.all([json("rooms.json"), json("web.json")]);
  const script = async (one) => (await import(new URL(one.script, here))).default;
  const readers = await Promise.all(web.inputs.map(async (one) =>
    ({ ...one, read: (await script(one))({ ...rooms.types.input[one.name], ...one.options }) })));
  const tellers = await Promise.all(web.outputs.map(async (one) =>
    ({ ...one, tell: (await script(one))({ ...rooms.types.output[one.name], ...one.options }, rooms.calibration[one.name] ?? {}) })));
  const ready = made.then(() => true, () => false);
  return { description: { ...web.description, ready }, net: made, readers, tellers, knows: rooms.unsure };
}

/** As a server would answer: what there is, what it is, and an answer to a row. */
export async function ask(path, body) {
  const opened = await opening;
  if (path === "/names") return { [opened.description.name]: {} };
  if (body !== undefined) return answer(opened, body);
  return path.endsWith("/examples") ? [] : opened.description;
}

export async function* events() {
  throw new Problem(0, "A page without a server writes nothing.");
}

async function answer({ description, net, readers, tellers, knows }, row) {
  const { feed, sources, note } = await read(readers, row);
  const made = await run(net, feed), answer = { unsure: knows ? made.distance.data[0] > 1 : null, note, problem: "" };
  tellers.forEach(({ tell, within }, k) => {
    const { name, columns, classes } = description.outputs[k], found = tell(arraysOf(made, `output${k}.`), sources[within]);
    if (Number.isNaN(found.value)) throw new Problem(422, `the net's answer for '${name}' is no number`);
    for (const [field, column] of Object.entries(columns)) answer[column] = found[field] ?? null;
    classes.forEach(([, column], one) => { answer[column] = found.probabilities[one]; });
  });
  return answer;
}

/** {feed: what the graph is given, sources: texts that answers speak of, note: what was not seen in training}. */
async function read(readers, row) {
  const feed = {}, sources = {}, strange = [];
  for (const [k, { name, column, read }] of readers.entries()) {
    const cell = row[column] ?? null, found = await readCell(read, cell, column);
    for (const [part, one] of Object.entries(found.feed)) feed[`input${k}.${part}`] = one;
    sources[name] = found.source;
    if (found.unknown) strange.push(`${column} ${shorten(cell)}`);
  }
  return { feed, sources, note: strange.length ? `not seen in training: ${strange.join(", ")}` : "" };
}

async function readCell(read, cell, column) {
  try {
    return await read(cell);
  } catch (problem) {
    throw problem instanceof CellError ? new Problem(422, `${column}: ${problem.message}`) : problem;
  }
}

async function run(opening, feed) {
  const net = await opening;
  const given = Object.fromEntries(net.inputNames.map((name) => [name, new runtime.Tensor(feed[name].type, feed[name].data, feed[name].dims)]));
  const now = before.then(() => net.run(given));
  before = now.catch(() => null);
  return now;
}

/** {name: {data, dims, length: of a row of unequal length}} of one output. */
function arraysOf(made, begin) {
  const names = Object.keys(made).filter((name) => name.startsWith(begin) && !name.endsWith(LENGTHS));
  return Object.fromEntries(names.map((name) => {
    const { data, dims } = made[name], length = made[name + LENGTHS];
    return [name.slice(begin.length), { data, dims, length: length && Number(length.data[0]) }];
  }));
}
