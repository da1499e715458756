// A sound, read in a browser as mapsto.types.audio reads it: wav here, sample by sample; what is compressed by the
// browser, at the file's own rate; brought to the run's rate by rate.js.
import { CellError, bytesOf, even, padded, tensor, whole } from "../_web.js";
import { atRate } from "./rate.js";

const GAP = -32768; // where a clip has no sample
const MOST_SECONDS = 3600, UNKNOWN = 0x7fff0000; // a wav's size from which it stands for "unknown"
const WAYS = "Replace it, or save it as wav.";

export default function reader(type) {
  return async (cell) => {
    const bytes = bytesOf(cell), clip = bytes ? await clipOf(bytes, type.hertz) : [];
    if (type.order) return { feed: { cells: padded("int32", clip), lengths: whole([clip.length]) } };
    const data = new Int32Array(type.most).fill(GAP);
    data.set(loudest(clip, type.most));
    return { feed: { cells: tensor("int32", [1, type.most], data) } };
  };
}

async function clipOf(bytes, hertz) {
  const { samples, rate } = await read(bytes, hertz), found = atRate(samples, rate, hertz);
  return found.length ? found : samples.subarray(0, 1);
}

/** {samples: one channel in steps of 16 bits, rate}. */
async function read(bytes, hertz) {
  const { channels, rate } = wav(bytes) ?? (await decoded(bytes, hertz)), count = channels[0]?.length ?? 0;
  if (!count) throw new CellError(`the sound has no samples.\n${WAYS}`);
  if (count > MOST_SECONDS * rate) throw new CellError(`longer than ${MOST_SECONDS / 60} minutes.\nCut it into clips.`);
  const samples = new Float32Array(count);
  for (let i = 0; i < count; i++) {
    let sum = 0;
    for (const channel of channels) sum = Math.fround(sum + channel[i]);
    samples[i] = step(Math.fround(sum / channels.length) * 32768);
  }
  if (samples.some(Number.isNaN)) throw new CellError(`expected finite samples.\n${WAYS}`);
  return { samples, rate };
}

const step = (value) => Math.min(32767, Math.max(-32767, even(value)));

/** A wav of whole numbers or floats; null of what is none. */
function wav(bytes) {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length), name = (at) => String.fromCharCode(...bytes.subarray(at, at + 4));
  if (bytes.length < 12 || name(0) !== "RIFF" || name(8) !== "WAVE") return null;
  let form = null;
  for (let at = 12; at + 8 <= bytes.length;) {
    const size = view.getUint32(at + 4, true), held = bytes.length - at - 8;
    if (name(at) === "fmt ") {
      const kind = view.getUint16(at + 8, true);
      form = { kind: kind === 0xfffe ? view.getUint16(at + 32, true) : kind, count: view.getUint16(at + 10, true),
        rate: view.getUint32(at + 12, true), bits: view.getUint16(at + 22, true) };
    }
    if (name(at) === "data" && form) {
      if (size > held && size < UNKNOWN) throw new CellError(`cut off, ${size - held} bytes fewer than its head says.\n${WAYS}`);
      return sampled(view, at + 8, Math.min(size, held), form);
    }
    at += 8 + size + (size % 2);
  }
  return null;
}

function sampled(view, start, size, { kind, count, rate, bits }) {
  const read = SAMPLES[`${kind} ${bits}`], wide = bits / 8;
  if (!read || !count || !rate) return null;
  const frames = Math.floor(size / wide / count);
  const channels = Array.from({ length: count }, (_, c) => Float32Array.from({ length: frames }, (_, i) => read(view, start + (i * count + c) * wide)));
  return { channels, rate };
}

const SAMPLES = {
  "1 8": (view, at) => (view.getUint8(at) - 128) / 128,
  "1 16": (view, at) => view.getInt16(at, true) / 2 ** 15,
  "1 24": (view, at) => (view.getInt16(at + 1, true) * 256 + view.getUint8(at)) / 2 ** 23,
  "1 32": (view, at) => view.getInt32(at, true) / 2 ** 31,
  "3 32": (view, at) => view.getFloat32(at, true),
  "3 64": (view, at) => view.getFloat64(at, true),
};

/** By the browser, which brings a sound to the rate that it is asked for: its own, where its head tells that. */
async function decoded(bytes, hertz) {
  const rate = rateOf(bytes) ?? Math.max(hertz, 8000);
  try {
    const sound = await new OfflineAudioContext(1, 1, rate).decodeAudioData(bytes.slice().buffer);
    return { channels: Array.from({ length: sound.numberOfChannels }, (_, c) => sound.getChannelData(c)), rate: sound.sampleRate };
  } catch {
    throw new CellError(`not a sound that this browser can read.\n${WAYS}`);
  }
}

/** Samples a second of a FLAC, an Ogg of Vorbis or Opus, an MPEG; null where none is found. */
function rateOf(bytes) {
  const text = String.fromCharCode(...bytes.subarray(0, 64)), view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  if (text.startsWith("fLaC")) return view.getUint32(18) >>> 12;
  if (text.startsWith("OggS")) {
    const vorbis = text.indexOf("\x01vorbis");
    return vorbis > 0 ? view.getUint32(vorbis + 12, true) : text.includes("OpusHead") ? 48000 : null;
  }
  let at = 0;
  if (text.startsWith("ID3")) at = 10 + [6, 7, 8, 9].reduce((size, k) => size * 128 + bytes[k], 0);
  if (bytes[at] !== 0xff || (bytes[at + 1] & 0xe0) !== 0xe0) return null;
  const rate = [44100, 48000, 32000][(bytes[at + 2] >> 2) & 3], version = (bytes[at + 1] >> 3) & 3;
  return rate ? rate / { 3: 1, 2: 2, 0: 4 }[version] || null : null;
}

/** The `most` neighbouring samples of greatest energy. */
function loudest(samples, most) {
  if (samples.length <= most) return samples;
  let energy = 0, best = -1, start = 0;
  for (let end = 0; end < samples.length; end++) {
    energy += samples[end] ** 2 - (end >= most ? samples[end - most] ** 2 : 0);
    if (end >= most - 1 && energy > best) [best, start] = [energy, end - most + 1];
  }
  return samples.subarray(start, start + most);
}
