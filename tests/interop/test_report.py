# SPDX-License-Identifier: BSD-3-Clause
# Copyright (c) 2026, the emdtools developers
"""The report page of emdlist in a real, headless Chromium: sorting, filtering, clicking, keyboard,
hostile names, a thousand crystals, printing, contrast, and nothing in the console.

EMDTOOLS_PICTURE=FILE.png also takes the picture that the README shows."""

import json
import os
import re
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.join(os.environ["EMDTOOLS_SOURCE_DIR"], "tests"))
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import synthetic_trials as synthetic
import webdriver

TOOL = os.path.join(os.environ["EMDTOOLS_BIN"], "emdlist")
READY = "document.documentElement.dataset.ready === 'yes'"


def make_page(work, name, trial="P1"):
    page = os.path.join(work, name + ".html")
    folder = os.path.join(work, name)
    subprocess.run([TOOL, "-C", folder, "--format", "html", "-o", page, trial], check=True)
    data = subprocess.run([TOOL, "-C", folder, "--format", "json", trial], check=True, stdout=subprocess.PIPE).stdout
    return "file://" + page, json.loads(data)


def load(browser, url):
    browser.get(url)
    browser.wait(READY)


def column(browser, key):
    """The texts of a column, from the top."""
    return browser.script("""
        const heads = [...document.querySelectorAll('#table thead th')];
        const at = heads.findIndex(th => th.dataset.key === arguments[0]);
        return [...document.querySelectorAll('#table tbody tr:not(.space)')].map(tr => {
          let n = 0;
          for (const td of tr.cells) { if (n <= at && at < n + td.colSpan) return td.textContent; n += td.colSpan; }
        });""", key)


def paths(browser):
    return browser.script("return [...document.querySelectorAll('#table tbody tr[data-path]')].map(tr => tr.dataset.path)")


def sort_of(browser, key):
    return browser.script("return document.querySelector(`#table th[data-key=${arguments[0]}]`).getAttribute('aria-sort')", key)


def test_sort_filter_click(browser, work):
    synthetic.make(os.path.join(work, "lab"), 60, seed=5)
    url, rows = make_page(work, "lab")
    load(browser, url)
    good = [r for r in rows if r["outcome"] == "good"]

    # In the order of the resolution, as made.
    assert paths(browser) == [r["path"] for r in rows]
    assert sort_of(browser, "resolution") == "ascending" and sort_of(browser, "path") == "none"

    def sorted_numbers(key):
        return [float(t) for t in column(browser, key) if t and t[0].isdigit()]
    browser.find("th[data-key=completeness] button").click()
    assert sort_of(browser, "completeness") == "ascending" and sort_of(browser, "resolution") == "none"
    up = sorted_numbers("completeness")
    assert len(up) == len(good) and up == sorted(up)
    browser.find("th[data-key=completeness] button").click()
    assert sort_of(browser, "completeness") == "descending"
    assert sorted_numbers("completeness") == sorted(up, reverse=True)
    assert set(paths(browser)[len(good):]) == {r["path"] for r in rows if r["outcome"] != "good"}, "no value: at the end"
    # By keyboard: the heading is a button.
    browser.script("document.querySelector('th[data-key=path] button').focus()")
    browser.keys("\ue007")
    assert sort_of(browser, "path") == "ascending" and paths(browser) == sorted(r["path"] for r in rows)

    # Filters, alone and together.
    find = browser.find("#find")
    find.type("lattice")
    browser.wait("document.querySelectorAll('#table tbody tr[data-path]').length < 60")
    assert set(paths(browser)) == {r["path"] for r in rows if "lattice" in r["reason"]}
    assert browser.find("#count").text.startswith(f"{len(paths(browser))} of 60")
    browser.find("#reset").click()
    browser.wait("document.querySelectorAll('#table tbody tr[data-path]').length === 60")
    browser.find("input[name=outcome][value=failed]").click()
    browser.find("input[name=outcome][value=unfinished]").click()
    browser.find("#best").type("0.9")
    browser.wait("document.querySelectorAll('#table tbody tr[data-path]').length < 50")
    wanted = {r["path"] for r in good if r["resolution"] <= 0.9}
    assert set(paths(browser)) == wanted and wanted
    curves = browser.script("return document.querySelectorAll('#cc path.curve').length")
    assert curves == len(wanted), "the plots show what the table shows"
    browser.find("#reset").click()
    browser.wait("document.querySelectorAll('#table tbody tr[data-path]').length === 60")
    browser.script("const s = document.getElementById('cells'); s.value = 'out'; s.dispatchEvent(new Event('change'))")
    browser.wait("document.querySelectorAll('#table tbody tr[data-path]').length < 50")
    assert {r["path"] for r in good if r["a"] > 8} <= set(paths(browser)), "doubled axes are outliers"
    assert browser.script("return document.querySelectorAll('#scatter .diamond').length") == len(paths(browser))
    browser.find("#reset").click()
    browser.wait("document.querySelectorAll('#table tbody tr[data-path]').length === 60")

    # A click opens the crystal; arrows go on; Escape closes.
    first = paths(browser)[0]
    browser.find("#table tbody .open").click()
    assert browser.find("#details h2").text == first
    chosen = next(r for r in rows if r["path"] == first)
    assert browser.script("return document.querySelectorAll('#details tbody tr').length") == len(chosen["shells"])
    browser.keys("\ue014")
    assert browser.find("#details h2").text == paths(browser)[1]
    browser.keys("\ue00c")
    browser.wait("!document.getElementById('details').open")
    browser.find(".multiple").click()
    assert browser.script("return document.getElementById('details').open")
    browser.find("#close").click()
    # A curve lights up under the pointer, and a click on it opens its crystal.
    best = next(r for r in rows if r["outcome"] == "good")
    browser.script("""const p = document.querySelector('#cc path.curve'), svg = p.ownerSVGElement, box = svg.getBoundingClientRect();
        const at = p.getPointAtLength(0), view = svg.viewBox.baseVal;
        const where = {clientX: box.left + at.x * box.width / view.width, clientY: box.top + at.y * box.height / view.height, bubbles: true};
        svg.dispatchEvent(new PointerEvent('pointermove', where)); svg.dispatchEvent(new MouseEvent('click', where));""")
    assert browser.script("return document.getElementById('details').open")
    browser.find("#close").click()
    assert best["path"] in paths(browser)


