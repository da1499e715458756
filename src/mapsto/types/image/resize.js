// Pictures made smaller or larger exactly as Pillow does it (its Resample.c and Reduce.c): bilinear with as wide a
// triangle as the scale wants, along rows and along columns, each in 8 bits with weights of 22 bits.
// A picture is {width, height, channels, data}, data of bytes, row by row, channels together.

const BITS = 22; // of a weight: 32 less 8 of a pixel and 2 for what runs over
const GAP = 2; // at more than so many pixels for one they are first averaged in whole blocks

/** tall: does Pillow, as 13 and later, begin with the columns of what loses most of its height? */
export function resized(picture, width, height, tall) {
  const scale = [picture.width / width, picture.height / height];
  if (scale[0] === 1 && scale[1] === 1) return picture;
  const [across, down] = scale.map((one) => Math.floor(one / GAP) || 1);
  const small = across > 1 || down > 1 ? reduced(picture, across, down) : picture;
  const box = [picture.width / across, picture.height / down].map(Math.fround); // floats, where sides do not divide
  const columnsFirst = tall && small.height > height && 2 * (small.width - width) < small.height - height;
  return [columnsFirst, !columnsFirst].reduce((made, down) => {
    const [now, wanted, length] = down ? [made.height, height, box[1]] : [made.width, width, box[0]];
    return now === wanted && length === wanted ? made : pass(made, wanted, length, !down);
  }, small);
}

/** Along one axis to `size` pixels, from its first `length` ones. */
function pass({ width, height, channels, data }, size, length, across) {
  const rows = across ? height : width, inside = across ? width : height;
  const step = across ? channels : width * channels, line = across ? width * channels : channels; // to the next, and to the next row
  const made = across ? { width: size, height } : { width, height: size };
  const found = new Uint8Array(made.width * made.height * channels);
  const nextStep = across ? channels : made.width * channels, nextLine = across ? made.width * channels : channels;
  for (let at = 0; at < size; at++) {
    const { first, weights } = weightsOf(at, size, length, inside);
    for (let row = 0; row < rows; row++) {
      for (let c = 0; c < channels; c++) {
        let sum = 1 << (BITS - 1), from = row * line + first * step + c;
        for (let k = 0; k < weights.length; k++, from += step) sum += data[from] * weights[k];
        found[row * nextLine + at * nextStep + c] = Math.min(255, Math.max(0, sum >> BITS));
      }
    }
  }
  return { ...made, channels, data: found };
}

/** Which pixels a new one is made of, and by which weights, in whole numbers. */
function weightsOf(at, size, length, inside) {
  const scale = length / size, wide = Math.max(scale, 1), centre = (at + 0.5) * scale;
  const first = Math.max(0, Math.trunc(centre - wide + 0.5)), last = Math.min(inside, Math.trunc(centre + wide + 0.5));
  const triangle = Array.from({ length: last - first }, (_, k) => Math.max(0, 1 - Math.abs((k + first - centre + 0.5) * (1 / wide))));
  const total = triangle.reduce((sum, one) => sum + one, 0);
  return { first, weights: triangle.map((one) => Math.trunc(0.5 + (total ? one / total : one) * (1 << BITS))) };
}

/** Blocks of across × down pixels as one, their mean; those at the ends may be smaller. */
export function reduced({ width, height, channels, data }, across, down) {
  const made = { width: Math.ceil(width / across), height: Math.ceil(height / down) };
  const found = new Uint8Array(made.width * made.height * channels);
  for (let y = 0; y < made.height; y++) {
    const bottom = Math.min(height, (y + 1) * down);
    for (let x = 0; x < made.width; x++) {
      const right = Math.min(width, (x + 1) * across), count = (bottom - y * down) * (right - x * across);
      const factor = Math.trunc(Math.fround(2 ** 32 / (256 * count)));
      for (let c = 0; c < channels; c++) {
        let sum = count >> 1;
        for (let j = y * down; j < bottom; j++) for (let i = x * across; i < right; i++) sum += data[(j * width + i) * channels + c];
        found[(y * made.width + x) * channels + c] = Math.floor((sum * factor) / 2 ** 24);
      }
    }
  }
  return { ...made, channels, data: found };
}
