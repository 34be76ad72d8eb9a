// Search box, filters and address of the page; what is shown follows from the address.

import { listCollections, listImages, search } from "./api.js";
import { distinct } from "./boxes.js";
import { byId, count, debounced, make } from "./dom.js";
import { Grid } from "./grid.js";
import { live } from "./live.js";
import * as photo from "./photo.js";
import * as upload from "./upload.js";

const PAGE = 24;
const TYPING_MS = 150;
const NEW_ENTRY_MS = 2000; // a longer pause in typing begins a new entry of the history
const RETRY_MS = 2000;

const grid = new Grid({ onOpen: photo.open, onProblem: showProblem });
let indexedThen = 0; // photos in the index when the results were made
let lastChange = 0;
let retryTimer;

function readAddress() {
  const address = new URLSearchParams(location.search);
  const percentage = Math.min(100, Math.max(0, Number(address.get("min")) || 0));
  return {
    q: address.get("q")?.trim() ?? "",
    collection: address.get("collection") ?? "",
    status: address.get("status") ?? "",
    min: percentage,
  };
}

function writeAddress() {
  const address = new URLSearchParams();
  const values = {
    q: byId("query").value.trim(),
    collection: byId("collection").value,
    status: byId("status").value,
    min: Number(byId("min-score").value) || "",
  };
  for (const [name, value] of Object.entries(values)) if (value) address.set(name, value);
  const text = address.toString();
  if (text === location.search.slice(1)) return;
  const isNew = Date.now() - lastChange > NEW_ENTRY_MS;
  lastChange = Date.now();
  history[isNew ? "pushState" : "replaceState"](null, "", text ? `?${text}` : location.pathname);
  refresh();
}

/** Show what the address says. */
async function refresh() {
  clearTimeout(retryTimer);
  const wanted = readAddress();
  showControls(wanted);
  const page = await grid.show(wanted.q ? results(wanted) : gallery(wanted));
  if (!page) return;
  indexedThen = live.state?.images.indexed ?? 0;
  byId("again").hidden = true;
  byId("problem").hidden = true;
  showSummary(wanted, page);
}

function results({ q, collection, min }) {
  return {
    label: "Results",
    async load(offset, signal) {
      const minScore = min ? min / 100 : null;
      const parameters = { q, collection, min_score: minScore, limit: PAGE, offset };
      const answer = await search(parameters, signal);
      const items = answer.hits.map((hit) => ({ ...hit, boxes: distinct(hit.boxes) }));
      const next = offset + answer.hits.length;
      const last = next >= answer.total || !answer.hits.length;
      return { items, next: last ? null : next, tail: null, answer };
    },
  };
}

function gallery({ collection, status }) {
  return {
    label: "Gallery",
    async load(cursor, signal) {
      const page = await listImages({ collection, status, limit: PAGE, cursor }, signal);
      const items = page.items.map((image) => ({ image, boxes: [], score: null }));
      return { items, next: page.next, tail: page.items.at(-1)?.id ?? cursor };
    },
  };
}

function showControls({ q, collection, status, min }) {
  if (byId("query").value.trim() !== q) byId("query").value = q;
  if (!findOption(collection)) byId("collection").append(make("option", { value: collection }, collection));
  byId("collection").value = collection;
  byId("status").value = status;
  byId("min-score").value = min;
  showMinimum();
  byId("score-filter").hidden = !q;
  byId("status-filter").hidden = Boolean(q);
  document.title = q ? `${q} – glyphseek` : "glyphseek";
}

const findOption = (name) => [...byId("collection").options].find((option) => option.value === name);

function showMinimum() {
  const value = Number(byId("min-score").value);
  byId("min-score-text").textContent = value ? `${value} %` : "any";
}