def test_accessible(browser, work):
    """What a screen reader needs, and contrast of text in both themes (WCAG 2.1: 4.5 to 1)."""
    url, _ = make_page(work, "lab")
    for theme in ("light", "dark"):
        load(browser, url)
        browser.script("document.documentElement.dataset.theme = arguments[0]", theme)
        assert browser.script("return [...document.querySelectorAll('svg[role=img]')].every(s => s.querySelector('title').textContent)")
        assert browser.script("return [...document.querySelectorAll('th')].every(t => t.scope === 'col')")
        assert browser.script("return [...document.querySelectorAll('input, select')].every(i => i.labels.length === 1)")
        assert browser.script("return [...document.querySelectorAll('button')].every(b => b.textContent.trim() || b.ariaLabel)")
        assert browser.script("return document.documentElement.lang") == "en"
        worst = browser.script("""
            const parse = c => c.match(/[\\d.]+/g).map(Number), light = c => { const [r, g, b] = parse(c).map(v => v / 255)
              .map(v => v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4); return 0.2126 * r + 0.7152 * g + 0.0722 * b; };
            const paper = light(getComputedStyle(document.body).backgroundColor);
            let worst = [99, ''];
            for (const e of document.querySelectorAll('h1, h2, p, td:not(.missing), th, dt, dd, small, label, .open, .mark, .odd, figcaption, text')) {
              if (!e.textContent.trim()) continue;
              const style = getComputedStyle(e), ink = light(e instanceof SVGElement ? style.fill : style.color);
              const ratio = (Math.max(ink, paper) + 0.05) / (Math.min(ink, paper) + 0.05);
              if (ratio < worst[0]) worst = [ratio, e.tagName + '.' + (e.getAttribute('class') || '') + ': ' + e.textContent.slice(0, 30)];
            }
            return worst;""")
        assert worst[0] >= 4.5, (theme, worst)


def test_hostile_names(browser, work):
    names = ["<img src=x onerror=window.pwned=1>", "x<script>window.pwned=1<", '"><svg onload="window.pwned=1">',
             "javascript:window.pwned=1", "${window.pwned=1}", "'-window.pwned=1-'", "&lt;b&gt;", "caf\u00e9 \U0001f600", "a\nb"]
    import random
    rng = random.Random(1)
    for i, name in enumerate(names):
        at = os.path.join(work, "hostile", name.replace("/", "_"))
        synthetic.make_crystal(at, "P1", random.Random(i + 20), name="</script><script>window.pwned=1</script>")
        synthetic.write(os.path.join(at, "P1", "dials.cosym.log"), "Best solution: <b onclick=window.pwned=1>P 1\n")
    os.makedirs(os.path.join(work, "hostile", "q", "P1"))
    synthetic.write(os.path.join(work, "hostile", "q", "P1", "dials.index.log"), "Sorry: <img src=x onerror=window.pwned=1>\n")
    url, rows = make_page(work, "hostile")
    load(browser, url)
    assert sorted(paths(browser)) == sorted(r["path"] for r in rows)
    for row in browser.find_all(".open"):
        row.click()
        browser.find("#close").click()
    browser.find("#find").type("<img")
    assert browser.script("return window.pwned") is None
    assert browser.script("return document.querySelectorAll('img, b[onclick], iframe, object').length") == 0
    assert browser.script("return document.scripts.length") == 2


