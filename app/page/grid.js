// The list of photos: results of a search, or the gallery.

import { retry } from "./api.js";
import { makeCrop, makeStage } from "./boxes.js";
import { byId, count, make, percent } from "./dom.js";
import { live } from "./live.js";
import { deleteLater, isLeaving, toast } from "./remove.js";

const EXACT = "The words stand in what was read";
const STATES = { queued: "queued", processing: "being read", failed: "failed" };

/**
 * Shows what a source gives, page by page.
 *
 * A source has a `label`, and `load(cursor, signal)`, which answers with `items` ({image, boxes, score}), the
 * cursor `next` of the following page (`null`: none) and `tail`, from which later photos could be asked for.
 */
export class Grid {
  #list = byId("grid");
  #more = byId("more");
  #source;
  #page = { next: null, tail: null };
  #loading = new AbortController();
  #cards = new Map(); // item -> list item

  constructor({ onOpen, onProblem }) {
    this.onOpen = onOpen;
    this.onProblem = onProblem;
    this.#more.addEventListener("click", () => this.#showMore());
  }

  /** Photos that are shown, in their order. */
  get items() {
    return [...this.#cards.keys()].filter((item) => !isLeaving(item.image.id));
  }

  /** Replace everything; return the source's answer, or nothing if there is a problem or a later call. */
  async show(source) {
    this.#loading.abort();
    this.#loading = new AbortController();
    // What is still shown does not go on: it would mix with what comes.
    this.#page = { next: null, tail: null };
    this.#more.hidden = true;
    const page = await this.#load(source, 0, this.onProblem);
    if (!page) return null;
    this.#source = source;
    this.#list.setAttribute("aria-label", source.label);
    this.#list.replaceChildren();
    this.#cards.clear();
    this.#append(page);
    return page;
  }

  /** Add photos that came since, if the end of the list is shown. */
  async extend() {
    if (this.#page.next === null && this.#page.tail !== null) await this.#showNext(this.#page.tail);
  }

  /** Show nothing. */
  clear() {
    this.#loading.abort();
    this.#list.replaceChildren();
    this.#cards.clear();
    this.#page = { next: null, tail: null };
    this.#more.hidden = true;
    byId("empty").hidden = true;
  }

  /** Put the focus on a photo. */
  focus(item) {
    this.#cards.get(item)?.querySelector(".open").focus();
  }

  /** Delete a photo, unless it is undone in time. */
  remove(item) {
    const items = this.items;
    const position = items.indexOf(item);
    const card = this.#cards.get(item);
    if (!card) return; // the list has changed meanwhile
    deleteLater(item.image, () => {
      card.hidden = false;
      this.#showEmptiness();
    });
    card.hidden = true;
    this.#showEmptiness();
    this.focus(items[position + 1] ?? items[position - 1]);
  }

  async #load(source, cursor, onProblem) {
    const { signal } = this.#loading;
    try {
      const page = await source.load(cursor, signal);
      return signal.aborted ? null : page;
    } catch (problem) {
      if (!signal.aborted) onProblem(problem);
      return null;
    }
  }

  async #showMore() {
    const shown = this.items.length;
    await this.#showNext(this.#page.next);
    this.focus(this.items[shown]);
  }

  async #showNext(cursor) {
    const page = await this.#load(this.#source, cursor, (problem) => toast(problem.message));
    if (page) this.#append({ ...page, tail: page.tail ?? this.#page.tail });
  }

  #append(page) {
    const known = new Set([...this.#cards.keys()].map((item) => item.image.id));
    for (const item of page.items) {
      if (known.has(item.image.id) || isLeaving(item.image.id)) continue;
      const card = this.#makeCard(item);
      this.#cards.set(item, card);
      this.#list.append(card);
    }
    this.#page = page;
    this.#more.hidden = page.next === null;
    this.#showEmptiness();
  }

  #showEmptiness() {
    byId("empty").hidden = this.items.length > 0 || this.#page.next !== null;
  }

  #makeCard(item) {
    const { image, boxes, score } = item;
    const stage = makeStage(image, image.name, boxes);
    const open = make("button", { type: "button", className: "open", title: image.name }, image.name);
    open.onclick = () => this.onOpen(item);
    const trash = make("button", { type: "button", className: "quiet trash" });
    trash.setAttribute("aria-label", `Delete ${image.name}`);
    trash.onclick = () => this.remove(item);
    const caption = make("div", { className: "caption" }, open);
    const card = make("li", { className: "card" }, make("div", { className: "frame" }, stage));
    if (score === null) {
      card.append(caption);
      this.#follow(card, image);
    } else {
      const text = boxes.length ? percent(score) : "no text";
      if (item.match === "exact") caption.append(make("span", { className: "chip", title: EXACT }, "exact"));
      caption.append(make("span", { className: "score" }, text));
      card.setAttribute("aria-label", `${image.name}, ${text}`);
      if (boxes.length) {
        const shown = boxes.find((box) => box.match === item.match) ?? boxes[0];
        const crop = makeCrop(image, stage.querySelector("img"), shown.quad);
        card.append(make("div", { className: "strip" }, crop));
      }
      card.append(caption);
    }
    caption.append(trash);
    return card;
  }

  #follow(card, image) {
    this.#showState(card, image);
    live.follow(image, (changed) => {
      if (card.isConnected) this.#showState(card, changed);
    });
  }

  /** Say below a photo whether it is indexed, and why not. */
  #showState(card, image) {
    const text = STATES[image.status] ?? `indexed, ${count(image.proposals, "text region")}`;
    const reason = image.reason ? `: ${image.reason}` : "";
    const state = make("p", { className: `state ${image.status}` }, text + reason);
    if (image.status === "failed") {
      const again = make("button", { type: "button", "aria-label": `Try ${image.name} again` }, "Try again");
      again.onclick = async () => {
        again.disabled = true;
        try {
          this.#follow(card, await retry(image.id));
        } catch (problem) {
          again.disabled = false;
          toast(problem.message);
        }
      };
      state.append(" ", again);
    }
    card.querySelector(".state")?.remove();
    card.append(state);
    card.setAttribute("aria-label", `${image.name}, ${text}`);
  }
}
