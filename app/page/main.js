// Search box, filters and address of the page; what is shown follows from the address.

import { listCollections, listImages, search } from "./api.js";
import { distinct } from "./boxes.js";
import * as collections from "./collections.js";
import { byId, count, debounced, make } from "./dom.js";
import { Grid } from "./grid.js";
import { live } from "./live.js";
import * as photo from "./photo.js";
import { deletions } from "./remove.js";
import * as suggestions from "./suggest.js";
import * as upload from "./upload.js";
import * as where from "./where.js";

const PAGE = 24;
const TYPING_MS = 100;
const NEW_ENTRY_MS = 2000; // a longer pause in typing begins a new entry of the history
const RETRY_MS = 2000;

const grid = new Grid({ onOpen: photo.open, onProblem: showProblem });
let indexedThen = null; // photos in the index when the results were made; null until it is known
let minimum = null; // per cent, chosen by the user; null: what the service suggests
let isSuggested = false; // whether the service has suggested one
let lastChange = 0;
let retryTimer;

function readAddress() {
  const address = new URLSearchParams(location.search);
  const text = (name) => address.get(name)?.trim() ?? "";
  const min = address.has("min") ? Math.min(100, Math.max(0, Number(address.get("min")) || 0)) : null;
  const match = findOption("match", text("match")) ? text("match") : "similar";
  const names = ["q", "collection", "status", "from", "to", "view"];
  const conditions = address.getAll("where");
  return { ...Object.fromEntries(names.map((name) => [name, text(name)])), match, min, conditions };
}

/** Note in the address what was chosen, and show it; return whether anything changed. */
function writeAddress() {
  const address = new URLSearchParams();
  const values = {
    q: byId("query").value.trim(),
    match: byId("match").value === "similar" ? "" : byId("match").value,
    collection: byId("collection").value,
    status: byId("status").value,
    from: byId("from").value,
    to: byId("to").value,
    min: minimum === null ? "" : String(minimum),
  };
  for (const [name, value] of Object.entries(values)) if (value) address.set(name, value);
  for (const condition of where.chosen()) address.append("where", condition);
  const text = address.toString();
  if (text === location.search.slice(1)) return false;
  const isNew = Date.now() - lastChange > NEW_ENTRY_MS;
  lastChange = Date.now();
  history[isNew ? "pushState" : "replaceState"](null, "", text ? `?${text}` : location.pathname);
  refresh();
  return true;
}

/** Show what the address says; `isAgain` if it is tried once more, while somebody may be typing. */
async function refresh(isAgain = false) {
  clearTimeout(retryTimer);
  const wanted = readAddress();
  if (!isAgain) showControls(wanted);
  if (wanted.view === "collections") return showCollectionsView();
  const page = await grid.show(wanted.q ? results(wanted) : gallery(wanted));
  if (!page) return;
  indexedThen = live.state?.images.indexed ?? null;
  byId("again").hidden = true;
  byId("problem").hidden = true;
  showSummary(wanted, page);
  where.offer(grid.items.map(({ image }) => image));
  if (wanted.q) showAnswer(wanted, page.answer);
}

async function showCollectionsView() {
  grid.clear();
  for (const id of ["problem", "again"]) byId(id).hidden = true;
  byId("summary").textContent = "";
  await collections.show().catch(showProblem);
}

const DAY_MS = 86_400_000;
const startOf = (day) => (day ? `${day}T00:00:00Z` : "");
/** The day after, because `taken_before` leaves out the moment itself; the service says what is no day. */
function endOf(day) {
  const time = Date.parse(startOf(day));
  return Number.isNaN(time) ? startOf(day) : new Date(time + DAY_MS).toISOString();
}

function minScore({ match, min }) {
  if (match !== "similar") return null;
  if (min === null) return "suggested";
  return min ? min / 100 : null;
}

