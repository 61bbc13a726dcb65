// The page *Try it*: a search engine inside the page. No picture leaves it.
//   search_engine_load.js      the networks and the catalog, and what they answer
//   search_engine_picture.js   a file to the square the networks look at
//   search_engine_evidence.js  which part of the picture decided
//   search_engine_camera.js    a picture from the camera

import { startCamera, stopCamera, takePicture } from "./search_engine_camera.js";
import { drawEvidence, placeOf } from "./search_engine_evidence.js";
import { address, blended, BuildError, loadEngine, nearest } from "./search_engine_load.js";
import { PictureError, readSquare } from "./search_engine_picture.js";

const root = document.querySelector(".search-engine");
const part = (name) => root.querySelector(`.se-${name}`);
const say = (text) => (part("status").textContent = text);

let engine;
let query; // what is shown: { answer, milliseconds, … }
let worn; // the second picture, in whose look: { embedding, name }, or none
const asked = { query: 0, look: 0 }; // of several pictures in a hurry the last one counts

// -- loading --------------------------------------------------------------------------------------

async function load() {
  root.dataset.state = "loading";
  problem("");
  part("retry").hidden = true;
  part("loading").hidden = false;
  try {
    engine = await loadEngine((loaded, total) => {
      part("loading").querySelector("progress").value = loaded / total;
      part("loading").querySelector("span").textContent =
        `${megabytes(loaded)} of ${megabytes(total)}`;
    });
  } catch (error) {
    root.dataset.state = "failed";
    const again = !(error instanceof BuildError);
    problem(again ? "The search engine did not load. Is there a network?" : error.message);
    part("retry").hidden = !again;
    say("");
    return;
  } finally {
    part("loading").hidden = true;
  }
  offerExamples();
  offerFilters();
  part("share").value = learnedPercent();
  tellSliders();
  for (const fieldset of root.querySelectorAll("fieldset")) fieldset.disabled = false;
  root.dataset.state = "ready";
  const count = engine.labels.length.toLocaleString("en");
  const kind = engine.about.catalog === "photos" ? "garments" : "drawn garments";
  say(`Ready: ${count} ${kind} to search in. Drop a picture here, or choose one.`);
}

const megabytes = (bytes) => `${(bytes / 1e6).toFixed(1)} MB`;

function offerExamples() {
  const { about } = engine;
  part("examples").replaceChildren(
    ...about.examples.map(({ file, category }, n) => {
      const button = document.createElement("button");
      button.type = "button";
      button.append(thumbnail("examples.webp", n, `example: ${category}`));
      button.addEventListener("click", () => searchExample(address(file, about), category));
      return button;
    }),
  );
}

/** A choice of colour and one of pattern, from the names that the catalog has. */
function offerFilters() {
  for (const select of filters()) {
    const { names } = engine.about.attributes[select.name];
    select.append(...names.map((name, n) => new Option(name, String.fromCharCode(97 + n))));
    select.parentElement.hidden = names.length === 0;
  }
}

const filters = () => part("controls").querySelectorAll("select");

/** One picture of a sheet, as an image of its own. */
function thumbnail(sheet, n, alt) {
  const { thumbnail: side, across } = engine.about;
  const image = document.createElement("img");
  image.width = image.height = side;
  image.style.objectPosition = `${-side * (n % across)}px ${-side * Math.floor(n / across)}px`;
  image.alt = alt;
  image.src = address(sheet, engine.about);
  return image;
}

// -- a picture in, an answer out ------------------------------------------------------------------

async function searchExample(url, category) {
  try {
    const response = await fetch(url);
    if (!response.ok) throw new Error();
    await search(await response.blob(), `the example (${category})`);
  } catch {
    problem("The example did not load: try again.");
  }
}

/** What the networks say; nothing for what is no picture, or where another was given since. */
async function ask(purpose, blob, name) {
  const turn = ++asked[purpose];
  problem("");
  try {
    const answer = await engine.answer(await readSquare(blob, name, engine.about.side));
    if (turn === asked[purpose]) return answer;
  } catch (error) {
    if (turn !== asked[purpose]) return;
    problem(error instanceof PictureError ? error.message : `${name} could not be searched with.`);
  }
}

