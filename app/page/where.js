// Conditions on size and metadata: chosen in words, kept as the service reads them (`meta.year>=2020`).

import { byId, formatSize, make, parseSize } from "./dom.js";

const SIZES = { width: "width", height: "height", "file size": "bytes" };
const FIELDS = Object.fromEntries(Object.entries(SIZES).map(([name, field]) => [field, name]));
const PARTS = /^(meta\.[^<>=]+|width|height|bytes)(>=|<=|=|<|>)(.*)$/s;

let conditions = [];

/** Return the conditions, as the service reads them. */
export const chosen = () => conditions;

/** Show these conditions; those that the page can't read are shown as they are. */
export function show(wanted) {
  conditions = wanted;
  byId("where-filter").open ||= wanted.length > 0;
  byId("where-list").replaceChildren(...wanted.map(makeItem));
}

/** Offer the names of metadata that these photos have. */
export function offer(images) {
  const names = new Set(images.flatMap(({ metadata }) => Object.keys(metadata ?? {})));
  const options = [...Object.keys(SIZES), ...[...names].filter((name) => !(name in SIZES)).sort()];
  byId("where-fields").replaceChildren(...options.map((value) => make("option", { value })));
}

/** Call `onChange` whenever a condition was added or taken away. */
export function prepare(onChange) {
  const change = (wanted) => {
    show(wanted);
    onChange();
  };
  byId("where-form").addEventListener("submit", (event) => {
    event.preventDefault();
    let condition;
    try {
      condition = read();
    } catch (error) {
      byId("where-value").setCustomValidity(error.message);
      byId("where-value").reportValidity();
      return;
    }
    byId("where-value").value = "";
    byId("where-field").focus();
    change([...conditions.filter((other) => other !== condition), condition]);
  });
  for (const id of ["where-field", "where-value"]) {
    byId(id).addEventListener("input", () => byId("where-value").setCustomValidity(""));
  }
  byId("where-list").addEventListener("click", (event) => {
    const { condition } = event.target.dataset;
    if (condition === undefined) return;
    change(conditions.filter((other) => other !== condition));
    byId("where-field").focus();
  });
}

/** Return the condition that was typed; throws an Error with a message to show. */
function read() {
  const name = byId("where-field").value.trim(), operator = byId("where-operator").value;
  const value = byId("where-value").value.trim(), field = SIZES[name.toLowerCase()];
  if (field === "bytes") return `bytes${operator}${parseSize(value) ?? 0}`;
  if (field && !/^\d+$/.test(value)) throw new Error("Give a number of pixels, such as 1000.");
  if (field) return field + operator + value;
  if (/[<>=]/.test(name)) throw new Error("A name can't hold <, > or = here.");
  return (name.startsWith("meta.") ? name : `meta.${name}`) + operator + value;
}

function makeItem(condition) {
  const text = inWords(condition);
  const remove = { type: "button", className: "quiet", "aria-label": `Remove ${text}` };
  const button = make("button", remove, "✕");
  button.dataset.condition = condition;
  return make("li", {}, text, " ", button);
}

function inWords(condition) {
  const [, field, operator, value] = PARTS.exec(condition) ?? [];
  if (!field) return condition;
  const name = FIELDS[field] ?? field.slice("meta.".length);
  const compare = [...byId("where-operator").options].find((option) => option.value === operator).text;
  return `${name} ${compare} ${field === "bytes" && /^\d+$/.test(value) ? formatSize(Number(value)) : value}`;
}
