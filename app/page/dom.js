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

const UNITS = ["bytes", "kB", "MB", "GB", "TB"];

/** Return a number of bytes as people write it: `2.5 GB`. */
export function formatSize(bytes) {
  const power = Math.min(UNITS.length - 1, Math.max(0, Math.floor(Math.log10(Math.max(1, bytes)) / 3)));
  return `${Number((bytes / 1000 ** power).toPrecision(3))} ${UNITS[power]}`;
}

/** Return the number of bytes that `2.5 GB` means, `null` for none; throws an Error with a message to show. */
export function parseSize(text) {
  const trimmed = text.trim().toLowerCase();
  if (!trimmed || trimmed === "none") return null;
  const [, number, unit] = /^([\d.]+)\s*([kmgt]?)(?:b|bytes)?$/.exec(trimmed) ?? [];
  const bytes = Math.round(Number(number) * 1000 ** " kmgt".indexOf(unit || " "));
  if (!Number.isSafeInteger(bytes)) throw new Error(`${text} is not a size such as 500 MB.`);
  return bytes;
}
