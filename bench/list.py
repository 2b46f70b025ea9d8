# SPDX-License-Identifier: BSD-3-Clause
# Copyright (c) 2026, the emdtools developers
"""emdlist against the shell loop that it replaces, on synthetic folders of processed crystals, and
the report page in a headless Chromium.

    python3 bench/list.py [--crystals 1000]
"""

import os
import subprocess
import sys

import benchlib

sys.path.insert(0, os.path.join(benchlib.SOURCE, "tests"))
sys.path.insert(0, os.path.join(benchlib.SOURCE, "tests", "interop"))
import synthetic_trials


def bench_tool(args, work):
    folder = os.path.join(work, f"crystals{args.crystals}")
    if not os.path.isdir(folder):
        synthetic_trials.make(folder, args.crystals)
    tool = benchlib.emd_tool(args, "emdlist")
    shell = ["sh", os.path.join(benchlib.BENCH, "list_shell.sh"), folder, "P1"]
    for base, _, files in os.walk(folder):
        for name in files:
            benchlib.warm(os.path.join(base, name))
    lines = subprocess.run([tool, "--good", "-C", folder, "P1"], check=True, stdout=subprocess.PIPE).stdout
    theirs = subprocess.run(shell, check=True, stdout=subprocess.PIPE, env=dict(os.environ, LC_ALL="C")).stdout
    # The loop leaves out crystals whose first shell is below the limit already.
    ours = [" ".join(l.split()) for l in lines.decode().splitlines() if " -     " not in l]
    assert ours and ours == [" ".join(l.split()) for l in theirs.decode().splitlines()], "not the same list"
    page = os.path.join(work, "report.html")
    runs = [benchlib.Run("shell loop", shell),
            benchlib.Run("emdlist", [tool, "-C", folder, "P1"]),
            benchlib.Run("emdlist --format json", [tool, "-C", folder, "--format", "json", "P1"]),
            benchlib.Run("emdlist --format html", [tool, "-C", folder, "--format", "html", "-o", page, "P1"], output=page)]
    results = benchlib.interleave(runs, args.rounds, slow=["shell loop"])
    table = benchlib.Table("contestant", "wall s", "CPU s", "peak MiB", "page MB", "times faster")
    for run in runs:
        r = results[run.name]
        table.add(run.name, r.wall, r.cpu, r.rss / 2**20, r.size / 1e6 or None,
                  benchlib.paired_ratio(results["shell loop"], r))
    benchlib.record(f"list: {args.crystals} crystals", table, args,
                    notes=[f"warm page cache; the {len(ours)} lines of good crystals are the same; the shell loop ran once"])
    subprocess.run(runs[-1].argv, check=True)
    return page


# Milliseconds of script and layout for one action, until the frame after it.
MEASURE = """const done = arguments[arguments.length - 1], start = performance.now();
{};
requestAnimationFrame(() => requestAnimationFrame(() => done(performance.now() - start)));"""
ACTIONS = {"sort by cell": "document.querySelector('th[data-key=cell] button').click()",
           "sort by resolution": "document.querySelector('th[data-key=resolution] button').click()",
           "filter by name": "const f = document.getElementById('find'); f.value = '0203'; f.dispatchEvent(new Event('input'))",
           "show all": "document.getElementById('reset').click()",
           "scroll the table": "document.getElementById('scroll').scrollTop += 4000",
           "open a crystal": "document.querySelector('#table .open').click()"}


def bench_page(args, page):
    import statistics
    import webdriver
    table = benchlib.Table("action", "median ms", "longest ms")
    with webdriver.Browser(1360, 1000) as browser:
        samples = {"load until ready": []}
        for _ in range(args.rounds):
            browser.get("file://" + page)
            browser.wait("document.documentElement.dataset.ready === 'yes'")
            samples["load until ready"].append(browser.script(
                "return performance.getEntriesByType('navigation')[0].domContentLoadedEventEnd"))
            for name, action in ACTIONS.items():
                ms = browser.call("POST", "/execute/async", {"script": MEASURE.format(action), "args": []})
                samples.setdefault(name, []).append(ms)
    for name, values in samples.items():
        table.add(name, statistics.median(values), max(values))
    benchlib.record(f"list: the report of {args.crystals} crystals in headless Chromium", table, args,
                    notes=["script, layout and two frames (33 ms at 60 Hz); software rendering"])


def main():
    parser = benchlib.parser(__doc__)
    parser.add_argument("--crystals", type=int, default=1000)
    parser.add_argument("--no-browser", action="store_true", help="leave the page out")
    args = parser.parse_args()
    with benchlib.scratch_folder(args) as work:
        page = bench_tool(args, work)
        if not args.no_browser:
            bench_page(args, page)


if __name__ == "__main__":
    main()