function results(wanted) {
  const { q, match, collection, from, to, conditions } = wanted;
  const filters = { taken_after: startOf(from), taken_before: endOf(to), where: conditions };
  const min_score = minScore(wanted);
  let shown = q, deletedThen = deletions();
  return {
    label: "Results",
    async load(cursor, signal) {
      const deleted = deletions();
      const offset = Math.max(0, cursor - (deleted - deletedThen)); // the others have moved up
      const ask = (text) =>
        search({ q: text, match, collection, ...filters, min_score, limit: PAGE, offset }, signal);
      if (!cursor) shown = q;
      let answer = await ask(shown);
      const [meant, ...others] = answer.did_you_mean;
      if (!answer.total && meant && min_score === "suggested") {
        const instead = await ask(meant); // better than an empty page
        if (instead.total) {
          shown = meant;
          answer = { ...instead, instead: meant, did_you_mean: others, ignored: answer.ignored };
        }
      }
      const items = answer.hits.map((hit) => ({ ...hit, boxes: distinct(hit.boxes) }));
      deletedThen = deleted;
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

function showControls({ q, match, collection, status, from, to, view, min, conditions }) {
  const isSearch = Boolean(q) && !view;
  if (byId("query").value.trim() !== q) byId("query").value = q;
  if (!findOption("collection", collection)) {
    byId("collection").append(make("option", { value: collection }, collection));
  }
  Object.assign(byId("match"), { value: match });
  Object.assign(byId("collection"), { value: collection });
  Object.assign(byId("status"), { value: status });
  Object.assign(byId("from"), { value: from });
  Object.assign(byId("to"), { value: to });
  byId("date-filter").open ||= Boolean(from || to);
  where.show(conditions);
  minimum = min;
  if (min !== null) byId("min-score").value = min;
  showMinimum();
  byId("hints").hidden = !isSearch;
  for (const id of ["match-filter", "date-filter", "where-filter"]) byId(id).hidden = !isSearch;
  byId("score-filter").hidden = !isSearch || match !== "similar";
  byId("status-filter").hidden = isSearch;
  document.querySelector(".bar").hidden = Boolean(view);
  byId("collections").hidden = !view;
  byId("less").hidden = true;
  byId("to-collections")[view ? "setAttribute" : "removeAttribute"]("aria-current", "page");
  const title = view ? "Collections" : q;
  document.title = title ? `${title} – glyphseek` : "glyphseek";
}

const findOption = (id, value) => [...byId(id).options].find((option) => option.value === value);

function showMinimum() {
  const value = Number(byId("min-score").value);
  const suggestion = isSuggested ? `${value} %, suggested` : "suggested";
  byId("min-score-text").textContent = minimum === null ? suggestion : value ? `${value} %` : "any";
  byId("min-suggested").hidden = minimum === null;
}

/** Return a query in quotes, unless it has some. */
const quoted = (query) => (query.includes('"') ? query : `“${query}”`);

function showSummary({ q, match, collection, status, min, from, to, conditions }, { answer }) {
  const summary = byId("summary"), empty = byId("empty");
  if (q) {
    const order = match === "similar" ? ", best first" : "";
    const missing = answer.instead ? `No photo matches ${quoted(q)} well. ` : "";
    summary.textContent = `${missing}${count(answer.total, "photo")} for ${quoted(answer.instead ?? q)}${order}`;
    summary.title = `${Math.round(answer.took_ms.total)} ms`;
    const some = collection || from || to || conditions.length ? "No photo with these filters" : "No photo";
    const well = match === "similar" && min !== 0 ? " that well" : "";
    empty.replaceChildren(make("p", {}, `${some} matches${well}.`));
    return;
  }
  const filtered = collection || status;
  summary.textContent = filtered ? "Photos" : "All photos";
  summary.title = "";
  const properties = { type: "button", className: "primary", onclick: () => upload.openPanel() };
  const invitation = make("button", properties, "Add photos");
  const text = filtered ? "There are no such photos." : "No photos yet. Drop photos, folders or zips here, or";
  empty.replaceChildren(make("p", {}, text, ...(filtered ? [] : [" ", invitation])));
}

/** Show what an answer says beside its hits: the suggested cut, other spellings, and what was left out. */
function showAnswer({ match, min }, { suggested_min_score: suggested, did_you_mean: meant = [], ignored }) {
  isSuggested = true;
  if (min === null) byId("min-score").value = Math.round(100 * suggested);
  showMinimum();
  byId("less").hidden = match !== "similar" || min === 0;
  byId("meant").hidden = !meant.length;
  byId("meant-words").replaceChildren(...meant.map(makeMeant));
  byId("ignored").hidden = !ignored.length;
  byId("ignored").textContent = `Not looked for: ${ignored.join(" ")}`;
}

function makeMeant(text) {
  const choose = () => {
    byId("query").value = text;
    suggestions.close();
    writeAddress();
    focusSummary();
  };
  return make("button", { type: "button", onclick: choose }, text);
}

/** Put the focus where results begin: the button that had it goes away. */
const focusSummary = () => byId("summary").focus({ preventScroll: true });

function showProblem(problem) {
  grid.clear();
  byId("summary").textContent = "";
  for (const id of ["meant", "ignored", "less", "again"]) byId(id).hidden = true;
  isSuggested = false;
  showMinimum();
  byId("problem").hidden = false;
  byId("problem").textContent = problem.message;
  if (problem.status === 0 || problem.status === 503) retryTimer = setTimeout(refresh, RETRY_MS, true);
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
  indexedThen ??= indexed;
  byId("again").hidden = !readAddress().q || indexed <= indexedThen;
}

let photosBefore = -1;
async function followGallery() {
  const images = live.state?.images ?? {};
  const photos = Object.values(images).reduce((sum, number) => sum + number, 0);
  if (!live.state || photos === photosBefore) return;
  photosBefore = photos;
  const { q, view } = readAddress();
  if (view) await collections.follow().catch(() => {});
  else if (!q) await grid.extend();
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
  if (!findOption("collection", chosen)) select.append(make("option", { value: chosen }, chosen));
  select.value = chosen;
  byId("collection-names").replaceChildren(...items.map(({ name }) => make("option", { value: name })));
}

/** Enter, or a suggestion, makes an entry of the history. */
function submit() {
  lastChange = 0;
  suggestions.close();
  if (!writeAddress()) refresh();
}

function prepareControls() {
  byId("upload-collection").value = readAddress().collection || "default";
  const later = debounced(TYPING_MS, writeAddress);
  byId("query").addEventListener("input", later);
  byId("min-score").addEventListener("input", () => {
    minimum = Number(byId("min-score").value);
    showMinimum();
    later();
  });
  for (const [id, value] of [["less", 0], ["min-suggested", null]]) {
    byId(id).addEventListener("click", () => {
      minimum = value;
      lastChange = 0;
      writeAddress();
      focusSummary();
    });
  }
  byId("collection").addEventListener("change", () => {
    byId("upload-collection").value = byId("collection").value || "default";
    writeAddress();
  });
  for (const id of ["status", "match", "from", "to"]) byId(id).addEventListener("change", writeAddress);
  byId("again").addEventListener("click", () => {
    refresh();
    focusSummary();
  });
  byId("search").addEventListener("submit", (event) => {
    event.preventDefault();
    submit();
  });
  addEventListener("popstate", () => {
    lastChange = 0;
    photo.close();
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
collections.prepare(showCollections);
suggestions.prepare(submit);
where.prepare(writeAddress);
photo.prepare(grid);
upload.prepare();
live.addEventListener("change", showLive);
live.addEventListener("change", followGallery);
live.start();
refresh();
