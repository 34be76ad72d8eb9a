"""How long the page takes to show results, in a real Chromium, on the sample gallery.

    python -m tests.benchmarks.first_results [--words coffee hotel …] [--pictures FOLDER] [--json FILE]

A fresh service indexes the sample gallery. Timed is, inside the browser, from the last letter that is typed
to the first frame that shows results for the word, and to the one in which all photos in sight are drawn;
and from the call of the page to its search box. `--pictures` keeps what the page looks like.
"""

import argparse
import tempfile
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, Page, sync_playwright

from app.cli import GALLERY
from app.client import Client
from app.ingest import find_photos
from tests.acceptance.browser import CHROMIUM, FLAGS
from tests.benchmarks import measuring

WORDS = ("coffee", "hotel", "bakery", "open", "sale", "pizza", "taxi", "market", "museum", "cofee")
ROUNDS = 3
LOOKS: dict[str, dict[str, Any]] = {
    "light": {"viewport": {"width": 1280, "height": 900}},
    "dark": {"viewport": {"width": 1280, "height": 900}, "color_scheme": "dark"},
    "phone": {"viewport": {"width": 390, "height": 844}, "device_scale_factor": 2},
}
TYPE = """
async (word) => {
    const box = document.getElementById("query");
    box.focus();
    box.value = word.slice(0, -1);
    await new Promise((done) => setTimeout(done, 20));
    const started = performance.now();
    box.value = word;
    box.dispatchEvent(new InputEvent("input", { bubbles: true }));
    const frame = () => new Promise(requestAnimationFrame);
    while (!document.getElementById("summary").textContent.includes(`“${word}”`)) {
        if (performance.now() - started > 30000) throw new Error(`no results for ${word}`);
        await frame();
    }
    const results = performance.now() - started;
    const inSight = (image) => image.getBoundingClientRect().top < innerHeight;
    const drawn = (image) => image.complete || !inSight(image);
    while (![...document.images].every(drawn)) await frame();
    return [results, performance.now() - started];
}
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--words", nargs="+", default=WORDS)
    parser.add_argument("--pictures", type=Path, help="folder for screenshots: light, dark, on a phone")
    parser.add_argument("--json", type=Path, help="file to write the figures to")
    options = parser.parse_args()
    with (
        tempfile.TemporaryDirectory() as folder,
        measuring.service("serve", Path(folder)) as (url, _),
        Client(url) as client,
        sync_playwright() as playwright,
    ):
        measuring.index(client, find_photos([str(GALLERY)]))
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        rows = measure(browser.new_page(base_url=url, **LOOKS["light"]), options.words)
        if options.pictures:
            take_pictures(browser, url, options.words[0], options.pictures)
    measuring.show("ms in the browser, sample gallery", rows, options.json)


def measure(page: Page, words: list[str]) -> dict[str, dict[str, float]]:
    """Return the lines of the table."""
    opened, results, drawn = [], [], []
    for _ in range(ROUNDS):
        page.goto("/")
        page.get_by_role("searchbox").wait_for()
        opened.append(page.evaluate("performance.now()"))
        for word in words:
            first, all_drawn = page.evaluate(TYPE, word)
            results.append(first)
            drawn.append(all_drawn)
    figures = {"page opened": opened, "first results": results, "photos drawn": drawn}
    return {name: measuring.percentiles(values) | {"most": max(values)} for name, values in figures.items()}


def take_pictures(browser: Browser, url: str, word: str, folder: Path) -> None:
    """Write what the page looks like with the results for a word."""
    folder.mkdir(parents=True, exist_ok=True)
    for look, options in LOOKS.items():
        page = browser.new_page(base_url=url, **options)
        page.goto("/")
        page.get_by_role("searchbox").wait_for()
        page.evaluate(TYPE, word)
        page.screenshot(path=folder / f"{look}.png")
        page.close()


if __name__ == "__main__":
    main()
