// Adding photos: by drop or choice, in batches, each file with its progress and what became of it.

import { upload } from "./api.js";
import { byId, count, make, percent } from "./dom.js";
import { live } from "./live.js";

const BATCH_FILES = 16, BATCH_BYTES = 32 * 2 ** 20;
const MAX_ROWS = 300; // beyond, what went well is taken off the list
const RETRIES = 4, RETRY_MS = 2000;
const NOT_PICTURES = /^(video|audio|text)\/|^application\/(?!zip|x-zip|octet-stream)/;
const STATES = { queued: "queued", processing: "being read", indexed: "indexed", deleted: "deleted" };

const queue = []; // files to send: {file, row, collection}
const totals = { files: 0, bytes: 0, sent: 0, indexed: 0, known: 0, refused: 0 };
let sending = false;

/** Make panel, pickers and dropping work. */
export function prepare() {
  byId("add").onclick = () => openPanel(byId("uploads").hidden);
  byId("uploads-close").onclick = () => openPanel(false);
  for (const [button, input] of [["choose-files", "files"], ["choose-folder", "folder"]]) {
    byId(button).onclick = () => byId(input).click();
    byId(input).onchange = () => {
      add([...byId(input).files]);
      byId(input).value = "";
    };
  }
  prepareDropping();
  addEventListener("beforeunload", (event) => {
    if (sending) event.preventDefault(); // the browser asks
  });
}

/** Open or close the panel. */
export function openPanel(open = true) {
  byId("uploads").hidden = !open;
  byId("add").setAttribute("aria-expanded", open);
  byId(open ? "choose-files" : "add").focus();
}

function prepareDropping() {
  const hint = byId("drop");
  const hasFiles = (event) => event.dataTransfer?.types.includes("Files");
  addEventListener("dragenter", (event) => {
    hint.hidden = !hasFiles(event);
  });
  addEventListener("dragover", (event) => {
    if (hasFiles(event)) event.preventDefault();
  });
  addEventListener("dragleave", (event) => {
    if (!event.relatedTarget) hint.hidden = true;
  });
  addEventListener("drop", async (event) => {
    hint.hidden = true;
    if (!hasFiles(event)) return;
    event.preventDefault();
    // All at once: what was dropped is gone after the first wait.
    const entries = [...event.dataTransfer.items].map((item) => item.webkitGetAsEntry() ?? item.getAsFile());
    const found = await Promise.all(entries.filter(Boolean).map(filesOf));
    add(found.flat());
  });
}

/** Return the files of a dropped file or folder, those of its folders too; of what cannot be read the name. */
async function filesOf(entry) {
  if (entry instanceof File) return [entry];
  const files = [];
  try {
    if (entry.isFile) return [await new Promise((resolve, reject) => entry.file(resolve, reject))];
    const reader = entry.createReader();
    for (;;) {
      const part = await new Promise((resolve, reject) => reader.readEntries(resolve, reject)); // 100 at most
      if (!part.length) return files;
      files.push(...(await Promise.all(part.map(filesOf))).flat());
    }
  } catch {
    return [...files, { name: entry.name, unreadable: true }];
  }
}

function add(files) {
  const visible = files.filter((file) => !file.name.startsWith("."));
  if (!visible.length) return;
  if (byId("uploads").hidden) openPanel();
  byId("upload-state").hidden = false;
  const collection = byId("upload-collection").value.trim() || "default";
  for (const file of visible) {
    const row = makeRow(file.name);
    totals.files += 1;
    if (file.unreadable) {
      refuse(row, "cannot be read");
    } else if (NOT_PICTURES.test(file.type)) {
      refuse(row, "not a picture or a zip");
    } else {
      totals.bytes += file.size;
      queue.push({ file, row, collection });
    }
  }
  summarise();
  if (!sending) sendAll();
}

