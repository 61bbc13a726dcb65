// The engine: both networks and the catalog, fetched with a progress bar, and what they answer.

const FOLDER = new URL("./search_engine/", import.meta.url);
let attempts = 0;

/** A mistake of whoever built the book: loading again would not help. */
export class BuildError extends Error {}

/**
 * Fetch all that is needed. `onProgress(loaded, total)` is called with bytes. Throws where
 * something does not come; calling it again starts anew.
 */
export async function loadEngine(onProgress) {
  const attempt = attempts++; // a module that failed once would fail again under its address
  const about = await (await fetchOrThrow(address("engine.json"), { cache: "no-cache" })).json();
  if (!about.runtime) {
    throw new BuildError(
      "This copy of the book was built without a network, so ONNX Runtime is missing: " +
        "build the book again with one.",
    );
  }
  const sizes = {
    "model.onnx": about.bytes["model.onnx"],
    "embeddings.bin": about.bytes["embeddings.bin"],
    "runtime/ort-wasm-simd-threaded.wasm": about.runtime["ort-wasm-simd-threaded.wasm"],
  };
  const total = Object.values(sizes).reduce((sum, size) => sum + size, 0);
  let loaded = 0;
  const add = (bytes) => onProgress((loaded += bytes), total);
  add(0);
  const [model, embeddings, wasm] = await Promise.all(
    Object.entries(sizes).map(([name, size]) => download(address(name, about), size, add)),
  );
  const ort = await import(`${address("runtime/ort.wasm.bundle.min.mjs", about)}&${attempt}`);
  ort.env.wasm.numThreads = 1; // several would need headers that a static host does not send
  ort.env.wasm.wasmBinary = wasm;
  const session = await ort.InferenceSession.create(model, { executionProviders: ["wasm"] });
  const engine = {
    about,
    embeddings: new Int16Array(embeddings),
    labels: about.counts.flatMap((count, label) => Array(count).fill(label)),
    answer: async (square) => {
      const shape = [1, 3, about.side, about.side];
      const answer = await session.run({ images: new ort.Tensor("uint8", square, shape) });
      return {
        probabilities: Array.from(answer.probabilities.data),
        evidence: maps(answer.evidence),
        embedding: answer.embedding.data,
      };
    },
  };
  // the first run prepares memory for the ones that a person waits for
  await engine.answer(new Uint8Array(3 * about.side ** 2));
  return engine;
}

/** Where a file of the engine is. */
export function address(name, about) {
  return new URL(about ? `${name}?${about.version}` : name, FOLDER).href;
}

async function fetchOrThrow(url, settings) {
  const response = await fetch(url, settings);
  if (!response.ok) throw new Error(`${url}: ${response.status}`);
  return response;
}

async function download(url, size, onBytes) {
  const bytes = new Uint8Array(size);
  let at = 0;
  const reader = (await fetchOrThrow(url)).body.getReader();
  for (let part = await reader.read(); !part.done; part = await reader.read()) {
    if (at + part.value.length > size) break;
    bytes.set(part.value, at);
    at += part.value.length;
    onBytes(part.value.length);
  }
  if (at !== size) throw new Error(`${url}: ${at} of ${size} bytes`);
  return bytes.buffer;
}

/** A tensor [1, classes, h, w] as one { width, values } for each class. */
function maps({ data, dims: [, classes, height, width] }) {
  const size = height * width;
  return Array.from({ length: classes }, (_, n) => ({
    width,
    values: Array.from(data.slice(n * size, (n + 1) * size)),
  }));
}

/**
 * A query for what one embedding is, in the look of another, as LookEncoder.blended in Python:
 * `share` is the weight of look, 0 for what it is alone, 1 for the look alone.
 */
export function blended({ dimensions, look: { size, share: learned } }, what, look, share) {
  const query = Array.from(what, (value, d) =>
    d < dimensions - size ? (value * (1 - share)) / (1 - learned) : (look[d] * share) / learned,
  );
  const length = Math.hypot(...query);
  return query.map((value) => value / length);
}

/**
 * The k garments nearest to an embedding, nearest first: [{ position, label, distance }], among
 * those for whose position every one of the tests is true.
 */
export function nearest({ about, embeddings, labels }, embedding, k, tests = []) {
  const { dimensions, unit } = about;
  const found = [];
  for (let position = 0; position < labels.length; position++) {
    if (!tests.every((test) => test(position))) continue;
    let sum = 0;
    for (let d = 0; d < dimensions; d++) {
      sum += (embedding[d] - embeddings[position * dimensions + d] / unit) ** 2;
    }
    found.push({ position, label: labels[position], distance: Math.sqrt(sum) });
  }
  return found.sort((a, b) => a.distance - b.distance).slice(0, k);
}
