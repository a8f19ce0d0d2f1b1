"""The page in a real browser: no network, filters, keyboard, phone and desktop, light and dark."""

import re
import shutil

import plot_inputs
import pytest
import result_inputs
from conftest import SAFETY_NET

from plotting import report
from plotting.settings import Options, open_results

BROWSER = shutil.which("chromium") or shutil.which("chromium-browser")
WORDS = (
    "--no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync"
).split()


@pytest.fixture(scope="module")
def page_file(tmp_path_factory):
    """The page of a run with three regions, the last of them blind; 12 features."""
    folder = tmp_path_factory.mktemp("run") / "out"
    regions = ("SR3L", "CR", "VR")
    samples = tuple((n, p, k, e // 4, s, 4 * w) for n, p, k, e, s, w in plot_inputs.SAMPLES)
    plot_inputs.write_run(folder, samples=samples, regions=regions, blind=("VR",))
    plot_inputs.write_scores(folder, errors=False)
    plot_inputs.write_explained(folder)
    plot_inputs.write_study(folder)
    result_inputs.write_statistics(folder)
    options = Options(str(folder), folder / "plots", processes=1)
    # Fewer pictures are enough here.
    results = open_results(str(folder))
    kept = [n for n, f in results.features.items() if f.cell is None or 0 in f.cell]
    full = report.features_of
    report.features_of = lambda _: kept[:12]
    try:
        (path,) = report.make_report(options, regions)
    finally:
        report.features_of = full
    return path


def test_page_needs_nothing_from_outside(page_file):
    text = page_file.read_text()
    assert not re.search(r"(?:src|href)=\"(?!#|data:)", text)
    assert "@import" not in text and "url(" not in text
    assert "VR is blind" in text
    assert text.count("<li data-region") == 36


def test_page_tells_events_and_studies(page_file):
    text = page_file.read_text()
    assert text.count('<article class="event"') == 2
    for words in ("μ⁻", "b-jet", "&lt;0.002", "<code>flcomp=2</code>", "<code>tail</code> 7.5."):
        assert words in text, words
    for words in ("3.00 (2.70 to 3.30)", "0.50 (0.45 to 0.55) at 2 %", "on 2026-01-31", "12 / 2"):
        assert words in text, words
    assert "<li>big is left out</li>" in text


def test_page_names_the_commands_for_what_is_missing(tmp_path, monkeypatch):
    folder = plot_inputs.write_run(tmp_path / "out", plot_inputs.SAMPLES[2:4])
    plot_inputs.write_scores(folder, errors=False, network=False)
    options = Options(str(folder), folder / "plots", processes=1)
    monkeypatch.setattr(report, "features_of", lambda _: ["m_3l"])
    monkeypatch.setattr(report, "matrix_section", lambda *_: [])
    (path,) = report.make_report(options, ["SR3L"])
    text = path.read_text()
    assert "<li>40% of the background for twin + tail in no_ossf</li>" in text
    assert '<article class="event"' not in text
    for command in ("study", "explain"):
        assert f"<code>python -m ml {command} {folder}" in text


@pytest.fixture(scope="module")
def browser():
    if BROWSER is None:
        pytest.skip("chromium is not installed")
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    with playwright.sync_playwright() as driver:
        made = driver.chromium.launch(executable_path=BROWSER, headless=True, args=WORDS)
        yield made
        made.close()


@pytest.fixture
def visit(browser, page_file):
    """Open the page with a size and a colour scheme; complaints of the browser are errors."""
    contexts, complaints = [], []

    def opened_page(width=1280, height=800, scheme="light"):
        context = browser.new_context(
            viewport={"width": width, "height": height}, color_scheme=scheme, offline=True
        )
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(1000 * SAFETY_NET)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("console", lambda m: m.type in ("error", "warning") and complaints.append(m.text))
        page.goto(page_file.as_uri())
        return page

    yield opened_page
    for context in contexts:
        context.close()
    assert complaints == []


def shown(page):
    return page.locator("#gallery li:visible")


def test_gallery_filters_and_sorts(visit):
    page = visit()
    assert shown(page).count() == 36
    page.select_option("select[name=region]", "CR")
    assert shown(page).count() == 12
    assert page.inner_text("#count") == "12 of 36 pictures"
    page.select_option("select[name=kind]", "transverse mass")
    kinds = shown(page).evaluate_all("all => all.map(one => one.dataset.kind)")
    assert set(kinds) == {"transverse mass"}
    page.select_option("select[name=kind]", "")
    page.select_option("select[name=region]", "VR")
    verdicts = shown(page).evaluate_all("all => all.map(one => one.dataset.verdict)")
    assert set(verdicts) == {"blind"}
    page.select_option("select[name=region]", "")
    page.fill("input[name=name]", "M_T_JET")
    assert shown(page).count() == 3 * 4
    page.fill("input[name=name]", "")
    page.select_option("select[name=sort]", "feature")
    names = shown(page).evaluate_all("all => all.map(one => one.dataset.feature)")
    assert names == sorted(names, key=str.lower)
    page.select_option("select[name=verdict]", "blind")
    page.select_option("select[name=region]", "CR")
    assert page.inner_text("#count") == "0 of 36 pictures"


def test_pictures_enlarge_by_click_and_by_keyboard(visit):
    page = visit()
    page.locator("#gallery .enlarge").nth(1).click()
    first = page.get_attribute("#large-image", "alt")
    assert page.locator("#large").is_visible()
    page.keyboard.press("ArrowRight")
    assert page.get_attribute("#large-image", "alt") != first
    page.keyboard.press("ArrowLeft")
    assert page.get_attribute("#large-image", "alt") == first
    page.keyboard.press("Escape")
    assert not page.locator("#large").is_visible()
    focused = "document.activeElement.querySelector('img').alt"
    assert page.evaluate(focused) == first
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    assert page.locator("#large").is_visible()
    page.click("#large [data-close]")
    assert not page.locator("#large").is_visible()


def test_first_tab_skips_to_the_content(visit):
    page = visit()
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to the content"
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "summary"


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 1280])
def test_page_fits_and_can_be_read(visit, width, scheme):
    page = visit(width, 800, scheme)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    ink, paper = page.evaluate(
        "[getComputedStyle(document.body).color, getComputedStyle(document.body).backgroundColor]"
    )
    assert (brightness(ink) > brightness(paper)) == (scheme == "dark")
    assert contrast(ink, paper) > 7
    broken = "[...document.images].filter(i => i.complete && i.src && !i.naturalWidth).length"
    assert page.evaluate(broken) == 0
    missing = "[...document.images].filter(i => i.id !== 'large-image' && !i.alt).length"
    assert page.evaluate(missing) == 0


def brightness(colour):
    """Relative luminance of WCAG 2.1."""
    parts = [int(x) / 255 for x in re.findall(r"\d+", colour)[:3]]
    linear = [x / 12.92 if x <= 0.03928 else ((x + 0.055) / 1.055) ** 2.4 for x in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one, two):
    low, high = sorted([brightness(one), brightness(two)])
    return (high + 0.05) / (low + 0.05)
