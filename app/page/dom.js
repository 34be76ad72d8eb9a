// Small helpers for the document.

/** Return the element with this id. */
export const byId = (id) => document.getElementById(id);

/**
 * Make an element.
 *
 * Properties are set as such, those that are no properties (`role`, `aria-…`) as attributes.
 */
export function make(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name in element && name !== "role") element[name] = value;
    else element.setAttribute(name, value);
  }
  element.append(...children);
  return element;
}

/** Return `1 photo`, `2 photos`, with the number as people here write it. */
export const count = (number, noun) => `${number.toLocaleString()} ${noun}${number === 1 ? "" : "s"}`;

/** Return a score in [-1, 1] as a percentage. */
export const percent = (score) => `${Math.max(0, Math.round(100 * score))} %`;

/** Return text as a sentence: with a capital at its start and a full stop at its end. */
export function sentence(text) {
  const end = /[.!?]$/.test(text) ? "" : ".";
  return text.charAt(0).toUpperCase() + text.slice(1) + end;
}

/** Return what runs `action` once nobody has asked for it for so long. */
export function debounced(milliseconds, action) {
  let timer;
  return () => {
    clearTimeout(timer);
    timer = setTimeout(action, milliseconds);
  };
}
