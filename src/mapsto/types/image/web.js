// A picture, read in a browser as mapsto.types.image reads it: decoded and turned upright by the browser, made a
// square by the same arithmetic as Pillow's (resize.js).
import { CellError, bytesOf, even, tensor } from "../_web.js";
import { reduced, resized } from "./resize.js";

const LUMA = [0.299, 0.587, 0.114].map(Math.fround); // ITU-R BT.601
const MOST_PIXELS = 178e6, LONG = 16e6, MOST_RATIO = 1000;
const DRAFTS = [8, 4, 2]; // libjpeg decodes at such parts of a picture's size

export default function reader(type) {
  const { side, planes } = type;
  return async (cell) => {
    const bytes = bytesOf(cell), data = new Uint8Array(planes * side * side);
    if (bytes) {
      const square = squared(withPlanes(await read(bytes, 2 * side), planes), side, type.tall);
      for (let c = 0; c < planes; c++) for (let i = 0; i < side * side; i++) data[c * side * side + i] = square.data[i * planes + c];
    }
    return { feed: { cells: tensor("uint8", [1, planes, side, side], data) } };
  };
}

/** {width, height, channels 3, data} of a file; more pixels than `enough` on the shorter side are reduced at once. */
async function read(bytes, enough) {
  const whole = await decoded(bytes), { width, height } = whole;
  const least = Math.min(width, height), jpeg = bytes[0] === 0xff && bytes[1] === 0xd8;
  const draft = (jpeg && DRAFTS.find((one) => Math.floor(least / enough) >= one)) || 1;
  const drafted = draft > 1 ? reduced(whole, draft, draft) : whole;
  const factor = Math.max(1, Math.floor(Math.min(drafted.width, drafted.height) / enough));
  return factor > 1 ? reduced(drafted, factor, factor) : drafted;
}

async function decoded(bytes) {
  let picture;
  try {
    picture = await createImageBitmap(new Blob([bytes]), { colorSpaceConversion: "none", premultiplyAlpha: "none" });
  } catch {
    throw new CellError("not a picture that this browser can read.\nSend it as png or jpg.");
  }
  const { width, height } = picture, pixels = width * height;
  if (pixels > MOST_PIXELS || (pixels > LONG && Math.max(width, height) > MOST_RATIO * Math.min(width, height))) {
    throw new CellError(`${width}×${height} pixels are more than are read.\nScale the picture down.`);
  }
  const shown = onWhite(width, height, picture);
  picture.close();
  const data = new Uint8Array(3 * pixels);
  for (let i = 0; i < pixels; i++) for (let c = 0; c < 3; c++) data[3 * i + c] = shown[4 * i + c];
  return { width, height, channels: 3, data };
}

function onWhite(width, height, picture) {
  const canvas = new OffscreenCanvas(width, height), context = canvas.getContext("2d", { willReadFrequently: true });
  if (!context) throw new CellError(`${width}×${height} pixels are more than this browser holds.\nScale the picture down.`);
  context.fillStyle = "#fff";
  context.fillRect(0, 0, width, height);
  if (context.getImageData(0, 0, width, height).data.some((value) => value !== 255)) {
    throw new CellError("this browser changes what pages read of pictures (protection against fingerprints).\nAllow it for this page.");
  }
  context.drawImage(picture, 0, 0);
  return context.getImageData(0, 0, width, height).data;
}

function withPlanes({ width, height, data }, planes) {
  if (planes === 3) return { width, height, channels: 3, data };
  const grey = new Uint8Array(width * height), at = Math.fround;
  for (let i = 0; i < grey.length; i++) {
    const light = at(at(at(data[3 * i] * LUMA[0]) + at(data[3 * i + 1] * LUMA[1])) + at(data[3 * i + 2] * LUMA[2]));
    grey[i] = at(light + 0.5);
  }
  return { width, height, channels: 1, data: grey };
}

/** Squeezed onto the square up to 4:3; a longer picture keeps its shape and has its border's mean around it. */
export function squared(picture, side, tall) {
  const { width, height, channels } = picture, longest = Math.max(width, height);
  const squeezed = 4 * Math.min(width, height) >= 3 * longest;
  const inner = (length) => (squeezed ? side : Math.max(1, even(length * (side / longest))));
  const small = resized(picture, inner(width), inner(height), tall);
  if (squeezed) return small;
  const data = new Uint8Array(side * side * channels), border = borderOf(small);
  for (let i = 0; i < data.length; i++) data[i] = border[i % channels];
  const top = (side - small.height) >> 1, left = (side - small.width) >> 1, row = small.width * channels;
  for (let y = 0; y < small.height; y++) data.set(small.data.subarray(y * row, (y + 1) * row), ((top + y) * side + left) * channels);
  return { width: side, height: side, channels, data };
}

/** The mean of a picture's first and last rows and columns; the corners count twice. */
function borderOf({ width, height, channels, data }) {
  const sum = new Float64Array(channels), add = (x, y) => { for (let c = 0; c < channels; c++) sum[c] += data[(y * width + x) * channels + c]; };
  for (let x = 0; x < width; x++) { add(x, 0); add(x, height - 1); }
  for (let y = 0; y < height; y++) { add(0, y); add(width - 1, y); }
  return sum.map((value) => even(value / (2 * (width + height))));
}
