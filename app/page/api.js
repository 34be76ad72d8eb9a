// Requests to the service; every failure is a Problem whose message can be shown.

import { sentence } from "./dom.js";

/** What went wrong, in words; `status` is 0 if there was no answer at all. */
export class Problem extends Error {
  constructor(detail, status) {
    super(sentence(detail));
    this.status = status;
  }
}

const NO_ANSWER = "the service does not answer; is it running?";

async function call(path, options) {
  let response;
  try {
    response = await fetch(path, options);
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Problem(NO_ANSWER, 0);
  }
  if (response.status === 204) return null;
  let body = null;
  try {
    body = await response.json();
  } catch (error) {
    if (error.name === "AbortError") throw error;
    if (response.ok) throw new Problem(NO_ANSWER, 0); // it was cut off
  }
  return answer(response.status, body);
}

function answer(status, body) {
  if (status >= 200 && status < 300 && body) return body;
  throw new Problem(body?.detail ?? `the service answered ${status}`, status);
}

function withQuery(path, parameters) {
  const query = new URLSearchParams();
  for (const [name, value] of Object.entries(parameters)) {
    for (const single of [value].flat()) if (single !== null && single !== "") query.append(name, single);
  }
  return `${path}?${query}`;
}

const pathOf = (collection) => `/collections/${encodeURIComponent(collection)}`;
const withBody = (method, body) => ({
  method,
  headers: { "Content-Type": "application/json" },
  body: JSON.stringify(body),
});

export const search = (parameters, signal) => call(withQuery("/search", parameters), { signal });
export const listImages = (parameters, signal) => call(withQuery("/images", parameters), { signal });
export const listProposals = (id, signal) => call(`/images/${id}/proposals`, { signal });
export const suggest = (parameters, signal) => call(withQuery("/suggest", parameters), { signal });
export const listCollections = () => call("/collections");
export const createCollection = (collection) => call("/collections", withBody("POST", collection));
export const changeCollection = (name, change) => call(pathOf(name), withBody("PATCH", change));
/** Drop a collection and the photos in it. */
export const dropCollection = (name) => call(`${pathOf(name)}?photos=delete`, { method: "DELETE" });
export const retry = (id) => call(`/images/${id}/retry`, { method: "POST" });
/** Delete a photo; the request outlives the page. */
export const deleteImage = (id) => call(`/images/${id}`, { method: "DELETE", keepalive: true });

/**
 * Send files; return what became of each, also if none was taken.
 *
 * XMLHttpRequest, because fetch does not tell how much of a body has been sent.
 */
export function upload(files, collection, onProgress) {
  const form = new FormData();
  form.append("collection", collection);
  for (const file of files) form.append("files", file, file.name);
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    request.open("POST", "/images");
    request.responseType = "json";
    request.upload.onprogress = (event) => onProgress(event.loaded);
    request.onerror = () => reject(new Problem("the connection broke off", 0));
    request.onload = () => {
      if (request.response?.items) return resolve(request.response.items);
      try {
        resolve(answer(request.status, request.response).items);
      } catch (problem) {
        reject(problem);
      }
    };
    request.send(form);
  });
}
