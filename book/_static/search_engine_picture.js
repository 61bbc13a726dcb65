// A picture file to the square of bytes that the networks were trained with: what
// fashionlib.catalog.pictures does in Python (read_picture, to_square), to the same byte.

const MOST_PIXELS = 64_000_000; // as fashionlib.catalog.pictures.MOST_PIXELS
const BAND = 1 << 20; // pixels read at a time: phones have small canvases

/** A mistake a person can mend; the message is one line that says what to do. */
export class PictureError extends Error {}

/**
 * Decode a picture and squash it to `side` × `side`: upright as EXIF says, transparency on white.
 * Returns a Uint8Array [3, side, side]. Throws a PictureError for what is no picture or too large.
 */
export async function readSquare(blob, name, side) {
  await checkSize(blob, name);
  await checkInk(blob, name);
  let bitmap;
  try {
    bitmap = await createImageBitmap(blob, {
      imageOrientation: "from-image",
      colorSpaceConversion: "none",
      premultiplyAlpha: "none",
    });
  } catch {
    throw new PictureError(`${name} cannot be read: save it again, or choose another picture.`);
  }
  const square = squash(rowsOf(bitmap), bitmap.width, bitmap.height, side);
  bitmap.close();
  return turned(square, side, await webpTurn(blob));
}

// Where the pixel at (x, y) comes from when a picture is turned as EXIF's number says; `e` is its edge
const TURNS = {
  2: (x, y, e) => [e - x, y],
  3: (x, y, e) => [e - x, e - y],
  4: (x, y, e) => [x, e - y],
  5: (x, y) => [y, x],
  6: (x, y, e) => [y, e - x],
  7: (x, y, e) => [e - y, e - x],
  8: (x, y, e) => [e - y, x],
};

function turned(square, side, turn) {
  const from = TURNS[turn];
  if (!from) return square;
  const result = new Uint8Array(square.length);
  for (let to = 0; to < square.length; to++) {
    const [x, y] = from(to % side, Math.floor(to / side) % side, side - 1);
    result[to] = square[side * (side * Math.floor(to / side / side) + y) + x];
  }
  return result;
}

/**
 * The turn that the EXIF of a WebP asks for, 1 for none. Browsers heed it in the other formats, and
 * some in this one too: they turn a tiny one.
 */
async function webpTurn(blob) {
  const text = (data, start) =>
    String.fromCharCode(...[0, 1, 2, 3].map((n) => data.getUint8(start + n)));
  const head = await view(blob, 0, 12);
  if (head.byteLength < 12 || text(head, 0) !== "RIFF" || text(head, 8) !== "WEBP") return 1;
  for (let place = 12; place + 8 <= blob.size; ) {
    const chunk = await view(blob, place, 8);
    const length = chunk.getUint32(4, true);
    if (text(chunk, 0) === "EXIF") {
      const turn = orientation(await view(blob, place + 8, length));
      return turn > 1 && (await turnsWebp()) ? 1 : turn;
    }
    place += 8 + length + (length % 2);
  }
  return 1;
}

/** The orientation in EXIF, as a DataView; 1 where it has none or is broken. */
function orientation(exif) {
  try {
    const start = exif.getUint32(0) === 0x45786966 ? 6 : 0; // "Exif" and two zeros
    const little = exif.getUint16(start) === 0x4949;
    const first = start + exif.getUint32(start + 4, little);
    for (let n = 0; n < exif.getUint16(first, little); n++) {
      const entry = first + 2 + 12 * n;
      if (exif.getUint16(entry, little) === 0x0112) return exif.getUint16(entry + 8, little);
    }
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
  }
  return 1;
}

// 2 × 1 pixels, to be turned by a quarter
const TURNED_WEBP =
  "data:image/webp;base64,UklGRk4AAABXRUJQVlA4WAoAAAAIAAAAAQAAAAAAVlA4TA4AAAAvAQAAAAcQEf0PRET/A0VY" +
  "SUYaAAAATU0AKgAAAAgAAQESAAMAAAABAAYAAAAAAAA=";

async function turnsWebp() {
  const image = new Image();
  image.src = TURNED_WEBP;
  await image.decode();
  return image.naturalWidth === 1;
}

// An image element reads the header alone, so a trap of many megapixels is never decoded
async function checkSize(blob, name) {
  const image = new Image();
  const address = URL.createObjectURL(blob);
  try {
    await new Promise((resolve, reject) => {
      image.onload = resolve;
      image.onerror = reject;
      image.src = address;
    });
  } catch {
    throw new PictureError(
      `${name} is not a picture this browser can read: use JPEG, PNG, WebP, GIF or BMP.`,
    );
  } finally {
    URL.revokeObjectURL(address);
  }
  if (image.naturalWidth * image.naturalHeight > MOST_PIXELS) {
    const most = MOST_PIXELS / 1e6;
    throw new PictureError(`${name} has more than ${most} megapixels: save a smaller copy.`);
  }
}

