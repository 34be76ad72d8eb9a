"""The page in a real Chromium, on a real service with the shipped network."""

import io
import json
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path

import httpx2
import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont
from playwright.sync_api import Browser, Locator, Page, expect

from tests.acceptance.browser import needs_chromium
from tests.acceptance.service import environment

pytestmark = needs_chromium

AXE = "axe-core@4.14.1"
START_SECONDS, INDEX_MS = 120, 90_000
ORIENTATION_TAG = 0x0112
TURNS = {3: Image.Transpose.ROTATE_180, 6: Image.Transpose.ROTATE_90, 8: Image.Transpose.ROTATE_270}


def draw(word: str, size: tuple[int, int], at: tuple[int, int], *, orientation: int = 1) -> bytes:
    """Return a JPEG that, upright, shows a dark word on a light ground; `at` is the word's top left."""
    picture = Image.new("RGB", size, (236, 232, 224))
    ImageDraw.Draw(picture).text(at, word, (25, 25, 40), ImageFont.load_default(size=72))
    if orientation in TURNS:
        picture = picture.transpose(TURNS[orientation])
    exif = Image.Exif()
    exif[ORIENTATION_TAG] = orientation
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=92, exif=exif)
    return buffer.getvalue()


# Names and words; a panorama and a tower leave stripes beside their thumbnails.
PHOTOS = {
    "zeppelin.jpg": draw("ZEPPELIN", (900, 700), (90, 480), orientation=6),
    "mandolin.jpg": draw("MANDOLIN", (1400, 420), (880, 60), orientation=3),
    "quartet.jpg": draw("QUARTET", (520, 1300), (60, 1100), orientation=8),
    "harbour.jpg": draw("HARBOUR", (1000, 800), (420, 120)),
}


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """URL of a running service that holds PHOTOS."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    folder = tmp_path_factory.mktemp("service")
    settings = environment(port=port, data_dir=folder / "data")
    command = [sys.executable, "-m", "app", "serve"]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(command, env=settings, stdout=log, stderr=log)
    url = f"http://127.0.0.1:{port}"
    try:
        with httpx2.Client(trust_env=False, timeout=INDEX_MS / 1000) as http:
            wait_until_ready(http, url)
            files = [("files", (name, data)) for name, data in PHOTOS.items()]
            answer = http.post(f"{url}/images?wait=true", files=files, data={"collection": "words"})
        assert [item["status"] for item in answer.json()["items"]] == ["indexed"] * len(PHOTOS)
        yield url
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(timeout=60)


def wait_until_ready(http: httpx2.Client, url: str) -> None:
    for _ in range(4 * START_SECONDS):
        try:
            if http.get(f"{url}/readyz", timeout=5).status_code == 200:
                return
        except httpx2.TransportError:
            pass
        time.sleep(0.25)
    raise TimeoutError


@pytest.fixture
def page(chromium: Browser, service: str) -> Iterator[Page]:
    """The page, opened; nothing may come from elsewhere, and no script may fail."""
    context = chromium.new_context(base_url=service, viewport={"width": 1280, "height": 900})
    page = context.new_page()
    page.set_default_timeout(20_000)
    wrong: list[str] = []
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("console", lambda line: wrong.append(line.text) if "Content Security" in line.text else None)
    page.on("request", lambda request: None if request.url.startswith(service) else wrong.append(request.url))
    page.goto("/")
    yield page
    context.close()
    assert wrong == []


def search(page: Page, word: str) -> Locator:
    """Search for a word and return the items of the results."""
    page.get_by_role("searchbox").fill(word)
    expect(page.get_by_role("list", name="Results")).to_be_visible()
    expect(page).to_have_title(f"{word} – glyphseek")
    expect(page.get_by_text(f"for “{word}”")).to_be_visible()
    return page.get_by_role("list", name="Results").get_by_role("listitem")


def framed(stage: Locator) -> tuple[float, float]:
    """Return how much of the dark word that the browser shows lies in the best box, and how much of the photo
    the box takes, both in [0, 1].
    """
    stage.scroll_into_view_if_needed()
    page = stage.page
    page.mouse.move(0, 0)
    page.wait_for_function("[...document.images].every((image) => image.complete)")
    box = stage.locator(".box").first.evaluate(
        """(box) => {
            const [outer, inner] = [box.parentElement, box].map((element) => element.getBoundingClientRect());
            for (const other of box.parentElement.querySelectorAll(".box")) other.style.visibility = "hidden";
            const [left, top] = [inner.left - outer.left, inner.top - outer.top];
            return [left, top, left + inner.width, top + inner.height];
        }"""
    )
    pixels = np.asarray(Image.open(io.BytesIO(stage.screenshot())).convert("L"))
    rows, columns = np.nonzero(pixels < 90)
    word = (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)
    common = [
        max(0, min(box[side + 2], word[side + 2]) - max(box[side], word[side]))
        / (word[side + 2] - word[side])
        for side in (0, 1)
    ]
    return common[0] * common[1], (box[2] - box[0]) * (box[3] - box[1]) / pixels.size


@pytest.mark.parametrize("name", list(PHOTOS))
def test_box_and_crop_show_the_word(page: Page, name: str) -> None:
    word = name.removesuffix(".jpg")
    hit = search(page, word).first
    expect(hit).to_have_accessible_name(re.compile(rf"^{name}, \d+ %$"))
    expect(hit.get_by_role("img")).to_have_accessible_name(name)
    expect(hit.get_by_label(word.upper(), exact=True).first).to_be_attached()
    covered, part = framed(hit.locator(".stage"))
    assert covered > 0.7
    assert part < 0.25
    crop = Image.open(io.BytesIO(hit.locator("canvas").screenshot())).convert("L")
    assert 0.03 < np.mean(np.asarray(crop) < 110) < 0.7, "the crop is not full of the word"
    hit.get_by_role("button", name=name, exact=True).click()
    large = framed(page.get_by_role("dialog", name=name).locator(".stage"))
    assert large == pytest.approx((covered, part), abs=0.1)


def test_upload_progress_search_delete_undo(page: Page, service: str, tmp_path: Path) -> None:
    def keep(step: str) -> None:
        """Keep a picture for whoever wants to look."""
        page.screenshot(path=tmp_path / f"{step}.png")

    page.get_by_role("button", name="Add photos").first.click()
    page.get_by_role("region", name="Add photos").get_by_role("combobox").fill("fresh")
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as zipped:
        zipped.writestr("in/pelican.jpg", draw("PELICAN", (800, 600), (100, 200)))
        zipped.writestr("in/broken.jpg", b"no picture")
    page.get_by_label("Photos and zips").set_input_files(
        [
            {"name": "marble.jpg", "mimeType": "image/jpeg", "buffer": draw("MARBLE", (800, 600), (80, 80))},
            {"name": "all.zip", "mimeType": "application/zip", "buffer": archive.getvalue()},
            {"name": "song.mp3", "mimeType": "audio/mpeg", "buffer": b"la la"},
            {"name": "empty.png", "mimeType": "image/png", "buffer": b""},
        ]
    )
    uploads = page.get_by_role("list", name="Uploads").get_by_role("listitem")
    keep("1-progress")
    expect(page.get_by_text("2 of 5 files indexed, 3 refused")).to_be_visible(timeout=INDEX_MS)
    keep("2-uploaded")
    for name, state in {
        "marble.jpg": "indexed",
        "pelican.jpg": "indexed",
        "broken.jpg": "not a picture",
        "song.mp3": "not a picture",
        "empty.png": "empty",
    }.items():
        expect(uploads.filter(has_text=name)).to_contain_text(state)
    page.get_by_role("button", name="Close the upload panel").click()

    hit = search(page, "pelican").filter(has_text="pelican.jpg")
    keep("3-found")
    hit.get_by_role("button", name="Delete pelican.jpg").click()
    expect(hit).to_be_hidden()
    keep("4-deleted")
    page.get_by_role("button", name="Undo").click()
    expect(hit).to_be_visible()
    hit.get_by_role("button", name="Delete pelican.jpg").click()
    assert "pelican.jpg" in names(service), "the deletion is held back for a while"
    page.wait_for_timeout(9000)
    assert "pelican.jpg" not in names(service)

    search(page, "marble").get_by_role("button", name="marble.jpg", exact=True).click()
    page.get_by_role("dialog").get_by_role("button", name="Delete").click()
    expect(page.get_by_role("dialog")).to_be_hidden()
    expect(page.get_by_text("No photo matches that well.")).to_be_visible()
    page.get_by_role("button", name="Undo").click()
    expect(page.get_by_text("No photo matches that well.")).to_be_hidden()

    page.get_by_role("button", name="Show less similar photos").click()
    page.get_by_role("button", name="marble.jpg", exact=True).click()
    page.get_by_role("dialog").get_by_role("button", name="Delete").click()
    page.get_by_role("dialog").get_by_role("button", name="Undo").click()
    page.get_by_role("button", name="Close", exact=True).click()
    search(page, "marble").get_by_role("button", name="Delete marble.jpg").click()
    page.goto("/docs")  # who leaves has not undone it
    page.wait_for_timeout(500)
    assert "marble.jpg" not in names(service)


def names(service: str) -> list[str]:
    """Return the names of all photos."""
    items = httpx2.get(f"{service}/images?limit=1000", trust_env=False).json()["items"]
    return [item["name"] for item in items]


def test_dropped_files_are_taken_and_known_ones_recognised(page: Page) -> None:
    transfer = page.evaluate_handle(
        """async () => {
            const photo = await (await fetch("/images/1/file")).blob();
            const transfer = new DataTransfer();
            transfer.items.add(new File([photo], "again.jpg", { type: "image/jpeg" }));
            transfer.items.add(new File(["text"], ".hidden"));
            return transfer;
        }"""
    )
    page.get_by_role("button", name="Add photos").first.click()
    page.get_by_role("region", name="Add photos").get_by_role("combobox").fill("words")
    page.dispatch_event("main", "drop", {"dataTransfer": transfer})
    upload = page.get_by_role("list", name="Uploads").get_by_role("listitem")
    expect(upload).to_have_count(1)
    expect(upload).to_contain_text("already in the gallery")


def test_gallery_says_what_failed_and_why(page: Page) -> None:
    def fail(route: object) -> None:
        answer = route.fetch()  # type: ignore[attr-defined]
        body = answer.json()
        body["items"][0] |= {"status": "failed", "reason": "the picture could not be decoded"}
        route.fulfill(response=answer, body=json.dumps(body))  # type: ignore[attr-defined]

    expect(page.get_by_role("list", name="Gallery").get_by_role("listitem").first).to_contain_text("indexed")
    page.route("**/images?*", fail)
    page.reload()
    first = page.get_by_role("list", name="Gallery").get_by_role("listitem").first
    expect(first).to_contain_text("failed: the picture could not be decoded")
    page.route("**/retry", lambda route: route.fulfill(status=503, json={"detail": "no database now"}))
    first.get_by_role("button", name="Try zeppelin.jpg again").click()
    expect(page.get_by_text("No database now.")).to_be_visible()


def test_keyboard_alone_is_enough(page: Page) -> None:
    expect(page.get_by_role("searchbox")).to_be_focused()
    page.get_by_role("link", name="API documentation").focus()
    page.keyboard.press("/")
    expect(page.get_by_role("searchbox")).to_be_focused()
    page.keyboard.type("harbour")
    page.get_by_role("button", name="Show less similar photos").focus()
    page.keyboard.press("Enter")
    expect(page.get_by_role("listitem", name="quartet.jpg")).to_be_visible()
    first = page.get_by_role("button", name="harbour.jpg", exact=True)
    first.focus()
    page.keyboard.press("Enter")
    expect(page.get_by_role("dialog", name="harbour.jpg")).to_be_visible()
    page.keyboard.press("ArrowRight")
    expect(page.get_by_role("dialog", name="harbour.jpg")).to_be_hidden()
    page.keyboard.press("ArrowLeft")
    expect(page.get_by_role("dialog", name="harbour.jpg")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_be_hidden()
    expect(first).to_be_focused()


def test_addresses_can_be_shared_and_gone_back_to(page: Page) -> None:
    page.goto("/?q=harbour&min=50")
    hits = page.get_by_role("list", name="Results").get_by_role("listitem")
    expect(hits.first).to_contain_text("harbour.jpg")
    expect(page.get_by_role("slider", name="Minimum match")).to_have_value("50")
    assert hits.count() == 1
    page.get_by_role("slider", name="Minimum match").fill("0")
    expect(hits.nth(len(PHOTOS) - 1)).to_be_visible()
    page.wait_for_timeout(2100)  # a new entry of the history
    search(page, "quartet")
    page.go_back()
    expect(page.get_by_role("searchbox")).to_have_value("harbour")
    expect(hits.first).to_contain_text("harbour.jpg")
    page.go_forward()
    expect(hits.first).to_contain_text("quartet.jpg")
    page.get_by_role("searchbox").fill("")
    expect(page.get_by_role("list", name="Gallery")).to_be_visible()


def test_words_that_were_read_are_suggested(page: Page) -> None:
    box, suggestions = page.get_by_role("searchbox"), page.get_by_role("listbox", name="Suggestions")
    box.press_sequentially("ma")
    option = suggestions.get_by_role("option", name="mandolin, 1 photo")
    expect(option).to_be_visible()
    box.press("ArrowDown")
    expect(option).to_have_attribute("aria-selected", "true")
    expect(box).to_have_attribute("aria-activedescendant", str(option.get_attribute("id")))
    box.press("ArrowUp")
    expect(option).to_have_attribute("aria-selected", "false")
    box.press("ArrowDown")
    box.press("Enter")
    expect(box).to_have_value("mandolin")
    expect(box).to_be_focused()
    hits = page.get_by_role("list", name="Results").get_by_role("listitem")
    expect(hits.first).to_contain_text("mandolin.jpg")
    expect(suggestions).to_be_hidden()
    box.fill("qua")
    suggestions.get_by_role("option", name="quartet").click()
    expect(hits.first).to_contain_text("quartet.jpg")
    box.fill("qua")
    expect(suggestions).to_be_visible()
    box.press("Escape")
    expect(suggestions).to_be_hidden()
    expect(box).to_have_value("qua")


def test_what_is_less_similar_is_one_click_away(page: Page) -> None:
    hits = search(page, "harbour")
    expect(hits).to_have_count(1)
    expect(hits.first).to_contain_text("exact")
    slider = page.get_by_role("slider", name="Minimum match")
    suggested = float(slider.input_value())
    assert 40 < suggested < 90
    expect(page.get_by_text(f"{suggested:.0f} %, suggested")).to_be_visible()
    page.get_by_role("button", name="Show less similar photos").click()
    expect(hits.nth(len(PHOTOS) - 1)).to_be_visible()
    expect(slider).to_have_value("0")
    expect(page.get_by_role("button", name="Show less similar photos")).to_be_hidden()
    page.get_by_role("button", name="reset").click()
    expect(hits).to_have_count(1)
    expect(slider).to_have_value(f"{suggested:.0f}")


def test_matches_can_be_exact_or_parts_of_words(page: Page) -> None:
    hits = search(page, "harbor")  # as others spell it
    expect(hits.first).to_contain_text("harbour.jpg")
    match = page.get_by_role("combobox", name="Match", exact=True)
    match.select_option("exact")
    expect(page.get_by_text("No photo matches.")).to_be_visible()
    expect(page.get_by_role("slider")).to_be_hidden()
    for kind, part in (("begins with", "harb"), ("contains", "rbou")):
        match.select_option(kind)
        expect(search(page, part)).to_have_count(1)
        expect(hits.first).to_contain_text("harbour.jpg")
    page.reload()
    expect(match).to_have_value("contains")
    expect(hits).to_have_count(1)


def test_another_spelling_is_searched_where_nothing_matches_well(page: Page) -> None:
    page.goto("/?q=hrbxuor")
    expect(page.get_by_text("No photo matches “hrbxuor” well. 1 photo for “harbour”")).to_be_visible()
    expect(page.get_by_role("searchbox")).to_have_value("hrbxuor")
    hits = page.get_by_role("list", name="Results").get_by_role("listitem")
    expect(hits).to_have_count(1)
    expect(hits.first).to_contain_text("harbour.jpg")
    page.get_by_role("button", name="Show less similar photos").click()
    expect(hits.nth(len(PHOTOS) - 1)).to_be_visible()
    expect(page.get_by_text("photos for “hrbxuor”")).to_be_visible()


def test_other_spellings_are_offered_where_nothing_likely_matches(page: Page) -> None:
    page.goto("/?q=hrbxuor&min=90")
    page.get_by_text("Did you mean").get_by_role("button", name="harbour").click()
    expect(page.get_by_role("searchbox")).to_have_value("harbour")
    page.goto('/?q="harbour"')
    expect(page.get_by_text('1 photo for "harbour"')).to_be_visible()
    page.goto("/?q=harbour+日本")
    expect(page.get_by_text("Not looked for:")).to_contain_text("日")
    page.get_by_role("searchbox").fill("!")
    expect(page.get_by_role("alert")).to_be_visible()
    expect(page.get_by_text("Not looked for:")).to_be_hidden()


def test_results_can_be_limited_to_dates(page: Page) -> None:
    search(page, "harbour")
    page.get_by_text("Date taken").click()
    page.get_by_label("Taken from").fill("2001-01-01")
    expect(page.get_by_text("No photo with these filters matches")).to_be_visible()  # they have no date
    page.reload()
    expect(page.get_by_label("Taken from")).to_have_value("2001-01-01")
    page.get_by_label("Taken from").fill("")
    expect(page.get_by_role("list", name="Results").get_by_role("listitem")).to_have_count(1)


def test_results_can_be_limited_by_size_and_metadata(page: Page) -> None:
    search(page, "harbour")
    results = page.get_by_role("list", name="Results").get_by_role("listitem")
    page.get_by_text("Size and metadata").click()

    def add(field: str, comparison: str, value: str) -> None:
        page.get_by_label("Size or name of metadata").fill(field)
        page.get_by_label("Comparison").select_option(comparison)
        page.get_by_label("Value").fill(value)
        page.get_by_label("Value").press("Enter")

    add("width", "at least", "many")  # refused before it is sent
    expect(page.get_by_role("list", name="Conditions").get_by_role("listitem")).to_have_count(0)
    add("width", "at least", "1000")
    expect(page.get_by_text("width at least 1000")).to_be_visible()
    expect(results).to_have_count(1)
    add("city", "is", "Rome")
    expect(page.get_by_text("No photo with these filters matches")).to_be_visible()  # none has a city
    page.reload()
    expect(page.get_by_text("city is Rome")).to_be_visible()
    page.get_by_role("button", name="Remove city is Rome").click()
    expect(results).to_have_count(1)
    add("file size", "more than", "1 GB")
    expect(page.get_by_text("file size more than 1 GB")).to_be_visible()
    expect(results).to_have_count(0)


def test_collections_from_the_first_to_the_last(page: Page) -> None:
    page.get_by_role("link", name="Collections").click()
    items = page.get_by_role("list", name="Collections").get_by_role("listitem")
    expect(items.filter(has_text="words")).to_contain_text(f"{len(PHOTOS)} photos")
    page.get_by_label("New collection").fill("a/b & c")
    page.get_by_label("quota", exact=True).fill("1.5 MB")
    page.get_by_role("button", name="Create").click()
    made = page.get_by_role("listitem", name="a/b & c")
    expect(made).to_contain_text("0 photos · 0 bytes of 1.5 MB")
    page.get_by_label("New collection").fill("words")
    page.get_by_role("button", name="Create").click()
    expect(page.get_by_text("There is a collection of this name already.")).to_be_visible()

    made.get_by_label("Change a/b & c").click()
    made.get_by_label("Quota", exact=True).fill("much")
    made.get_by_role("button", name="Save").click()
    expect(page.get_by_text("much is not a size")).to_be_visible()
    made.get_by_label("Name").fill("renamed")
    made.get_by_label("Quota", exact=True).fill("")
    made.get_by_role("button", name="Save").click()
    renamed = page.get_by_role("listitem", name="renamed")
    expect(renamed).to_contain_text("0 photos · 0 bytes")
    renamed.get_by_role("link", name="renamed").click()
    expect(page.get_by_text("There are no such photos.")).to_be_visible()
    page.go_back()
    renamed.get_by_label("Change renamed").click()
    page.once("dialog", lambda dialog: dialog.dismiss())
    renamed.get_by_role("button", name="Drop").click()
    expect(renamed).to_be_visible()
    page.once("dialog", lambda dialog: dialog.accept())
    renamed.get_by_role("button", name="Drop").click()
    expect(renamed).to_be_hidden()


@pytest.mark.parametrize(
    "path",
    [
        "/?q=harbour",
        "/?q=harbour&where=width>=10&where=meta.city=Rome",
        "/?q=" + 200 * "x",
        "/?view=collections",
        "/",
    ],
)
def test_nothing_sticks_out_on_a_phone(page: Page, path: str) -> None:
    page.set_viewport_size({"width": 360, "height": 740})
    page.goto(path)
    expect(page.get_by_text(re.compile(r"^\d+ photos indexed"))).to_be_visible()
    page.wait_for_timeout(300)
    assert page.evaluate("document.documentElement.scrollWidth") <= 360


@pytest.mark.parametrize(
    ("query", "reason"),
    [("!", "needs a letter or a digit"), ("harbour&collection=none", "no such collection")],
)
def test_errors_are_shown_in_words(page: Page, query: str, reason: str) -> None:
    page.goto(f"/?q={query}")
    expect(page.get_by_role("alert")).to_contain_text(reason)
    page.get_by_role("link", name="glyphseek").click()
    expect(page.get_by_role("list", name="Gallery").get_by_role("listitem").first).to_be_visible()
    expect(page.get_by_role("alert")).to_be_hidden()


def test_a_service_that_is_gone_is_waited_for(page: Page) -> None:
    page.route("**/search?*", lambda route: route.abort())
    page.get_by_role("searchbox").fill("harbour")
    expect(page.get_by_role("alert")).to_contain_text("does not answer")
    page.unroute("**/search?*")
    expect(page.get_by_role("list", name="Results").get_by_role("listitem").first).to_contain_text("harbour")


def test_api_documentation_works_without_the_network(page: Page) -> None:
    page.goto("/docs")
    expect(page.locator(".opblock").filter(has_text="/search").first).to_be_visible()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_serious(page: Page, scheme: str, tmp_path: Path) -> None:
    if shutil.which("npm") is None:
        pytest.skip("needs npm, which fetches axe-core")
    fetched = subprocess.run(["npm", "pack", AXE], cwd=tmp_path, capture_output=True)
    if fetched.returncode != 0:
        pytest.skip("npm could not fetch axe-core")
    shutil.unpack_archive(next(tmp_path.glob("*.tgz")), tmp_path)
    page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
    page.get_by_role("button", name="Add photos").first.click()
    check(page, tmp_path)
    search(page, "harbour").first.hover()
    check(page, tmp_path)
    page.goto("/?q=harbour&where=width>=10")
    expect(page.get_by_text("width at least 10")).to_be_visible()
    check(page, tmp_path)
    page.get_by_role("button", name="harbour.jpg", exact=True).click()
    page.get_by_label("Show all text found").check()
    check(page, tmp_path)
    page.goto("/")
    page.get_by_role("searchbox").press_sequentially("ha")
    expect(page.get_by_role("option").first).to_be_visible()
    page.get_by_role("searchbox").press("ArrowDown")
    check(page, tmp_path)
    page.goto("/?view=collections")
    page.get_by_label("Change words").click()
    check(page, tmp_path)


def check(page: Page, folder: Path) -> None:
    """Fail on what axe calls serious or critical."""
    page.evaluate((folder / "package" / "axe.min.js").read_text())
    found = page.evaluate("axe.run().then((result) => result.violations)")
    serious = [violation for violation in found if violation["impact"] in ("serious", "critical")]
    assert not serious, json.dumps(serious, indent=1)