async function search(blob, name) {
  const started = performance.now();
  const answer = await ask("query", blob, name);
  if (!answer) return;
  query = { answer, name };
  showPicture(blob, name);
  showCategories();
  showResults();
  query.milliseconds = performance.now() - started;
  tellAnswer();
  part("status").scrollIntoView({ block: "nearest" }); // on a phone it is below
  root.dataset.answers = Number(root.dataset.answers ?? 0) + 1;
}

function problem(text) {
  part("problem").textContent = text;
  if (text && engine) part("problem").scrollIntoView({ block: "nearest" }); // of a second picture
}

function showPicture(blob, name) {
  const image = part("own");
  show(blob, image, part("picture").querySelector("img"));
  image.alt = `your query: ${name}`;
  part("answer").hidden = false;
}

/** A file in image elements, instead of the one they showed. */
function show(blob, ...images) {
  URL.revokeObjectURL(images[0].src);
  const url = URL.createObjectURL(blob);
  for (const image of images) image.src = url;
}

// -- the look of a second picture -----------------------------------------------------------------

async function wear(blob, name) {
  const answer = await ask("look", blob, name);
  if (!answer) return;
  worn = { embedding: answer.embedding, name };
  show(blob, part("worn").querySelector("img"));
  part("worn-name").textContent = name;
  part("worn").hidden = false;
  refresh();
}

part("without").addEventListener("click", () => {
  asked.look++; // of one that is still being read nobody wants to know
  worn = undefined;
  part("worn").hidden = true;
  part("look-file").focus(); // the button is gone
  refresh();
});

const learnedPercent = () => Math.round(100 * engine.about.look.share);

/** One picture, weighed as the encoder learned: then its embedding is the query as it is. */
const isPlain = () => !worn && Number(part("share").value) === learnedPercent();

function soughtEmbedding() {
  const { embedding } = query.answer;
  if (isPlain()) return embedding;
  const look = (worn ?? query.answer).embedding;
  return blended(engine.about, embedding, look, part("share").value / 100);
}

// -- category, and why ----------------------------------------------------------------------------

function showCategories() {
  const { probabilities } = query.answer;
  const order = [...probabilities.keys()].sort((a, b) => probabilities[b] - probabilities[a]);
  query.label = order[0];
  part("categories").replaceChildren(
    ...order.map((label) => {
      const row = document.createElement("label");
      const radio = document.createElement("input");
      radio.type = "radio";
      radio.name = "se-category";
      radio.value = label;
      radio.checked = label === query.label;
      const name = document.createElement("span");
      name.textContent = engine.about.classes[label];
      const bar = document.createElement("i");
      bar.style.setProperty("--share", probabilities[label]);
      const share = document.createElement("b");
      share.textContent = percent(probabilities[label]);
      row.append(radio, name, bar, share);
      return row;
    }),
  );
  showEvidence(query.label);
}

const percent = (share) => (share < 0.01 ? "< 1%" : `${Math.round(100 * share)}%`);

function showEvidence(label) {
  const map = query.answer.evidence[label];
  drawEvidence(part("picture").querySelector("canvas"), map);
  const name = engine.about.classes[label];
  const place = placeOf(map);
  part("picture").querySelector("img").alt = `${query.name}, bright where it speaks for ${name}`;
  part("speaks").textContent = `what speaks for ${name}`;
  part("why").textContent = place
    ? `Bright is what speaks for ${name}: most of it lies ${place}.`
    : `Nothing in the picture speaks for ${name}.`;
}

// -- the nearest ----------------------------------------------------------------------------------

function showResults() {
  const k = Number(part("count").value);
  const found = nearest(engine, soughtEmbedding(), k, wishes().map(({ test }) => test));
  query.found = found;
  const { across, down, classes } = engine.about;
  const sheet = across * down;
  part("results").replaceChildren(
    ...found.map(({ position, label: own, distance }) => {
      const item = document.createElement("li");
      item.dataset.position = position;
      const text = `${classes[own]}, distance ${distance.toFixed(3)}`;
      const caption = document.createElement("span");
      caption.setAttribute("aria-hidden", "true"); // the picture says it
      caption.append(classes[own], document.createElement("br"), distance.toFixed(3));
      const name = `sheet${Math.floor(position / sheet)}.webp`;
      item.append(thumbnail(name, position % sheet, text), caption);
      return item;
    }),
  );
}

