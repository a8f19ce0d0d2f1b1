"""The page in a real browser: no network, filters, keyboard, phone and desktop, light and dark."""

import json
import re
import shutil
from dataclasses import replace
from itertools import islice

import numpy as np
import pandas as pd
import plot_inputs
import pytest
import result_inputs
import uproot
from conftest import SAFETY_NET, read_json

from analysis.results import Histogram
from plotting import report, score_pictures, yields
from plotting.page_files import read_manifest
from plotting.settings import Options, open_results

BROWSER = shutil.which("chromium") or shutil.which("chromium-browser")
WORDS = (
    "--no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync"
).split()


CONSTANT = "m_T_muo_4"  # the fifth muon never occurs


@pytest.fixture(scope="module")
def page_file(tmp_path_factory):
    """The page of a run with three regions, the last of them blind; 12 features and CONSTANT."""
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
    known = {n: report.constant(results.histograms("SR3L", n)) for n in kept}
    varied = [n for n in kept if not known[n]][:12]
    full = report.features_of
    report.features_of = lambda _: [*varied, CONSTANT]
    try:
        (path,) = report.make_report(options, regions)
    finally:
        report.features_of = full
    return path


def test_page_needs_nothing_but_its_files(page_file):
    text = page_file.read_text()
    linked = re.findall(r"(?:src|href|data-pdf|data-csv)=\"(?!#|data:)([^\"]*)", text)
    assert all(name.startswith("files/") for name in linked)
    assert all((page_file.parent / name).is_file() for name in linked)
    found = {p.suffix for p in (page_file.parent / "files").rglob("*.*")}
    assert {".svg", ".pdf", ".png"} <= found
    kept = {f"files/{p.relative_to(page_file.parent / 'files')}" for p in svgs(page_file)}
    assert kept == {name for name in linked if name.endswith(".svg")}
    assert "@import" not in text and "url(" not in text
    assert "VR is blind" in text
    assert text.count("<li data-region") == 36 + 3
    assert text.count('class="enlarge"') == len(kept) == text.count('<img src="data:')


def svgs(page_file):
    return sorted((page_file.parent / "files").rglob("*.svg"))


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
    monkeypatch.setattr(report, "matrix_drawings", lambda *_: ())
    (path,) = report.make_report(options, ["SR3L"])
    text = path.read_text()
    assert "<li>40% of the background for twin + tail in no_ossf</li>" in text
    assert '<article class="event"' not in text
    for command in ("study", "explain"):
        assert f"<code>python -m ml {command} {folder}" in text


def counted(_, name, table):
    """Data are counts."""
    return table.assign(wgt_SG=1.0) if name == "data" else table


def test_page_tells_what_was_left_out(small, capsys):
    page, _ = small(capsys)
    assert "<h3>Left out</h3>" not in page.read_text()
    path = page.parents[1] / "run.json"
    record = read_json(path)
    first, second, *_ = record["samples"]
    for sample in record["samples"]:
        sample["left_out"] = ["ele_BL: lepPassOR"]
    first["left_out"].append("wgt_SG: jvtWeight")
    second |= {
        "dropped_events": 2,
        "skipped": [{"path": "a.root", "reason": "<is damaged>", "entries": None}],
    }
    path.write_text(json.dumps(record))
    page, _ = small(capsys)
    told = re.search("<h3>Left out</h3>\n<ul>(.*)</ul>", page.read_text())[1]
    assert re.findall("<li>(.*?)</li>", told) == [
        "all samples: ele_BL: lepPassOR: the files lack a column",
        f"{first['name']}: wgt_SG: jvtWeight: the files lack a column",
        f"{second['name']}: 2 events with bad values",
        f"{second['name']}: a.root: &lt;is damaged&gt;",
    ]


SMALL_RUN = ("m_3l", "e_T_miss", "m_T_jet_3")