def test_thousand(browser, work):
    """All there and reachable; only what is in sight is drawn (how fast it is: bench/list)."""
    synthetic.make(os.path.join(work, "many"), 1000, seed=2)
    url, rows = make_page(work, "many")
    load(browser, url)
    assert browser.script("return +document.getElementById('table').getAttribute('aria-rowcount')") == 1001
    assert len(paths(browser)) < 100
    assert browser.script("return document.querySelectorAll('#multiples .multiple').length") == 1000
    assert browser.script("return document.querySelectorAll('#multiples svg').length") < 200
    browser.script("const s = document.getElementById('scroll'); s.scrollTop = s.scrollHeight")
    browser.wait(f"[...document.querySelectorAll('#table tbody tr[data-path]')].some(tr => tr.getAttribute('aria-rowindex') === '1001')")
    assert paths(browser)[-1] == rows[-1]["path"]
    browser.find("th[data-key=resolution] button").click()
    assert browser.script("return document.getElementById('scroll').scrollTop") == 0
    worst = max(r["resolution"] for r in rows if r["resolution"] is not None)
    assert float(column(browser, "resolution")[0]) == worst
    # Printing lays out every row, and puts the window back afterwards.
    browser.script("dispatchEvent(new Event('beforeprint'))")
    assert len(paths(browser)) == 1000
    browser.script("dispatchEvent(new Event('afterprint'))")
    assert len(paths(browser)) < 100


def test_print(browser, work):
    """A thousand crystals are fewer than 20 pages (nightly: laying them out takes long)."""
    synthetic.make(os.path.join(work, "many"), 1000, seed=2)
    url, _ = make_page(work, "many")
    load(browser, url)
    browser.pdf("many.pdf")
    with open("many.pdf", "rb") as f:
        pages = len(re.findall(rb"/Type\s*/Page\b", f.read()))
    os.unlink("many.pdf")
    assert 5 < pages < 20, pages


def test_odd_lists(browser, work):
    """No good crystal, one crystal, nothing at all, a nested trial without .expt files."""
    os.makedirs(os.path.join(work, "bad", "x", "P1"))
    one = os.path.join(work, "one", "x")
    import random
    synthetic.make_crystal(one, "P1", random.Random(11))
    for name in ("bad", "one"):
        url, rows = make_page(work, name)
        load(browser, url)
        assert len(paths(browser)) == len(rows) == 1
        browser.find("#table tbody .open").click()
        browser.find("#close").click()
    data = os.path.join(os.environ["EMDTOOLS_TEST_DATA"], "dials", "trials")
    if os.path.isdir(data):
        os.symlink(data, os.path.join(work, "trials"))
        url, rows = make_page(work, "trials", "P1/not_blank")
        load(browser, url)
        assert len(paths(browser)) == 2


def test_few_cells(browser, work):
    """Three cells have no spread and no outliers; images that were not kept count."""
    synthetic.make(os.path.join(work, "three"), 3, seed=2)
    url, rows = make_page(work, "three")
    load(browser, url)
    assert sum(r["a"] is not None for r in rows) in (1, 2, 3)
    text = browser.find("#unitcells").text
    assert "±" not in browser.find("#histograms").text and "Fewer than 5" in text and "Too few cells" in text, text
    assert "too few cells" in browser.find("#tiles").text
    one = os.path.join(work, "rejected", "x", "P1")
    os.makedirs(one)
    synthetic.write(os.path.join(one, "imported.expt"), synthetic.expt("/x/m.emd", 1, 15))
    synthetic.write(os.path.join(one, "dials.index.log"), "Sorry: no lattice\n")
    url, _ = make_page(work, "rejected")
    load(browser, url)
    assert browser.find("#images-note").text.startswith("0 of 15 images kept"), browser.find("#images-note").text