/** What the results must be, in words and as a test of a position. */
function wishes() {
  const { labels, about } = engine;
  const { label } = query;
  const wanted = [];
  if (part("same").checked) {
    const text = `in the category ${about.classes[label]}`;
    wanted.push({ text, test: (position) => labels[position] === label });
  }
  for (const { name, value, selectedOptions } of filters()) {
    const { letters } = about.attributes[name];
    const text = `of ${name} ${selectedOptions[0].text}`;
    if (value) wanted.push({ text, test: (position) => letters[position] === value });
  }
  return wanted;
}

function tellAnswer() {
  const { answer, label, milliseconds } = query;
  const { classes } = engine.about;
  const category = `${classes[label]}, ${percent(answer.probabilities[label])}.`;
  const whose = worn ? `the look of ${worn.name}` : "its own look";
  const look = isPlain() ? "" : ` Searched in ${whose}, look counts ${part("share").value}%.`;
  say(
    `${category}${look} ${resultsInWords()} ` +
      `Computed in ${Math.round(milliseconds)} ms, on this device.`,
  );
}

function resultsInWords() {
  const { answer, found } = query;
  const among = wishes().map(({ text }) => text).join(", ") || "in the catalog";
  if (found.length === 0) return `Nothing in the catalog is ${among}: choose "any" to find more.`;
  const range = `${found[0].distance.toFixed(3)} to ${found.at(-1).distance.toFixed(3)}`;
  const { limit } = engine.about;
  const strange =
    isPlain() && limit !== null && nearest(engine, answer.embedding, 1)[0].distance > limit
      ? " Nothing is as near as garments usually are: is it a garment?"
      : "";
  return `The ${found.length} nearest ${among} are at distances ${range}.${strange}`;
}

// -- the reader's hands ---------------------------------------------------------------------------

function take(files, use) {
  if (root.dataset.state !== "ready") return;
  if (files.length === 0) problem("That was no file: save the picture, then drop the file here.");
  else use(files[0], files[0].name || "the picture");
}

const purposeAt = (element) => (part("look").contains(element) ? "look" : "query");

document.addEventListener("dragover", (event) => {
  event.preventDefault(); // else the browser leaves the page and opens the file
  root.dataset.over = purposeAt(event.target);
});
document.addEventListener("dragleave", (event) => {
  if (!event.relatedTarget) delete root.dataset.over;
});
document.addEventListener("drop", (event) => {
  event.preventDefault();
  delete root.dataset.over;
  take(event.dataTransfer.files, purposeAt(event.target) === "look" ? wear : search);
});
for (const [name, use] of [["file", search], ["look-file", wear]]) {
  part(name).addEventListener("change", ({ target }) => {
    if (target.files.length > 0) take([...target.files], use);
    target.value = ""; // else the same file, chosen again, would be no change
  });
}

part("camera").addEventListener("click", async () => {
  problem("");
  part("viewfinder").hidden = false;
  try {
    const video = part("viewfinder").querySelector("video");
    await startCamera(video);
    if (part("viewfinder").hidden) stopCamera(video); // closed while the browser still asked
    else part("shoot").focus();
  } catch (error) {
    part("viewfinder").hidden = true;
    problem(error.message);
  }
});
part("shoot").addEventListener("click", async () => {
  const picture = await takePicture(part("viewfinder").querySelector("video"));
  closeCamera();
  search(picture, "the camera's picture");
});
part("close").addEventListener("click", closeCamera);

function closeCamera() {
  stopCamera(part("viewfinder").querySelector("video"));
  part("viewfinder").hidden = true;
  part("camera").focus();
}

part("categories").addEventListener("change", ({ target }) => showEvidence(Number(target.value)));
part("controls").addEventListener("input", () => {
  tellSliders();
  refresh();
});

function tellSliders() {
  part("count-said").textContent = part("count").value;
  part("share-said").textContent = `${part("share").value}%`;
  part("share").setAttribute("aria-valuetext", `look counts ${part("share").value}%`);
}

/** Other results for the same picture. */
function refresh() {
  if (!query) return;
  showResults();
  tellAnswer();
}
part("retry").addEventListener("click", load);

load();