function showSummary({ q, collection, status }, { items, answer }) {
  const summary = byId("summary"), empty = byId("empty");
  const filtered = collection || status;
  empty.hidden = items.length > 0;
  if (q) {
    summary.textContent = `${count(answer.total, "photo")} for “${q}”, best first`;
    summary.title = `${Math.round(answer.took_ms.total)} ms`;
    empty.replaceChildren(make("p", {}, "No photo matches that well. Lower the minimum match to see more."));
    return;
  }
  summary.textContent = filtered ? "Photos" : "All photos";
  summary.title = "";
  const properties = { type: "button", className: "primary", onclick: () => upload.openPanel() };
  const invitation = make("button", properties, "Add photos");
  const text = filtered ? "There are no such photos." : "No photos yet. Drop photos, folders or zips here, or";
  empty.replaceChildren(make("p", {}, text, ...(filtered ? [] : [" ", invitation])));
}

function showProblem(problem) {
  grid.clear();
  byId("summary").textContent = "";
  byId("empty").hidden = true;
  byId("problem").hidden = false;
  byId("problem").textContent = problem.message;
  if (problem.status === 0 || problem.status === 503) retryTimer = setTimeout(refresh, RETRY_MS);
}

function showLive() {
  const { state, pending } = live;
  const text = byId("live-text"), progress = byId("live-progress");
  progress.hidden = !pending;
  if (!state) {
    text.textContent = "No connection to the service; trying again.";
    return;
  }
  const { indexed = 0, failed = 0 } = state.images;
  const parts = [`${count(indexed, "photo")} indexed`];
  if (pending) parts.push(`${pending} on the way`);
  text.textContent = parts.join(", ");
  if (failed) text.append(", ", make("a", { href: "?status=failed" }, `${failed} failed`));
  // Full when everything is done that was on the way at the worst moment.
  progress.max = pending ? Math.max(pending, progress.max) : 1;
  progress.value = progress.max - pending;
  byId("again").hidden = !readAddress().q || indexed <= indexedThen;
}

let photosBefore = -1;
async function followGallery() {
  const images = live.state?.images ?? {};
  const photos = Object.values(images).reduce((sum, number) => sum + number, 0);
  if (!live.state || photos === photosBefore) return;
  photosBefore = photos;
  if (!readAddress().q) await grid.extend();
  if (grid.items.length) byId("empty").hidden = true;
  await showCollections().catch(() => {}); // asked again with the next photo
}

async function showCollections() {
  const { items } = await listCollections();
  const select = byId("collection"), chosen = readAddress().collection;
  const options = items.map(({ name, images }) => {
    const photos = Object.values(images).reduce((sum, number) => sum + number, 0);
    return make("option", { value: name }, `${name} (${photos})`);
  });
  select.replaceChildren(make("option", { value: "" }, "all"), ...options);
  if (!findOption(chosen)) select.append(make("option", { value: chosen }, chosen));
  select.value = chosen;
  byId("collection-filter").hidden = items.length < 2 && !chosen;
  byId("collection-names").replaceChildren(...items.map(({ name }) => make("option", { value: name })));
}

function prepareControls() {
  byId("upload-collection").value = readAddress().collection || "default";
  const later = debounced(TYPING_MS, writeAddress);
  byId("query").addEventListener("input", later);
  byId("min-score").addEventListener("input", () => {
    showMinimum();
    later();
  });
  byId("collection").addEventListener("change", () => {
    byId("upload-collection").value = byId("collection").value || "default";
    writeAddress();
  });
  byId("status").addEventListener("change", writeAddress);
  byId("again").addEventListener("click", refresh);
  byId("search").addEventListener("submit", (event) => {
    event.preventDefault();
    lastChange = 0; // Enter makes an entry of the history
    writeAddress();
  });
  addEventListener("popstate", () => {
    lastChange = 0;
    refresh();
  });
  addEventListener("keydown", (event) => {
    const typing = event.target.matches("input, select, textarea") || document.querySelector("dialog[open]");
    if (event.key !== "/" || typing || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    byId("query").select();
  });
}

prepareControls();
photo.prepare(grid);
upload.prepare();
live.addEventListener("change", showLive);
live.addEventListener("change", followGallery);
live.start();
refresh();
