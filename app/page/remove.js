// Deleting with undo: the photo vanishes at once, the service hears of it when nobody has undone it.

import { deleteImage } from "./api.js";
import { byId, make } from "./dom.js";

const UNDO_MS = 8000;
const held = new Map(); // id of a photo -> sends its deletion at once

/** Whether the photo is deleted or about to be. */
export const isLeaving = (id) => held.has(id);

/** Show a message with an action, for some seconds; return what takes it away. */
export function toast(text, action, onAction, milliseconds = UNDO_MS) {
  const element = make("div", { className: "toast" }, make("span", {}, text));
  const close = () => element.remove();
  const timer = setTimeout(close, milliseconds);
  if (action) {
    const press = () => {
      clearTimeout(timer);
      close();
      onAction();
    };
    element.append(make("button", { type: "button", onclick: press }, action));
  }
  byId("toasts").append(element);
  return close;
}

/** Delete a photo in 8 s; `onKept` is called if it stays after all. */
export function deleteLater(image, onKept) {
  const finish = async () => {
    clearTimeout(timer);
    try {
      await deleteImage(image.id);
      held.set(image.id, () => {}); // gone for good
    } catch (problem) {
      held.delete(image.id);
      onKept();
      toast(`${image.name} was not deleted. ${problem.message}`);
    }
  };
  const timer = setTimeout(finish, UNDO_MS);
  held.set(image.id, finish);
  toast(`Deleted ${image.name}`, "Undo", () => {
    clearTimeout(timer);
    held.delete(image.id);
    onKept();
  });
}

// Who leaves the page has not undone it.
addEventListener("pagehide", () => {
  for (const finish of held.values()) finish();
});
