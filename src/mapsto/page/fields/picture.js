// A picture: dropped, chosen, pasted, or photographed.
import { dataUrl, el } from "../dom.js";
import { fileField } from "./file.js";

const SMALL = 64; // pixels up to which a picture is shown larger than it is

function show(cell) {
  const image = el("img", { alt: "the picture that is asked about", src: dataUrl(cell, "image/png") });
  image.onload = () => image.classList.toggle("small", image.naturalWidth <= SMALL);
  return image;
}

function camera({ take, view }) {
  if (!navigator.mediaDevices?.getUserMedia) return [];
  let stream = null;
  const video = el("video", { autoplay: true, playsinline: true, muted: true });
  const button = el("button", { type: "button", onclick: async () => {
    if (stream) {
      const canvas = el("canvas", { width: video.videoWidth, height: video.videoHeight });
      canvas.getContext("2d").drawImage(video, 0, 0);
      stream.getTracks().forEach((track) => track.stop());
      stream = null;
      button.textContent = "Camera";
      canvas.toBlob(take, "image/png");
      return;
    }
    try {
      stream = await navigator.mediaDevices.getUserMedia({ video: { facingMode: "environment" } });
      video.srcObject = stream;
      view.replaceChildren(video);
      button.textContent = "Take the picture";
    } catch {
      view.replaceChildren(el("p", { class: "bad", role: "alert" }, "The camera cannot be used."));
    }
  } }, "Camera");
  return [button];
}

export default (input) => fileField(input,
  { accept: "image/*", hint: "Drop or paste a picture here.", choose: "Choose a picture" }, show, camera);
