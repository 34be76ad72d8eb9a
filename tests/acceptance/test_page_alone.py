"""The page in a real Chromium, on a made-up service that answers late, cut off or not at all."""

import json
import re
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from playwright.sync_api import Browser, Page, Route, expect

from app.routes.page import FOLDER
from tests.acceptance.browser import needs_chromium

pytestmark = needs_chromium

PAGE = 24
TYPES = {".html": "text/html", ".js": "text/javascript", ".css": "text/css"}
# The page asks through this: answers to what `late` names wait as long as it does, those to `cut` break off.
LATE = """
    window.late = null;
    window.cut = null;
    const plain = window.fetch;
    window.fetch = async (path, options) => {
      const response = await plain(path, options);
      const read = response.json.bind(response);
      response.json = async () => {
        const isCut = window.cut && path.includes(window.cut);
        while (window.late && path.includes(window.late)) {
          if (options?.signal?.aborted) throw new DOMException("aborted", "AbortError");
          await new Promise((resolve) => setTimeout(resolve, 10));
        }
        if (isCut) throw new TypeError("network error");
        return read();
      };
      return response;
    };
"""


def photo(number: int, word: str) -> dict[str, Any]:
    return {
        "id": number,
        "name": f"{word} {number}.jpg",
        "sha256": f"{number:064x}",
        "url": f"/images/{number}/file",
        "thumbnail_url": f"/images/{number}/thumbnail",
        "collection": "default",
        "width": 640,
        "height": 480,
        "bytes": 1000,
        "status": "indexed",
        "reason": None,
        "metadata": {},
        "proposals": 0,
        "taken_at": "2024-05-01T23:00:00Z",
    }


class Service:
    """Answers the page: for any word 60 photos, best first; those deleted are gone."""

    def __init__(self) -> None:
        self.deleted: set[int] = set()
        self.collections = ["default"]
        self.refusals: list[int] = []  # statuses of the next searches
        self.asked: list[dict[str, list[str]]] = []

    def handle(self, route: Route) -> None:
        address = urlsplit(route.request.url)
        parameters, method = parse_qs(address.query), route.request.method
        answer = self._answers().get(address.path)
        if answer is not None:
            status, body = answer(parameters, method, route.request.post_data)
            route.fulfill(status=status, json=body)
        elif found := re.fullmatch(r"/images/(\d+)", address.path):
            self.deleted.add(int(found[1]))
            route.fulfill(status=204)
        elif (file := FOLDER / (address.path.removeprefix("/page/").strip("/") or "index.html")).is_file():
            route.fulfill(path=file, content_type=TYPES.get(file.suffix))
        else:
            route.fulfill(status=404, json={"detail": "there is nothing here"})

    def _answers(self) -> dict[str, Callable[..., tuple[int, Any]]]:
        return {
            "/search": self._search,
            "/collections": self._collections,
            "/suggest": lambda *_: (200, {"items": []}),
            "/images": lambda *_: (200, {"items": [], "next": None}),
        }

    def _search(self, parameters: dict[str, list[str]], *_: object) -> tuple[int, Any]:
        self.asked.append(parameters)
        if self.refusals:
            return self.refusals.pop(0), {"detail": "not now"}
        word, offset = parameters["q"][0], int(parameters.get("offset", ["0"])[0])
        first = 1000 * len(word)
        ranking = [number for number in range(first, first + 60) if number not in self.deleted]
        hits = [
            {"image": photo(number, word), "score": 0.9, "match": "exact", "boxes": []}
            for number in ranking[offset : offset + PAGE]
        ]
        answer = {"query": word, "total": len(ranking), "hits": hits, "took_ms": {"total": 5}}
        return 200, answer | {"did_you_mean": [], "ignored": [], "suggested_min_score": 0.7}

    def _collections(self, _: object, method: str, body: str | None) -> tuple[int, Any]:
        if method == "POST" and body:
            self.collections.append(json.loads(body)["name"])
            return 201, {}
        items = [
            {"name": name, "images": {}, "bytes_used": 0, "quota_bytes": None} for name in self.collections
        ]
        return 200, {"items": items}


@pytest.fixture
def service() -> Service:
    return Service()


@pytest.fixture
def page(chromium: Browser, service: Service) -> Iterator[Page]:
    context = chromium.new_context(base_url="http://localhost", timezone_id="Asia/Tokyo", locale="en-US")
    page = context.new_page()
    page.set_default_timeout(10_000)
    wrong: list[str] = []
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.add_init_script(LATE)
    page.route("**/*", service.handle)
    page.goto("/")
    yield page
    context.close()
    assert wrong == []


def names(page: Page) -> list[str]:
    return page.locator("#grid .open:visible").all_inner_texts()


def search(page: Page, word: str) -> None:
    page.get_by_role("searchbox").fill(word)
    expect(page.get_by_text(f"for “{word}”")).to_be_visible()


def test_typing_on_while_an_answer_comes_in_is_no_problem(page: Page) -> None:
    page.evaluate("window.late = 'q=cof&'")
    page.get_by_role("searchbox").fill("cof")
    page.wait_for_timeout(300)
    search(page, "coffee")
    page.evaluate("window.late = null")
    page.wait_for_timeout(100)
    assert names(page)[0] == "coffee 6000.jpg"
    expect(page.get_by_role("alert")).to_be_hidden()