async function sendAll() {
  sending = true;
  while (queue.length) {
    const batch = takeBatch();
    await send(batch);
    totals.sent += sizeOf(batch);
    summarise();
  }
  sending = false;
  summarise();
}

const isZip = ({ file }) => /\.zip$/i.test(file.name);
const sizeOf = (batch) => batch.reduce((sum, { file }) => sum + file.size, 0);

/** Take the next files for one request off the queue; a zip goes alone. */
function takeBatch() {
  const batch = [queue.shift()];
  while (queue.length && batch.length < BATCH_FILES && queue[0].collection === batch[0].collection) {
    if (isZip(batch[0]) || isZip(queue[0]) || sizeOf(batch) + queue[0].file.size > BATCH_BYTES) break;
    batch.push(queue.shift());
  }
  return batch;
}

async function send(batch) {
  for (let attempt = 0; ; attempt += 1) {
    try {
      const files = batch.map(({ file }) => file);
      showResults(batch, await upload(files, batch[0].collection, (loaded) => showSent(batch, loaded)));
      return;
    } catch (problem) {
      if (attempt < RETRIES && (problem.status === 0 || problem.status === 503)) {
        await new Promise((resolve) => setTimeout(resolve, RETRY_MS * (attempt + 1)));
        continue;
      }
      for (const { row } of batch) refuse(row, problem.message);
      return;
    }
  }
}

/** Show how much of each file has gone out, of the bytes of the whole request. */
function showSent(batch, loaded) {
  let start = 0;
  for (const { file, row } of batch) {
    const part = Math.min(1, Math.max(0, (loaded - start) / Math.max(1, file.size)));
    row.querySelector("progress").value = part;
    setState(row, part < 1 ? `sending, ${percent(part)}` : "sent", "sending");
    start += file.size;
  }
  byId("upload-progress").value = (totals.sent + Math.min(loaded, start)) / Math.max(1, totals.bytes);
}

/** Show what became of each file; a zip's row makes way for those of the files in it. */
function showResults(batch, items) {
  let rows = batch.map(({ row }) => row);
  if (items.length !== rows.length) {
    const unpacked = items.map((item) => makeRow(item.name, rows[0]));
    for (const row of rows) row.remove();
    totals.files += items.length - rows.length;
    rows = unpacked;
  }
  items.forEach((item, position) => {
    showItem(rows[position], item);
    if (item.id !== null) live.follow(item, (image) => showItem(rows[position], image));
  });
}

function showItem(row, item) {
  if (item.status === "rejected" || item.status === "failed") return refuse(row, item.reason ?? "failed");
  if (item.status === "duplicate") totals.known += 1;
  if (item.status === "indexed") totals.indexed += 1;
  setState(row, STATES[item.status] ?? "already in the gallery", item.status);
  const isDone = ["indexed", "duplicate"].includes(item.status);
  if (isDone && byId("upload-list").children.length > MAX_ROWS) row.remove();
  summarise();
}

function refuse(row, reason) {
  totals.refused += 1;
  setState(row, reason, "failed");
  summarise();
}

function makeRow(name, before = null) {
  const progress = make("progress", { max: 1, value: 0, "aria-label": `Sending ${name}` });
  const row = make("li", {}, make("span", { className: "name", title: name }, name), progress);
  row.append(make("span", { className: "state" }, "waiting"));
  byId("upload-list").insertBefore(row, before);
  return row;
}

function setState(row, text, kind) {
  row.querySelector("progress").hidden = kind !== "sending";
  const state = row.querySelector(".state");
  state.className = `state ${kind}`;
  state.textContent = text;
}

function summarise() {
  const { files, indexed, known, refused, bytes, sent } = totals;
  const parts = [`${indexed} of ${count(files, "file")} indexed`];
  if (known) parts.push(`${known} already in the gallery`);
  if (refused) parts.push(`${refused} refused`);
  byId("upload-summary").textContent = parts.join(", ");
  if (!sending) byId("upload-progress").value = bytes ? sent / bytes : 1;
}