// Browsers take the ink of every JPEG for counted as Adobe's programs do, others count from none
async function checkInk(blob, name) {
  if ((await view(blob, 0, 2)).getUint16(0) !== 0xffd8) return;
  for (let place = 2; place + 10 <= blob.size; ) {
    const segment = await view(blob, place, 10);
    const [marker, length] = [segment.getUint16(0), segment.getUint16(2)];
    if (marker === 0xffee || marker === 0xffda) return; // Adobe's own, or the pixels
    if (marker >= 0xffc0 && marker <= 0xffc2) {
      if (segment.getUint8(9) < 4) return;
      throw new PictureError(`${name} is made for print, with CMYK colours: save it as RGB.`);
    }
    place += 2 + length;
  }
}

async function view(blob, start, length) {
  return new DataView(await blob.slice(start, start + length).arrayBuffer());
}

/** Bands of rows as RGBA bytes, from the top. */
function* rowsOf(bitmap) {
  const { width, height } = bitmap;
  const band = Math.min(height, Math.max(1, Math.floor(BAND / width)));
  const canvas = document.createElement("canvas");
  canvas.width = width;
  canvas.height = band;
  const context = canvas.getContext("2d", { willReadFrequently: true });
  for (let top = 0; top < height; top += band) {
    const rows = Math.min(band, height - top);
    context.fillStyle = "white";
    context.fillRect(0, 0, width, rows);
    context.drawImage(bitmap, 0, top, width, rows, 0, 0, width, rows);
    yield context.getImageData(0, 0, width, rows).data;
  }
}

/**
 * Pillow's bicubic resize with antialiasing (src/libImaging/Resample.c), which rounds to bytes
 * after each of its two passes: across, then down. (Since version 13 it turns them around for very
 * tall pictures, with a level's difference here and there.) Bands of RGBA rows in, Uint8Array
 * [3, side, side] out.
 */
export function squash(bands, width, height, side) {
  const across = weightsOf(width, side);
  const narrow = new Uint8ClampedArray(3 * side * height); // [height, side, 3]
  let to = 0;
  for (const rgba of bands) {
    for (let row = 0; row < rgba.length; row += 4 * width) {
      for (let x = 0; x < side; x++, to += 3) {
        weigh(rgba, row + 4 * across.starts[x], 4, across, x, narrow, to, 1);
      }
    }
  }
  const down = weightsOf(height, side);
  const square = new Uint8ClampedArray(3 * side * side);
  for (let y = 0; y < side; y++) {
    for (let x = 0; x < side; x++) {
      const from = 3 * (side * down.starts[y] + x);
      weigh(narrow, from, 3 * side, down, y, square, side * y + x, side * side);
    }
  }
  return new Uint8Array(square.buffer);
}

/** One new pixel: `line[n]`'s weighted sum of the pixels `step` apart, its colours `apart` apart. */
function weigh(pixels, from, step, { stride, counts, weights }, n, out, to, apart) {
  let red = HALF;
  let green = HALF;
  let blue = HALF;
  const first = n * stride;
  for (let k = first; k < first + counts[n]; k++, from += step) {
    const weight = weights[k];
    red += Math.imul(pixels[from], weight);
    green += Math.imul(pixels[from + 1], weight);
    blue += Math.imul(pixels[from + 2], weight);
  }
  // the array clamps to 0 … 255
  out[to] = red >> BITS;
  out[to + apart] = green >> BITS;
  out[to + 2 * apart] = blue >> BITS;
}

const BITS = 22; // of a weight's fraction, as Pillow counts
const HALF = 1 << (BITS - 1);

/** Which of `length` pixels make each of `size`, and with which weights in units of 2^-22. */
function weightsOf(length, size) {
  const scale = length / size;
  const widened = Math.max(scale, 1);
  const support = 2 * widened;
  const stride = 2 * Math.ceil(support) + 1;
  const line = {
    stride,
    starts: new Int32Array(size),
    counts: new Int32Array(size),
    weights: new Int32Array(size * stride),
  };
  for (let n = 0; n < size; n++) {
    const center = (n + 0.5) * scale;
    const start = Math.max(Math.trunc(center - support + 0.5), 0);
    const end = Math.min(Math.trunc(center + support + 0.5), length);
    const own = [];
    for (let k = start; k < end; k++) own.push(bicubic((k - center + 0.5) * (1 / widened)));
    const sum = own.reduce((total, weight) => total + weight, 0);
    own.forEach((weight, k) => {
      const whole = (weight / sum) * (1 << BITS);
      line.weights[n * stride + k] = Math.trunc(whole < 0 ? whole - 0.5 : whole + 0.5);
    });
    line.starts[n] = start;
    line.counts[n] = end - start;
  }
  return line;
}

// Keys 1981 with a = -1/2
function bicubic(x) {
  x = Math.abs(x);
  if (x < 1) return (1.5 * x - 2.5) * x * x + 1;
  if (x < 2) return (((x - 5) * x + 8) * x - 4) * -0.5;
  return 0;
}
