// Photos with boxes over them. Boxes are in pixels of the upright photo, and so are the sizes of images.

import { make } from "./dom.js";

const THUMBNAIL_SIDE = 480;
const READABLE_HEIGHT = 26; // pixels of a line of text, below which the thumbnail is too coarse
const CROP_WIDTH = 640, CROP_HEIGHT = 128;

/** Return the photo as an element of its own shape, so that boxes can be placed over it in per cent. */
export function makeStage(image, label, boxes) {
  const picture = make("img", { src: image.thumbnail_url, alt: label, decoding: "async" });
  const stage = make("div", { className: "stage" }, picture);
  stage.style.setProperty("--ratio", image.width / image.height);
  drawBoxes(stage, image, boxes);
  return stage;
}

/** Leave out boxes that lie mostly on a better one; boxes come best first. */
export function distinct(boxes) {
  const kept = [];
  for (const box of boxes) if (kept.every((better) => overlap(better.box, box.box) <= 0.5)) kept.push(box);
  return kept;
}

/** Return which part of the smaller box the two have in common. */
function overlap(first, second) {
  const area = ([x0, y0, x1, y1]) => Math.max(0, x1 - x0) * Math.max(0, y1 - y0);
  const common = first.map((side, index) => Math[index < 2 ? "max" : "min"](side, second[index]));
  return area(common) / Math.max(1, Math.min(area(first), area(second)));
}

/** Replace the boxes over a photo. */
export function drawBoxes(stage, image, boxes, kind = "match") {
  for (const old of stage.querySelectorAll(`.${kind}`)) old.remove();
  for (const { box: [x0, y0, x1, y1], text, match } of boxes) {
    const label = text || "text that could not be read";
    const tag = make("span", { className: "tag", "aria-hidden": "true" }, label);
    const overlay = make("span", { className: `box ${kind}`, role: "note", "aria-label": label }, tag);
    overlay.style.left = `${(100 * x0) / image.width}%`;
    overlay.style.top = `${(100 * y0) / image.height}%`;
    overlay.style.width = `${(100 * (x1 - x0)) / image.width}%`;
    overlay.style.height = `${(100 * (y1 - y0)) / image.height}%`;
    overlay.classList.toggle("similar", match === "similar");
    overlay.classList.toggle("at-top", y0 / image.height < 0.12);
    overlay.classList.toggle("at-right", x0 / image.width > 0.6);
    stage.append(overlay);
  }
}

/** Show the photo itself in place of its thumbnail, if the browser can. */
export async function sharpen(stage, image) {
  const file = make("img", { src: image.url });
  try {
    await file.decode();
  } catch {
    return; // a kind of picture that browsers do not know, such as HEIC
  }
  if (isUpright(file.naturalWidth, file.naturalHeight, image)) stage.querySelector("img").src = image.url;
}

/** Browsers turn photos as their EXIF says; where one does not, its boxes would be in the wrong place. */
const isUpright = (width, height, image) => width === image.width && height === image.height;

/**
 * Return a canvas with the part of the photo around a text region, turned so that it reads from left to right.
 *
 * `picture` is the loading thumbnail; `quad` are the corners, from the beginning of the text on.
 */
export function makeCrop(image, picture, quad) {
  const [[x0, y0], [x1, y1], , [x3, y3]] = quad;
  const long = Math.hypot(x1 - x0, y1 - y0), high = Math.hypot(x3 - x0, y3 - y0);
  const margin = 0.35 * Math.min(long, high);
  const scale = Math.min(CROP_WIDTH / (long + 2 * margin), CROP_HEIGHT / (high + 2 * margin));
  const [cosine, sine] = [(x1 - x0) / Math.max(1, long), (y1 - y0) / Math.max(1, long)].map((part) => part * scale);
  const canvas = make("canvas", { className: "crop", "aria-hidden": "true" });
  canvas.width = Math.max(1, Math.round(scale * (long + 2 * margin)));
  canvas.height = Math.max(1, Math.round(scale * (high + 2 * margin)));
  const draw = (source) => {
    const target = canvas.getContext("2d");
    target.imageSmoothingQuality = "high";
    const left = scale * margin - cosine * x0 - sine * y0, top = scale * margin + sine * x0 - cosine * y0;
    target.setTransform(cosine, -sine, sine, cosine, left, top);
    target.drawImage(source, 0, 0, image.width, image.height);
  };
  const drawThumbnail = () => draw(picture);
  if (picture.complete && picture.naturalWidth) drawThumbnail();
  else picture.addEventListener("load", drawThumbnail, { once: true });
  const thumbnailHeight = (Math.min(long, high) * THUMBNAIL_SIDE) / Math.max(image.width, image.height);
  if (thumbnailHeight < READABLE_HEIGHT) drawWhenSeen(canvas, image, draw);
  return canvas;
}

const waiting = new WeakMap();
const seen = new IntersectionObserver((entries) => {
  for (const { target, isIntersecting } of entries) {
    if (!isIntersecting) continue;
    seen.unobserve(target);
    lastDrawing = lastDrawing.then(waiting.get(target)).catch(() => {}); // the thumbnail's crop stays
  }
}, { rootMargin: "200px" });
let lastDrawing = Promise.resolve(); // one after the other: a decoded photo may have 250 MB

function drawWhenSeen(canvas, image, draw) {
  waiting.set(canvas, async () => {
    if (!canvas.isConnected) return;
    const response = await fetch(image.url);
    const bitmap = await createImageBitmap(await response.blob());
    if (isUpright(bitmap.width, bitmap.height, image)) draw(bitmap);
    bitmap.close();
  });
  seen.observe(canvas);
}
