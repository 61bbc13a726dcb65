// Which part of the picture decided: shown, and said in words.

/** Dim the canvas over the picture where nothing speaks for the category. */
export function drawEvidence(canvas, { width, values }) {
  canvas.width = width;
  canvas.height = values.length / width;
  const context = canvas.getContext("2d");
  const image = context.createImageData(canvas.width, canvas.height);
  const most = Math.max(...values);
  values.forEach((value, n) => {
    const share = most > 0 ? Math.max(value, 0) / most : 0;
    image.data[4 * n + 3] = Math.round(215 * (1 - share)); // black, more or less of it
  });
  context.putImageData(image, 0, 0);
}

/** "in the upper left": where the evidence for a category has its centre; null without any. */
export function placeOf({ width, values }) {
  const height = values.length / width;
  let [sum, x, y] = [0, 0, 0];
  values.forEach((value, n) => {
    const weight = Math.max(value, 0);
    sum += weight;
    x += (weight * ((n % width) + 0.5)) / width;
    y += (weight * (Math.floor(n / width) + 0.5)) / height;
  });
  if (sum === 0) return null;
  const row = ["upper ", "", "lower "][third(y / sum)];
  const column = ["left", "middle", "right"][third(x / sum)];
  return `in the ${row}${column}`;
}

// the centre of a spread is never near an edge: the middle is narrower than a third
function third(place) {
  return place < 0.42 ? 0 : place > 0.58 ? 2 : 1;
}
