"""The page in a real Chromium, of a real app: it shows what changes, needs no mouse, and asks nobody else."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator

import pytest

from support.chromium import Watched, browser, found

pytestmark = pytest.mark.skipif(found() is None, reason="needs Debian's chromium; `make servers` installs it")

FACE = {
    "service": "shop/lobby",
    "model": "centerface",
    "serving": {"version": "1", "sha256": "0" * 64},
    "batch": {"size": 4, "limit": 8, "maxWaitMs": 5, "since": 0},
    "queue": 3,
    "items": 9,
    "latencyMs": {"pre": 1, "queue": 2, "infer": 3, "post": 4, "p50": 10, "p99": 123.4},
}
STRANGE = '<img src=x onerror="document.title=1">'


@pytest.fixture(scope="module")
def chromium():
    with browser() as started:
        yield started


@pytest.fixture
def tab(lobby, chromium) -> Iterator[Watched]:
    page = chromium.new_page(viewport={"width": 1280, "height": 1000})
    tab = Watched(page, lobby.address)
    tab.shows("#stream-rows tr", "shop/lobby/door")
    yield tab
    page.close()


def given(tab: Watched, **changed) -> None:
    """Let the page see this instead of what the app says."""
    state = json.loads(tab.page.request.get(tab.page.url + "status").text()) | changed
    tab.page.route("**/status", lambda route: route.fulfill(json=state))


def test_a_new_batch_and_a_new_model_are_shown_with_a_mark_and_told(lobby, tab):
    lobby.want(batch=4, version="1")
    tab.shows(".graph g", "batch 4")
    lobby.want(batch=2, version="1")
    tab.shows(".graph g", "batch 2")
    tab.shows("#changes li", "shop/lobby/colour: batch 4 → 2")
    tab.shows("#news", "colour: batch 4 → 2")
    lobby.want(batch=2, version="2")
    tab.shows(".graph g", "tiny, version 2")
    tab.shows("#changes li", "shop/lobby/colour: model version 1 → 2")
    tab.shows("#news", "colour: model version 1 → 2")
    charts = tab.page.locator("#charts figure", has_text="shop/lobby/colour batch size")
    assert charts.locator("line.change").count() >= 2
    assert "2 now, from 2 to 4 in ten minutes" in charts.locator("svg").get_attribute("aria-label")
    assert tab.errors == []


def test_a_page_that_is_opened_later_sees_what_was_before(lobby, tab, chromium):
    lobby.want(batch=8)
    tab.shows("#changes li", "→ 8")
    later = Watched(chromium.new_page(), lobby.address)
    later.shows("#changes li", "→ 8")
    later.page.close()


def test_pictures_follow_their_stream(tab):
    age = tab.page.locator("#pictures figure", has_text="door").locator(".age")
    age.get_by_text("frame").wait_for()
    first = age.text_content().split(",")[0]
    tab.page.wait_for_function(
        "first => !document.querySelector('#pictures .age').textContent.startsWith(first + ',')", arg=first
    )
    assert tab.page.locator("#pictures img").first.evaluate("image => image.naturalWidth") == 640


def test_it_asks_only_the_app_and_nothing_goes_wrong_on_the_console(lobby, tab):
    tab.page.locator("#pictures .age", has_text="frame").first.wait_for()
    assert {url.split("/")[2] for url in tab.requests if not url.startswith("blob:")} == {lobby.address}
    assert tab.errors == []


def looks(tab: Watched) -> int:
    return sum(url.endswith("/status") for url in tab.requests)


def test_nothing_is_asked_while_it_is_paused_or_hidden(tab):
    tab.page.clock.install()
    tab.page.reload()
    hide = "hidden => Object.defineProperty(document, 'hidden', {get: () => hidden, configurable: true})"
    pause = tab.page.get_by_role("button", name="Pause")
    for stop, go_on in (
        (pause.click, pause.click),
        (lambda: tab.page.evaluate(hide, True), lambda: tab.page.evaluate(hide, False)),
    ):
        stop()
        tab.page.clock.run_for(10_000)  # what had been asked for before is told by then
        before = looks(tab)
        tab.page.clock.run_for(10_000)
        assert looks(tab) == before
        go_on()
        with tab.page.expect_request("**/status"):
            tab.page.clock.run_for(10_000)


def test_the_keyboard_reaches_everything_in_the_order_of_the_page(tab):
    reached = []
    for _ in range(14):
        tab.page.keyboard.press("Tab")
        reached.append(
            tab.page.evaluate(
                "[document.activeElement].map(e => e.getAttribute('aria-label') ?? e.textContent.trim())[0]"
            )
        )
        assert tab.page.evaluate("() => getComputedStyle(document.activeElement).outlineStyle") != "none"
        if reached[-1] == "Table of sinks":
            break
    assert reached == [
        *("Skip to what runs", "Streams", "Pipelines", "Time-lines", "Sinks", "Pause"),
        *("Table of streams", "Pipeline of shop/lobby", "Table of modules", "Table of sinks"),
    ]


def test_the_skip_link_leads_past_the_navigation(tab):
    tab.page.keyboard.press("Tab")
    tab.page.keyboard.press("Enter")
    assert tab.page.evaluate("() => document.activeElement.id") == "main"


def test_a_screen_reader_finds_landmarks_headings_in_order_and_a_name_for_everything(tab):
    page = tab.page
    page.locator("#pictures img").first.wait_for(state="attached")
    for landmark in ("banner", "navigation", "main"):
        assert page.get_by_role(landmark).count() == 1
    levels = [int(level) for level in page.locator("h1,h2,h3,h4").evaluate_all("all => all.map(e => e.tagName[1])")]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after - before <= 1 for before, after in itertools.pairwise(levels))
    assert page.locator("html").get_attribute("lang") == "en"
    nameless = "all => all.filter(e => !(e.alt || e.getAttribute('aria-label'))).map(e => e.outerHTML)"
    assert page.locator("img, svg[role=img], [role=region]").evaluate_all(nameless) == []
    assert page.locator("table").count() == page.locator("table > caption").count() == 3
    assert page.locator("tbody tr > :first-child:not(th[scope=row])").count() == 0
    assert page.locator("[aria-live=polite]").count() == 1
    twice = "all => all.map(e => e.id).filter((id, place, ids) => ids.indexOf(id) !== place)"
    assert page.locator("[id]").evaluate_all(twice) == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_stands_out_from_its_ground_in_light_and_dark(tab, scheme):
    tab.page.emulate_media(color_scheme=scheme)
    colours = tab.page.evaluate(
        "() => { const style = getComputedStyle(document.documentElement);"
        " return Object.fromEntries(['ground', 'surface', 'text', 'quiet', 'accent', 'good', 'warn', 'bad']"
        ".map(name => [name, style.getPropertyValue('--' + name).trim()])); }"
    )
    for ground in ("ground", "surface"):
        for text in ("text", "quiet", "accent", "good", "warn", "bad"):
            assert contrast(colours[text], colours[ground]) >= 4.5, f"{text} on {ground}"


@pytest.mark.parametrize(("wish", "moves"), [("reduce", False), ("no-preference", True)])
def test_nothing_moves_where_less_motion_is_wished_for(tab, wish, moves):
    tab.page.emulate_media(reduced_motion=wish)
    seconds = "image => parseFloat(getComputedStyle(image).transitionDuration)"
    assert (tab.page.locator("#pictures img").first.evaluate(seconds) > 0) is moves


def contrast(one: str, other: str) -> float:
    """WCAG 2.2's ratio, of colours as #rrggbb; 4.5 is what it asks for (level AA)."""

    def luminance(colour: str) -> float:
        parts = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
        linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
        return sum(weight * part for weight, part in zip((0.2126, 0.7152, 0.0722), linear, strict=True))

    darker, lighter = sorted((luminance(one), luminance(other)))
    return (lighter + 0.05) / (darker + 0.05)