def test_an_answer_that_is_cut_off_is_asked_for_again(page: Page, service: Service) -> None:
    page.evaluate("window.cut = 'q=tea'")
    page.get_by_role("searchbox").fill("tea")
    expect(page.get_by_role("alert")).to_contain_text("The service does not answer")
    page.evaluate("window.cut = null")
    expect(page.get_by_text("for “tea”")).to_be_visible()
    page.get_by_role("searchbox").press("Enter")  # looks once more, though nothing has changed
    page.wait_for_timeout(300)
    assert [asked["q"] for asked in service.asked].count(["tea"]) >= 3


def test_results_of_two_searches_never_mix(page: Page) -> None:
    search(page, "tea")
    page.evaluate("window.late = 'offset=24'")
    page.get_by_role("button", name="Show more", exact=True).click()
    page.evaluate("window.late = 'q=hotel'")
    page.get_by_role("searchbox").fill("hotel")
    page.wait_for_timeout(300)
    expect(page.get_by_role("button", name="Show more", exact=True)).to_be_hidden()  # it would go on with tea
    page.evaluate("window.late = null")
    expect(page.get_by_text("for “hotel”")).to_be_visible()
    page.get_by_role("button", name="Show more", exact=True).click()
    expect(page.locator("#grid .open")).to_have_count(2 * PAGE)
    assert names(page) == [f"hotel {number}.jpg" for number in range(5000, 5000 + 2 * PAGE)]


def test_no_photo_is_skipped_where_others_were_deleted(page: Page, service: Service) -> None:
    page.clock.install()
    search(page, "tea")
    for _ in range(5):
        page.locator("#grid .trash:visible").first.click()
    page.mouse.move(0, 0)
    page.evaluate("document.activeElement.blur()")
    page.clock.run_for(9000)
    expect(page.locator(".toast")).to_have_count(0)
    assert service.deleted == set(range(3000, 3005))
    page.get_by_role("button", name="Show more", exact=True).click()
    expect(page.locator("#grid .open:visible")).to_have_count(2 * PAGE - 5)
    page.get_by_role("button", name="Show more", exact=True).click()
    expect(page.locator("#grid .open:visible")).to_have_count(55)
    assert names(page) == [f"tea {number}.jpg" for number in range(3005, 3060)]


def test_a_deletion_waits_for_who_is_about_to_undo_it(page: Page, service: Service) -> None:
    page.clock.install()
    search(page, "tea")
    page.locator("#grid .trash").first.click()
    page.get_by_role("button", name="Undo").focus()
    page.clock.run_for(20_000)
    page.get_by_role("button", name="Undo").press("Enter")
    page.clock.run_for(20_000)
    assert names(page)[0] == "tea 3000.jpg"
    assert not service.deleted
    page.locator("#grid .trash").nth(1).click()
    page.keyboard.press("Control+z")
    page.clock.run_for(20_000)
    assert names(page)[1] == "tea 3001.jpg"
    assert not service.deleted
    page.locator("#grid .trash").nth(2).click()
    page.mouse.move(0, 0)
    with page.expect_response("**/images/3002"):
        page.clock.run_for(20_000)
    assert service.deleted == {3002}


def test_going_back_closes_the_photo(page: Page) -> None:
    search(page, "tea")
    page.get_by_role("searchbox").press("Enter")
    page.wait_for_timeout(2100)  # a new entry of the history
    search(page, "hotel")
    page.get_by_role("button", name="hotel 5001.jpg", exact=True).click()
    expect(page.get_by_role("dialog")).to_be_visible()
    page.keyboard.press("Alt+ArrowRight")  # the browser's, not ours
    expect(page.get_by_role("dialog")).to_contain_text("hotel 5001.jpg")
    page.evaluate("history.back()")
    expect(page.get_by_text("for “tea”")).to_be_visible()
    expect(page.get_by_role("dialog")).to_be_hidden()


def test_a_day_is_that_of_the_camera_everywhere(page: Page) -> None:
    search(page, "tea")
    page.get_by_role("button", name="tea 3000.jpg", exact=True).click()
    expect(page.get_by_role("dialog")).to_contain_text("taken 5/1/2024")


def test_what_is_no_day_is_left_to_the_service(page: Page, service: Service) -> None:
    page.goto("/?q=tea&from=2024-05-01&to=abc")
    expect(page.get_by_text("for “tea”")).to_be_visible()
    assert service.asked[-1]["taken_before"] == ["abcT00:00:00Z"]
    page.goto("/?q=tea&to=2024-05-01")
    expect(page.get_by_text("for “tea”")).to_be_visible()
    assert service.asked[-1]["taken_before"] == ["2024-05-02T00:00:00.000Z"]


def test_what_is_typed_while_a_search_is_tried_again_stays(page: Page, service: Service) -> None:
    service.refusals = [503]
    page.get_by_role("searchbox").fill("tea")
    expect(page.get_by_role("alert")).to_contain_text("Not now")
    # Typed, but not yet taken up.
    page.evaluate("document.getElementById('query').value = 'teapot'")
    expect(page.get_by_text("for “tea”")).to_be_visible()
    expect(page.get_by_role("searchbox")).to_have_value("teapot")


def test_the_focus_stays_with_the_results(page: Page) -> None:
    search(page, "tea")
    page.get_by_role("button", name="Show less similar photos").focus()
    page.keyboard.press("Enter")
    expect(page.get_by_role("button", name="Show less similar photos")).to_be_hidden()
    assert page.evaluate("document.activeElement.id") == "summary"


def test_a_new_collection_can_be_chosen_at_once(page: Page) -> None:
    page.goto("/?view=collections")
    page.get_by_label("New collection").fill("trip")
    page.get_by_role("button", name="Create").click()
    expect(page.get_by_role("list", name="Collections")).to_contain_text("trip")
    expect(page.locator("#collection option")).to_have_text(["all", "default (0)", "trip (0)"])
