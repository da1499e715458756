// A sound: dropped, chosen, or recorded. A recording is sent as wav, which every run that hears can read.
import { dataUrl, el } from "../dom.js";
import { fileField } from "./file.js";

const show = (cell) => el("audio", { controls: true, src: dataUrl(cell, "audio/wav"), "aria-label": "the sound that is asked about" });

function microphone({ take, view }) {
  if (!navigator.mediaDevices?.getUserMedia || !window.MediaRecorder) return [];
  let recorder = null;
  const button = el("button", { type: "button", "aria-pressed": "false", onclick: async () => {
    if (recorder) { recorder.stop(); return; }
    try {
      const stream = await navigator.mediaDevices.getUserMedia({ audio: true }), parts = [];
      recorder = new MediaRecorder(stream);
      recorder.ondataavailable = (event) => parts.push(event.data);
      recorder.onstop = async () => {
        stream.getTracks().forEach((track) => track.stop());
        recorder = null;
        button.textContent = "Record";
        button.setAttribute("aria-pressed", "false");
        take(await wav(new Blob(parts)));
      };
      recorder.start();
      button.textContent = "Stop";
      button.setAttribute("aria-pressed", "true");
    } catch {
      view.replaceChildren(el("p", { class: "bad", role: "alert" }, "The microphone cannot be used."));
    }
  } }, "Record");
  return [button];
}

/** Whatever the browser recorded, as 16 bits, one channel. */
async function wav(blob) {
  const context = new AudioContext(), sound = await context.decodeAudioData(await blob.arrayBuffer());
  context.close();
  const samples = sound.getChannelData(0), view = new DataView(new ArrayBuffer(44 + 2 * samples.length));
  const text = (at, letters) => [...letters].forEach((letter, i) => view.setUint8(at + i, letter.charCodeAt(0)));
  text(0, "RIFF"); view.setUint32(4, 36 + 2 * samples.length, true); text(8, "WAVEfmt ");
  view.setUint32(16, 16, true); view.setUint16(20, 1, true); view.setUint16(22, 1, true);
  view.setUint32(24, sound.sampleRate, true); view.setUint32(28, 2 * sound.sampleRate, true);
  view.setUint16(32, 2, true); view.setUint16(34, 16, true); text(36, "data"); view.setUint32(40, 2 * samples.length, true);
  samples.forEach((value, i) => view.setInt16(44 + 2 * i, Math.max(-1, Math.min(1, value)) * 32767, true));
  return new Blob([view], { type: "audio/wav" });
}

export default (input) => fileField(input,
  { accept: "audio/*", hint: "Drop a sound here.", choose: "Choose a sound" }, show, microphone,
  (cell) => `a sound of ${Math.ceil(0.75 * cell.length / 1024)} kB`);