def test_a_detector_stands_before_what_takes_its_detections(tab):
    given(
        tab,
        modules=[
            FACE | {"name": "age", "inputs": ["face"], "model": "age"},
            FACE | {"name": "face", "inputs": []},
        ],
    )
    tab.shows("#module-rows tr", "shop/lobby/age")
    names = [tab.page.locator(".graph .name", has_text=name) for name in ("2 streams", "face", "age", "1 sink")]
    xs = [name.bounding_box()["x"] for name in names]
    assert xs == sorted(set(xs))
    assert tab.page.locator(".graph path.tip").count() == 3
    tab.shows(".graph g", "p50 10.0 ms, p99 123 ms")


def test_what_looks_like_markup_is_shown_as_text(tab):
    stream = {
        "service": "shop/lobby",
        "name": STRANGE,
        "source": STRANGE,
        "state": "failed",
        "fps": 0,
        "reason": STRANGE,
        "reconnects": 0,
        "frames": {"ingested": 1, "delivered": 0, "dropped": {STRANGE: 1}, "inFlight": 0},
    }
    given(tab, streams=[stream], error=STRANGE, pipelines=[{"service": "shop/lobby", "uid": "u", "error": STRANGE}])
    tab.shows("#stream-rows td", f"✕ failed: {STRANGE}")
    tab.shows("#stream-rows td", f"1 {STRANGE}")
    tab.shows("#trouble", STRANGE)
    tab.shows(".graph .bad", STRANGE)
    assert tab.page.locator("img[src=x]").count() == 0
    assert tab.page.title() == "Framepilot"


def test_an_app_that_does_not_answer_is_told_and_so_is_its_return(tab):
    tab.page.route("**/status", lambda route: route.abort())
    tab.shows("#trouble", "The app has not answered since")
    tab.page.unroute("**/status")
    tab.page.locator("#trouble").wait_for(state="hidden")
