// Deleting with undo: the photo vanishes at once, the service hears of it when nobody has undone it.

import { deleteImage } from "./api.js";
import { byId, make } from "./dom.js";

const UNDO_MS = 8000;
const held = new Map(); // id of a photo -> sends its deletion at once
const undos = new Set(); // of the deletions that can be undone, the newest last
let deleted = 0;

/** Whether the photo is deleted or about to be. */
export const isLeaving = (id) => held.has(id);

/** Number of photos that are deleted for good. */
export const deletions = () => deleted;

/**
 * Show a message, with a button if there is one, for 8 s, or longer while pointer or focus rests on it.
 *
 * Returns what takes it away; `onOver` is called when its time has run out.
 */
export function toast(text, button = "", onOver = () => {}) {
  const element = make("div", { className: "toast" }, make("span", {}, text), button);
  let timer, isClosed = false;
  const stop = () => clearTimeout(timer);
  const close = () => {
    isClosed = true; // an element that is removed loses the focus, which must not start the time again
    stop();
    element.remove();
  };
  const start = () => {
    stop();
    if (isClosed) return;
    timer = setTimeout(() => {
      close();
      onOver();
    }, UNDO_MS);
  };
  for (const name of ["pointerenter", "focusin"]) element.addEventListener(name, stop);
  for (const name of ["pointerleave", "focusout"]) element.addEventListener(name, start);
  byId("toasts").append(element);
  start();
  return close;
}

/** Delete a photo in 8 s, or later while the pointer or the focus rests on the message; `onKept`: it stays. */
export function deleteLater(image, onKept) {
  const finish = async () => {
    settle();
    try {
      await deleteImage(image.id);
      held.set(image.id, () => {}); // gone for good
      deleted += 1;
    } catch (problem) {
      held.delete(image.id);
      onKept();
      toast(`${image.name} was not deleted. ${problem.message}`);
    }
  };
  const undo = () => {
    settle();
    held.delete(image.id);
    onKept();
  };
  const settle = () => {
    close();
    undos.delete(undo);
  };
  held.set(image.id, finish);
  undos.add(undo);
  const properties = { type: "button", onclick: undo, "aria-keyshortcuts": "Control+Z" };
  const close = toast(`Deleted ${image.name}`, make("button", properties, "Undo"), finish);
}

addEventListener("keydown", (event) => {
  const typing = event.target.matches("input:not([type=range]):not([type=checkbox]), textarea");
  if (event.key !== "z" || !(event.ctrlKey || event.metaKey) || event.shiftKey || typing || !undos.size) return;
  event.preventDefault();
  [...undos].at(-1)();
});

// Who leaves the page has not undone it.
addEventListener("pagehide", () => {
  for (const finish of held.values()) finish();
});
