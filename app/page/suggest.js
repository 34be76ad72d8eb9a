// Words to choose from below the search box: those that were read in photos and go on as it begins.

import { suggest } from "./api.js";
import { byId, count, debounced, make } from "./dom.js";

const TYPING_MS = 80;
const MOST = 8;

const box = byId("query");
const list = byId("suggestions");
let asking = new AbortController();
let onChosen;

/** Make the box offer words; `chosen` is called when one has been put into it. */
export function prepare(chosen) {
  onChosen = chosen;
  box.addEventListener("input", debounced(TYPING_MS, offer));
  box.addEventListener("keydown", press);
}

/** Offer nothing. */
export function close() {
  asking.abort();
  show([]);
}

async function offer() {
  byId("hints").classList.add("typing");
  asking.abort();
  asking = new AbortController();
  const typed = box.value.trim();
  if (!typed) return show([]);
  try {
    const { items } = await suggest({ q: typed, limit: MOST }, asking.signal);
    show(items.filter(({ text }) => text !== typed.toLowerCase()));
  } catch {
    if (!asking.signal.aborted) show([]); // a search tells what is wrong
  }
}

function show(items) {
  list.replaceChildren(...items.map(makeOption));
  list.hidden = !items.length;
  activate(null);
  byId("suggestion-count").textContent = items.length ? `${count(items.length, "suggestion")}, arrow down to choose` : "";
}

function makeOption({ text, photos }, position) {
  const label = `${text}, ${count(photos, "photo")}`;
  const properties = { id: `suggestion-${position}`, role: "option", "aria-selected": "false", "aria-label": label };
  const option = make("li", properties, text, make("span", {}, ` ${photos}`));
  option.onmousedown = (event) => event.preventDefault(); // the box keeps the focus
  option.onclick = () => choose(option);
  option.dataset.text = text;
  return option;
}

const active = () => list.querySelector("[aria-selected=true]");

function activate(option) {
  active()?.setAttribute("aria-selected", "false");
  option?.setAttribute("aria-selected", "true");
  option?.scrollIntoView({ block: "nearest", inline: "nearest" });
  if (option) box.setAttribute("aria-activedescendant", option.id);
  else box.removeAttribute("aria-activedescendant");
}

function press(event) {
  const options = [...list.children];
  if (!options.length) return;
  const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
  if (step) {
    // From the box to the first or last, and from there back to the box.
    const positions = [null, ...options];
    const at = positions.indexOf(active()) + step;
    activate(positions.at(at % positions.length));
  } else if (event.key === "Escape") {
    close();
  } else if (event.key === "Enter" && active()) {
    choose(active());
  } else {
    return;
  }
  event.preventDefault();
}

function choose(option) {
  box.value = option.dataset.text;
  close();
  onChosen();
}
