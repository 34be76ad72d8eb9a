// Follows the gallery: numbers by server-sent events, and single photos on their way into the index.

import { listImages } from "./api.js";

const SILENCE_MS = 12_000; // the service begins the stream anew every few seconds
const BATCH = 100; // digests in one request
const FINAL = new Set(["indexed", "failed", "deleted"]);

/** Tells listeners of `change` about every new state; the state is that of `/readyz`, `null` when offline. */
class Live extends EventTarget {
  state = null;
  #source = null;
  #alarm;
  #followed = new Map();
  #refreshing = false;

  start() {
    document.addEventListener("visibilitychange", () => this.#listen());
    this.#listen();
  }

  /** Call `update` with the photo whenever its status has changed, until it is indexed, failed or deleted. */
  follow(image, update) {
    if (FINAL.has(image.status) || image.status === "duplicate") return;
    const entry = this.#followed.get(image.id) ?? { sha256: image.sha256, status: image.status, updates: [] };
    entry.updates.push(update);
    this.#followed.set(image.id, entry);
    setTimeout(() => this.#refresh(), 500); // it may have been indexed before anybody listened
  }

  /** Number of photos that are on their way. */
  get pending() {
    return (this.state?.images.queued ?? 0) + (this.state?.images.processing ?? 0);
  }

  // A hidden page does not listen: browsers allow few connections to one service.
  #listen() {
    this.#source?.close();
    clearTimeout(this.#alarm);
    if (document.hidden) return;
    this.#source = new EventSource("/events");
    this.#source.onmessage = (event) => this.#receive(JSON.parse(event.data));
    this.#alarm = setTimeout(() => this.#receive(null), SILENCE_MS);
  }

  #receive(state) {
    clearTimeout(this.#alarm);
    if (state) this.#alarm = setTimeout(() => this.#receive(null), SILENCE_MS);
    if (!state) this.#listen();
    const isNew = JSON.stringify(state) !== JSON.stringify(this.state);
    this.state = state;
    if (isNew) this.dispatchEvent(new Event("change"));
    if (state && this.#followed.size) this.#refresh();
  }

  async #refresh() {
    if (this.#refreshing || !this.#followed.size) return;
    this.#refreshing = true;
    try {
      const oldest = [...this.#followed].slice(0, BATCH);
      const page = await listImages({ sha256: oldest.map(([, entry]) => entry.sha256), limit: 1000 });
      for (const image of page.items) this.#update(image);
      const there = new Set(page.items.map((image) => image.id));
      const gone = page.next === null ? oldest.filter(([id]) => !there.has(id)) : [];
      for (const [id] of gone) this.#update({ id, status: "deleted" });
    } catch {
      // the next event tries again
    } finally {
      this.#refreshing = false;
    }
  }

  #update(image) {
    const entry = this.#followed.get(image.id);
    if (!entry || entry.status === image.status) return;
    entry.status = image.status;
    if (FINAL.has(image.status)) this.#followed.delete(image.id);
    for (const update of entry.updates) update(image);
  }
}

export const live = new Live();