@pytest.fixture
def small(tmp_path, monkeypatch):
    """A function that makes the page of a small run, and returns it and what it printed."""
    samples = [(n, p, k, e // 4, s, 4 * w) for n, p, k, e, s, w in plot_inputs.SAMPLES[2:]]
    folder = plot_inputs.write_run(tmp_path / "out", samples, edit=counted)
    plot_inputs.write_scores(folder, errors=False, network=False)
    monkeypatch.setattr(report, "features_of", lambda _: SMALL_RUN)
    all_matrices = report.matrix_drawings
    monkeypatch.setattr(report, "matrix_drawings", lambda *a: islice(all_matrices(*a), 1))
    monkeypatch.setattr(score_pictures, "TOP_EVENTS", 1)

    def make(capsys, force=False, folder=folder, **options):
        open_results.cache_clear()
        chosen = Options(str(folder), folder / "plots", processes=1, **options)
        (path,) = report.make_report(chosen, ["SR3L"], force)
        return path, capsys.readouterr().out.splitlines()[-1]

    return make


def contents(page_file):
    return {p: p.read_bytes() for p in page_file.parent.rglob("*") if p.is_file()}


def test_second_page_keeps_what_has_not_changed(small, capsys):
    page, told = small(capsys)
    number = len(svgs(page))
    assert told == f"drew {number} pictures"
    before = contents(page)
    page, told = small(capsys)
    assert told == f"drew 0 pictures, kept {number} that have not changed"
    assert contents(page) == before
    page, told = small(capsys, force=True)
    assert told == f"drew {number} pictures"
    assert contents(page) == before
    assert not [p for p in page.parent.iterdir() if p.name not in ("files", "index.html")]


def test_page_of_a_run_elsewhere_keeps_all_but_lines_that_name_the_folder(small, capsys, tmp_path):
    page, _ = small(capsys)
    scored = sum(p.parent.name == "scores" for p in svgs(page))
    elsewhere = page.parents[1].rename(tmp_path / "elsewhere")
    page, told = small(capsys, folder=elsewhere)
    assert told.startswith(f"drew {scored} pictures, kept {len(svgs(page)) - scored} ")


@pytest.mark.slow
def test_changed_scores_leave_other_pictures_alone(small, capsys):
    page, _ = small(capsys)
    before = contents(page)
    scored = {p for p in svgs(page) if p.parent.name == "scores"}
    path = page.parents[1] / "scores" / plot_inputs.MODEL / "data.hdf5"
    table = pd.read_hdf(path)
    about = {"sample": "data", "kind": "data", "region": "SR3L", "model": plot_inputs.MODEL}
    table["score"] += 0.1
    plot_inputs.store(path, "scores", {name: table[name] for name in table}, about)
    page, told = small(capsys)
    assert told.startswith(f"drew {len(scored)} pictures, kept {len(svgs(page)) - len(scored)} ")
    changed = {p for p in svgs(page) if before.get(p) != p.read_bytes()}
    assert changed and changed <= scored


@pytest.mark.slow
def test_changed_histogram_and_options_are_drawn(small, capsys):
    page, _ = small(capsys)
    before = contents(page)
    record = page.parents[1] / "run.json"
    record.write_text(record.read_text().replace('"event loop": 1.0', '"event loop": 2.0'))
    assert small(capsys)[1].startswith("drew 0 pictures")
    # Other events of one sample in one feature.
    path = page.parents[1] / "histograms.root"
    results = open_results(str(page.parents[1]))
    with uproot.update(path) as file:
        edges = results.features["m_3l"].edges
        file["SR3L/h_m_3l_ttbar"] = np.ones(len(edges) - 1), edges
    page, told = small(capsys)
    changed = {p.stem for p in svgs(page) if before.get(p) != p.read_bytes()}
    assert changed <= {"m_3l", "agreement"} and "m_3l" in changed
    drawn = int(told.split()[1])
    assert drawn == 2  # the agreement of all has the new numbers
    _, told = small(capsys, log=False)
    assert told.startswith(f"drew {len(svgs(page))} pictures")


@pytest.mark.slow
def test_picture_that_was_touched_is_drawn_again(small, capsys):
    page, _ = small(capsys)
    before = contents(page)
    one, other = svgs(page)[0], page.parent / "files/features/SR3L/m_3l.pdf"
    one.write_text("<svg/>")
    other.unlink()
    (page.parent / "files" / "stale.svg").write_text("")
    page, told = small(capsys)
    assert contents(page) == before and not told.startswith("drew 0 ")


@pytest.mark.slow
def test_manifest_of_something_else_is_forgotten(small, capsys):
    page, told = small(capsys)
    before, manifest = contents(page), page.parent / "files" / "manifest.json"
    content = read_json(manifest)
    assert len(content["parts"]) > 5

    def changed(**picture):
        name, part = next((n, p) for n, p in content["parts"].items() if p["pictures"])
        return content | {
            "parts": {name: part | {"pictures": [part["pictures"][0] | picture]}},
        }

    for written in (
        "{",
        "[]",
        json.dumps(content | {"format": 2}),
        json.dumps(changed(title="<script>alert(1)</script>", html=True)),
        json.dumps(changed(place="../../run")),
        json.dumps(changed(place="/etc/passwd")),
        json.dumps(changed(width="wide")),
        json.dumps({"format": 1, "parts": {"graph": {"key": "0" * 64}}}),
    ):
        manifest.write_text(written)
        assert read_manifest(manifest.parent) == {}, written
    page, found = small(capsys)
    assert (found, contents(page)) == (told, before)
    # One that fits, but says nonsense of the tests.
    for name, part in content["parts"].items():
        if name.startswith("features/"):
            part["about"] = '{"region": 3}'
    manifest.write_text(json.dumps(content))
    page, found = small(capsys)
    assert contents(page) == before and found.startswith(f"drew {len(gallery_of(page))} pictures")


def gallery_of(page_file):
    return [p for p in svgs(page_file) if "features" in p.parts]


def test_page_stays_where_a_new_one_fails(small, capsys, monkeypatch):
    page, _ = small(capsys)
    before = contents(page)
    monkeypatch.setattr(report.stack_pictures, "cutflow_figure", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        small(capsys, force=True)
    assert contents(page) == before


def test_constant_features_are_listed(small, capsys):
    page, _ = small(capsys)
    names = {p.stem for p in gallery_of(page)}
    text = page.read_text()
    listed = set(re.findall(r"<code>(\w+)</code></li>", text))
    assert names | listed == set(SMALL_RUN) and not names & listed
    histograms = {
        name: Histogram(np.arange(4.0), *(np.array(v, float) for v in (values, values)))
        for name, values in {"a": [0, 2, 0, 0, 0], "b": [0, 1, 0, 0, 0]}.items()
    }
    assert report.constant(histograms)
    histograms["signal"] = Histogram(np.arange(4.0), *np.array([[0, 0, 1.0, 0, 0]] * 2))
    assert not report.constant(histograms)


def test_yields_say_blind_of_data_alone(tmp_path):
    folder = plot_inputs.write_run(
        tmp_path / "out", regions=("SR3L", "VR"), blind=("VR",), declared=plot_inputs.SCALARS
    )
    results = open_results(str(folder))
    flows = [yields.make_cutflow(results, region) for region in ("SR3L", "VR")]
    rows = {label: cells for label, _, cells in report.yields_table(results, flows)}
    assert rows["Data"] == ["400", "blind"]
    short = replace(flows[1], rows=flows[1].rows[:1])
    rows = [cells[1] for _, _, cells in report.yields_table(results, [flows[0], short])]
    assert rows.count("blind") == 1 and rows.count("") == len(rows) - 2
    seen = replace(short, blind=False)
    rows = [cells[1] for _, _, cells in report.yields_table(results, [flows[0], seen])]
    assert rows.count("no data") == 1 and "blind" not in rows


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
    assert page.inner_text("#count") == "12 of 36 pictures, 1 of 3 constant features"
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
    assert page.inner_text("#count") == "0 of 36 pictures, 0 of 3 constant features"
    page.select_option("select[name=verdict]", "")
    page.fill("input[name=name]", CONSTANT)
    assert page.inner_text("#count") == "0 of 36 pictures, 1 of 3 constant features"
    assert page.locator("#constant li:visible").all_inner_texts() == [f"{CONSTANT} CR"]


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


def test_enlarged_picture_is_sharp_and_zooms(visit):
    page = visit()
    page.locator("#gallery .enlarge").nth(1).click()
    assert page.get_attribute("#large-image", "src").endswith(".svg")
    assert page.get_attribute("#large-pdf", "href").endswith(".pdf")
    page.wait_for_function("document.getElementById('large-image').naturalWidth > 0")

    def width():
        return page.locator("#large-image").bounding_box()["width"]

    frame, fitted = page.locator("#large-frame").bounding_box(), width()
    assert fitted <= frame["width"]
    assert page.locator("#large-image").bounding_box()["height"] <= frame["height"] + 1
    for key, factor in (("+", 1.25), ("+", 1.5625), ("-", 1.25), ("0", 1.0), ("-", 1.0)):
        page.keyboard.press(key)
        assert width() == pytest.approx(factor * fitted, rel=0.01), key
    page.click("#large [data-zoom='1.25']")
    page.mouse.move(frame["x"] + frame["width"] / 2, frame["y"] + frame["height"] / 2)
    page.mouse.wheel(0, -400)
    page.wait_for_function(f"document.getElementById('large-image').width > {2 * fitted}")
    shown_now = page.get_attribute("#large-image", "alt")
    scrolled = page.evaluate("document.getElementById('large-frame').scrollLeft")
    page.keyboard.press("ArrowRight")  # moves the picture instead of going to the next
    assert page.evaluate("document.getElementById('large-frame').scrollLeft") > scrolled
    assert page.get_attribute("#large-image", "alt") == shown_now
    page.click("#large [data-zoom='0']")
    assert width() == pytest.approx(fitted, rel=0.01)


def test_address_keeps_filters_and_the_picture(visit):
    page = visit()
    page.select_option("select[name=region]", "CR")
    page.fill("input[name=name]", "m_T")
    page.select_option("select[name=sort]", "feature")
    page.locator("#gallery .enlarge:visible").nth(2).click()
    picture = page.get_attribute("#large-image", "alt")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowLeft")
    page.reload()
    assert page.locator("#large").is_visible()
    assert page.get_attribute("#large-image", "alt") == picture
    page.go_back()
    page.wait_for_selector("#large", state="hidden")
    assert page.input_value("input[name=name]") == "m_T"
    assert page.input_value("select[name=sort]") == "feature"
    names = shown(page).evaluate_all("all => all.map(one => one.dataset.feature)")
    assert names and all(name.startswith("m_T") for name in names)
    assert {"region=CR", "name=m_T", "sort=feature"} == set(page.url.split("?")[1].split("&"))
    # Closed by its button, a picture leaves the same.
    page.locator("#gallery .enlarge:visible").nth(0).click()
    page.click("#large [data-close]")
    page.wait_for_function("!location.search.includes('picture')")
    assert page.evaluate("document.activeElement.className") == "enlarge"
    page.click("nav a[href='#yields']")
    assert page.url.endswith("#yields") and "name=m_T" in page.url


def test_page_alone_shows_the_small_pictures(browser, page_file, tmp_path):
    alone = shutil.copy(page_file, tmp_path / "index.html")
    page = browser.new_page()
    page.goto(alone.as_uri())
    page.locator("#gallery .enlarge").nth(0).click()
    page.wait_for_function("document.getElementById('large-image').src.startsWith('data:')")
    assert "is not beside this page" in page.inner_text("#large-note")
    assert page.locator("#large-links").is_hidden()
    page.close()


def test_page_prints_on_ten_sheets(visit):
    page = visit()
    printed = page.pdf(prefer_css_page_size=True)
    sheets = len(re.findall(rb"/Type\s*/Page\b", printed))
    assert 1 <= sheets <= 10
    page.emulate_media(media="print")
    assert page.locator("#gallery").is_hidden() and page.locator("#yields").is_visible()


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
