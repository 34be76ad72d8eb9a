// The dialog with one photo, its boxes, and the way to the next.

import { listProposals } from "./api.js";
import { distinct, drawBoxes, makeStage, sharpen } from "./boxes.js";
import { byId, count, make, percent } from "./dom.js";
import { toast } from "./remove.js";

const dialog = byId("photo");
const showAll = byId("photo-all");
let grid;
let shown = null; // item of the grid

/** Make the dialog work; it walks through the photos of this grid. */
export function prepare(ofGrid) {
  grid = ofGrid;
  byId("photo-close").onclick = () => dialog.close();
  byId("photo-previous").onclick = () => step(-1);
  byId("photo-next").onclick = () => step(1);
  byId("photo-delete").onclick = remove;
  showAll.onchange = drawAll;
  dialog.addEventListener("click", (event) => {
    if (event.target === dialog) dialog.close(); // outside, on the backdrop
  });
  dialog.addEventListener("keydown", (event) => {
    if (event.altKey || event.ctrlKey || event.metaKey) return; // the browser's own
    if (event.key === "ArrowLeft") step(-1);
    if (event.key === "ArrowRight") step(1);
  });
  dialog.addEventListener("close", () => {
    document.body.append(byId("toasts"));
    grid.focus(shown);
  });
}

/** Show no photo any more. */
export const close = () => dialog.close();

/** Show a photo of the grid. */
export function open(item) {
  shown = item;
  const { image, boxes, score } = item;
  const stage = makeStage(image, image.name, boxes);
  sharpen(stage, image);
  byId("photo-name").textContent = image.name;
  byId("photo-stage").replaceChildren(stage);
  byId("photo-facts").replaceChildren(...facts(image, boxes, score));
  const file = byId("photo-file");
  file.href = image.url;
  file.download = image.name;
  const items = grid.items;
  byId("photo-previous").disabled = items.indexOf(item) === 0;
  byId("photo-next").disabled = items.indexOf(item) === items.length - 1;
  if (!dialog.open) dialog.showModal();
  dialog.append(byId("toasts")); // what is outside of an open dialog cannot be clicked
  showAll.closest("label").hidden = score === null;
  drawAll();
}

function facts(image, boxes, score) {
  const parts = [];
  if (score !== null) {
    const words = boxes.map((box) => `“${box.text}” ${percent(box.score)}`).join(", ");
    parts.push(make("strong", {}, words || "no text found"));
  }
  parts.push(`${image.width} × ${image.height}`, `in ${image.collection}`);
  if (image.taken_at) parts.push(`taken ${new Date(image.taken_at).toLocaleDateString(undefined, { timeZone: "UTC" })}`);
  for (const [name, value] of Object.entries(image.metadata)) {
    parts.push(`${name}: ${typeof value === "object" ? JSON.stringify(value) : value}`);
  }
  if (image.status === "indexed") parts.push(count(image.proposals, "text region"));
  return parts.map((part) => make("span", {}, part));
}

/** Draw every text region: on demand for a result, always for a photo of the gallery. */
async function drawAll() {
  const item = shown;
  const stage = byId("photo-stage").querySelector(".stage");
  if (item.score !== null && !showAll.checked) return drawBoxes(stage, item.image, [], "other");
  try {
    const { items } = await listProposals(item.image.id);
    const best = new Set(item.boxes.map((box) => box.box.join()));
    const others = distinct(items).filter((proposal) => !best.has(proposal.box.join()));
    if (shown === item) drawBoxes(stage, item.image, others, "other");
  } catch (problem) {
    toast(problem.message);
  }
}

function step(by) {
  const items = grid.items;
  const next = items[items.indexOf(shown) + by];
  if (next) open(next);
}

function remove() {
  const items = grid.items;
  const position = items.indexOf(shown);
  const next = items[position + 1] ?? items[position - 1];
  grid.remove(shown);
  if (next) open(next);
  else dialog.close();
}
