"""How large is the explore page, and how soon does it show its points?

Pages of made-up results: 34, 200 and 1,000 runs with three seeds and 20 epochs, with pictures of
generated images; and any page that is given. Each is opened in headless Chromium from a file, with
the network off, several times. Time counts from the start of navigation to the frame after the
points are drawn, and from "Select all" to the frame after that.

Usage: python bench/explore.py [--runs 34 200 1000] [--page PAGE ...] [--picture PNG] [--quick]
"""

from __future__ import annotations

import argparse
import base64
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from measure import ROOT, describe_machine, load_images, print_table, summarize

from hw2core.analysis import tables
from hw2core.analysis.explore import write_page

sys.path.insert(0, str(ROOT / "tests" / "analysis"))
from chromium import BROWSER, Chromium
from result_documents import build_result, tabulate

SEEDS, EPOCHS = (0, 1, 2), 20
TEST_IMAGES = 3000
PICTURE = {"x": 0, "y": 0, "width": 1280, "height": 800, "scale": 1}  # pixels
WATCH = """(() => {
  const watch = new MutationObserver(() => {
    if (!document.querySelector("#points circle")) return;
    watch.disconnect();
    requestAnimationFrame(() => requestAnimationFrame(() => { window.drawn = performance.now(); }));
  });
  watch.observe(document, { childList: true, subtree: true });
})()"""
FRAMES = "new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))"
SELECT = f"""(async () => {{
  const start = performance.now();
  document.querySelector("#all").click();
  await {FRAMES};
  return performance.now() - start;
}})()"""


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure the explore page.")
    parser.add_argument("--runs", type=int, nargs="*", default=[34, 200, 1000])
    parser.add_argument("--page", type=Path, nargs="*", default=[], help="pages that exist")
    parser.add_argument("--picture", type=Path, help="write what the first of these shows as PNG")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--quick", action="store_true", help="two runs, once: does it run?")
    args = parser.parse_args()
    if args.quick:
        args.runs, args.rounds = [2], 1
    if BROWSER is None:
        sys.exit("there is no chromium")
    print(describe_machine("cpu") + "\n")
    with (
        tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as temporary,
        Chromium(Path(temporary, "profile")) as browser,
    ):
        offline = {"latency": 0, "downloadThroughput": 0, "uploadThroughput": 0}
        browser.call("Network.emulateNetworkConditions", offline=True, **offline)
        browser.call("Page.addScriptToEvaluateOnNewDocument", source=WATCH)
        rows = []
        for name, page, written in list_pages(args, Path(temporary)):
            drawn, selected = [], []
            for _ in range(args.rounds):
                browser.open(page, 1400)
                browser.evaluate(FRAMES, wait=True)
                drawn.append(float(browser.evaluate("window.drawn")) / 1000)
                selected.append(float(browser.evaluate(SELECT, wait=True)) / 1000)
                assert browser.problems == [], browser.problems
            size = page.stat().st_size
            rows.append([name, size / 1e6, written, summarize(drawn), summarize(selected)])
        head = ["page", "MB", "s to write", "s to the points (quartiles)", "s to select all"]
        print_table(head, rows)
        if args.picture:
            browser.open(args.page[0], PICTURE["width"])
            shot = browser.call("Page.captureScreenshot", clip=PICTURE, captureBeyondViewport=True)
            args.picture.write_bytes(base64.b64decode(shot["data"]))


def list_pages(args: argparse.Namespace, folder: Path) -> Iterator[tuple[str, Path, float | str]]:
    """Yield name and path of each page, and the seconds that writing it took."""
    for page in args.page:
        yield str(page), page, ""
    prepared = replace(load_images(None, 10, TEST_IMAGES), sha256="d" * 64)
    for number in args.runs:
        path, study = folder / f"{number}.html", make_study(number)
        start = time.perf_counter()
        write_page(path, study, prepared=[prepared])
        yield f"{number:,} runs", path, time.perf_counter() - start


def make_study(number: int) -> tables.Study:
    """Return made-up results of so many runs: depths 1 to 10 in ever more widths."""
    results = []
    for place in range(number):
        depth, width = 1 + place % 10, 8 + 4 * (place // 10)
        ceiling = 55 + 30 * width / (width + 60) + depth / 2
        shape = {"depth": depth, "widths": (width,), "ceiling": ceiling, "epochs": EPOCHS}
        for seed in SEEDS:
            result = build_result(f"grid_L{depth}_K{width}", experiment="grid", seed=seed, **shape)
            assert result.test is not None
            mistakes = [  # of each run other images
                mistake.model_copy(update={"index": (mistake.index + 10 * place) % TEST_IMAGES})
                for mistake in result.test.mistakes
            ]
            test = result.test.model_copy(update={"mistakes": mistakes})
            results.append(result.model_copy(update={"test": test}))
    study: tables.Study = tabulate(results)
    return study


if __name__ == "__main__":
    main()
