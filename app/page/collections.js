// The collections: what they hold and may hold; make, rename, limit and drop them.

import { changeCollection, createCollection, dropCollection, listCollections } from "./api.js";
import { byId, count, formatSize, make, parseSize } from "./dom.js";
import { toast } from "./remove.js";

let onChanged;

/** Make the form work; `changed` is called when a collection was made, renamed, limited or dropped. */
export function prepare(changed) {
  onChanged = changed;
  byId("new-collection").onsubmit = (event) => {
    event.preventDefault();
    act(async () => {
      const name = byId("new-name").value.trim();
      await createCollection({ name, quota_bytes: parseSize(byId("new-quota").value) });
      byId("new-collection").reset();
    });
  };
}

/** Show the collections as they are now, unless one is being edited. */
export async function follow() {
  if (!document.querySelector("#collection-list details[open]")) await show();
}

/** Show the collections as they are. */
export async function show() {
  const { items } = await listCollections();
  byId("collection-list").replaceChildren(...items.map(makeItem));
}

/** Do something with a collection; show what came of it, or what is wrong. */
async function act(action) {
  try {
    await action();
    await show();
    await onChanged();
  } catch (problem) {
    toast(problem.message);
  }
}

function makeItem(collection) {
  const { name, images, bytes_used: used, quota_bytes: quota } = collection;
  const total = Object.values(images).reduce((sum, number) => sum + number, 0);
  const others = Object.entries(images).filter(([status]) => status !== "indexed");
  const states = others.map(([status, number]) => `, ${number} ${status === "processing" ? "being read" : status}`);
  const size = formatSize(used) + (quota === null ? "" : ` of ${formatSize(quota)}`);
  const link = make("a", { href: `?collection=${encodeURIComponent(name)}` }, name);
  const facts = make("p", {}, `${count(total, "photo")}${states.join("")} · ${size}`);
  const item = make("li", { "aria-label": name }, make("h3", {}, link), facts);
  if (quota !== null) {
    const label = `Used of the quota of ${name}`;
    item.append(make("meter", { max: Math.max(1, quota), value: used, high: 0.9 * quota, "aria-label": label }));
  }
  item.append(makeForm(collection, total));
  return item;
}

function makeForm({ name, quota_bytes: quota }, total) {
  const newName = make("input", { value: name, required: true, maxLength: 100 });
  const shown = quota === null ? "" : formatSize(quota);
  const newQuota = make("input", { defaultValue: shown, placeholder: "none", size: 12 });
  const drop = make("button", { type: "button", className: "bad" }, "Drop");
  const form = make(
    "form",
    {},
    make("label", {}, "Name ", newName),
    make("label", {}, "Quota ", newQuota),
    make("button", { type: "submit" }, "Save"),
    drop,
  );
  form.onsubmit = (event) => {
    event.preventDefault();
    act(() => {
      const change = { name: newName.value.trim() };
      // Shown with three digits: only what was edited is sent.
      if (newQuota.value !== newQuota.defaultValue) change.quota_bytes = parseSize(newQuota.value);
      return changeCollection(name, change);
    });
  };
  drop.onclick = () => {
    const what = total ? `“${name}” and delete its ${count(total, "photo")}` : `“${name}”`;
    if (confirm(`Drop ${what}? This cannot be undone.`)) act(() => dropCollection(name));
  };
  return make("details", {}, make("summary", { "aria-label": `Change ${name}` }, "Change"), form);
}