def test_phone(browser, work):
    """At 375 pixels all letters of the charts can be read, and none lie on each other's."""
    url, _ = make_page(work, "lab")
    browser.cdp("Emulation.setDeviceMetricsOverride", width=375, height=800, deviceScaleFactor=2, mobile=True)
    try:
        load(browser, url)
        smallest, overlaps, wide = browser.script("""
            const texts = [...document.querySelectorAll('figure svg text')].filter(t => t.textContent.trim() && t.getBoundingClientRect().width);
            const size = t => parseFloat(getComputedStyle(t).fontSize) * t.getScreenCTM().a;
            const smallest = texts.map(t => [size(t), t.closest('figure').id + ': ' + t.textContent]).sort((a, b) => a[0] - b[0])[0];
            const overlaps = [];
            for (const label of document.querySelectorAll('#scatter text.label')) {
              const a = label.getBoundingClientRect();
              for (const t of document.querySelectorAll('#scatter text:not(.label)')) {
                const b = t.getBoundingClientRect();
                if (a.left < b.right && b.left < a.right && a.top < b.bottom && b.top < a.bottom) overlaps.push([label.textContent, t.textContent]);
              }
            }
            return [smallest, overlaps, document.documentElement.scrollWidth];""")
        assert smallest[0] >= 9, smallest
        assert not overlaps, overlaps
        assert wide <= 380, wide
    finally:
        browser.cdp("Emulation.clearDeviceMetricsOverride")


def test_whole_texts(browser, work):
    """Cells and reasons are shown whole; names and paths of what is filtered can be copied."""
    url, rows = make_page(work, "lab")
    load(browser, url)
    cut = browser.script("""return [...document.querySelectorAll('td.cell, td.why')]
        .filter(td => td.scrollWidth > td.clientWidth + 1 || td.scrollHeight > td.clientHeight + 1).map(td => td.textContent)""")
    assert not cut, cut[:3]
    browser.script("""Object.defineProperty(navigator, 'clipboard', {configurable: true,
        value: {writeText: text => { window.copied = text; return Promise.resolve(); }}})""")
    browser.find("#find").type("lattice")
    browser.wait("document.querySelectorAll('#table tbody tr[data-path]').length < 60")
    browser.find("#copy-names").click()
    browser.wait("window.copied")
    assert browser.script("return window.copied").splitlines() == paths(browser)
    browser.find("#copy-paths").click()
    browser.wait("window.copied.startsWith('/')")
    root = os.path.realpath(os.path.join(work, "lab"))
    assert browser.script("return window.copied").splitlines() == [f"{root}/{p}" for p in paths(browser)]
    assert "copied" in browser.find("#count").text


def test_lattice_settings(browser, work):
    """Cells that differ in their setting alone are no outliers; the warning of a nominal camera length."""
    import random
    rng = random.Random(4)
    for i in range(12):
        at = os.path.join(work, "settings", f"c{i:02}")
        synthetic.make_crystal(at, "P1", random.Random(30 + i))
        beta = 91.3 + rng.gauss(0, 0.03)
        cell = (5.34 + rng.gauss(0, 0.003), 6.46, 10.86, 90, beta if i % 4 else 180 - beta, 90)
        synthetic.write(os.path.join(at, "P1", "dials.integrate.log"), synthetic.integrate_log("3.12.1", cell, 10))
        if i == 3:
            synthetic.write(os.path.join(at, "P1", "emdprocess.json"), json.dumps({"format": 1, "geometry": {"warnings": [
                "distance: the nominal camera length of 670 mm is not calibrated"]}, "stages": [{"name": "import", "state": "done"}]}))
    url, rows = make_page(work, "settings")
    load(browser, url)
    assert {r["cluster"] for r in rows if r["a"] is not None} == {1}
    assert browser.script("return document.querySelectorAll('#scatter .diamond').length") == 0
    assert "No outliers" in browser.find("#outliers").text
    assert "670 mm is not calibrated" in browser.find("#warning").text


def picture(work, path):
    """The picture of the README: few colours, so that it stays small."""
    from PIL import Image
    synthetic.make(os.path.join(work, "P"), 120, seed=5)
    page = os.path.join(work, "P.html")
    subprocess.run([TOOL, "-C", os.path.join(work, "P"), "--format", "html", "-o", page, "P1"], check=True)
    with webdriver.Browser(1360, 1520) as browser:
        load(browser, "file://" + page)
        browser.script("document.getElementById('where').textContent = '/data/microed/work/project · DIALS 3.12.1'")
        browser.screenshot(path)
    Image.open(path).convert("RGB").quantize(96, method=Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE).save(path, optimize=True)


if __name__ == "__main__":
    webdriver.find_or_skip()
    with tempfile.TemporaryDirectory(prefix="emdreport.") as folder:
        with webdriver.Browser(1360, 1000) as chromium:
            for test in (test_print,) if sys.argv[1:] == ["print"] else (
                         test_sort_filter_click, test_accessible, test_hostile_names, test_thousand, test_odd_lists,
                         test_few_cells, test_phone, test_whole_texts, test_lattice_settings):
                test(chromium, folder)
                messages = chromium.console()
                assert not messages, messages
                print("ok", test.__name__)
        if os.environ.get("EMDTOOLS_PICTURE"):
            picture(folder, os.environ["EMDTOOLS_PICTURE"])
