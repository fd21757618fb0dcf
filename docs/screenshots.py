"""Take the pictures of pages that the docs show, of the demo's set: needs a Chromium.

python docs/screenshots.py
"""

import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

IMAGES = Path(__file__).parent / "images"
DESKTOP = {"width": 1200, "height": 800}
PHONE = {"width": 390, "height": 800}


@contextmanager
def explorer(out: Path) -> Iterator[str]:
    """The explorer at work on a set; gives its address."""
    command = [sys.executable, "-m", "metacurate", "explore", out.name, "--port", "0"]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, cwd=out.parent)
    try:
        assert process.stderr is not None
        for line in process.stderr:
            if found := re.search(r"http://[0-9.:]+", line):
                yield found[0]
                break
        else:
            raise RuntimeError("the explorer did not start")
    finally:
        process.kill()
        process.wait()


def take(browser: Any, address: str, name: str, *, at: str | None = None) -> None:
    """Picture a page at the width of a desk and of a phone.

    Args:
        browser: of playwright. address: of the page. name: of the pictures.
        at: what to scroll to, a CSS selector; the top without it.
    """
    for size, kind in ((DESKTOP, "desktop"), (PHONE, "phone")):
        page = browser.new_page(viewport=size)
        page.goto(address)
        page.wait_for_load_state("networkidle")
        if at is not None:
            page.locator(at).first.evaluate("one => one.scrollIntoView()")
        page.wait_for_timeout(500)
        page.screenshot(path=IMAGES / f"{name}-{kind}.png")
        page.close()


def main() -> None:
    """Make the demo's set and two others of its pool, and picture what shows them."""
    from playwright.sync_api import sync_playwright

    IMAGES.mkdir(exist_ok=True)
    program = shutil.which("chromium") or shutil.which("google-chrome")
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as driver:
        here = Path(folder)

        def run(command: str) -> None:
            words = [sys.executable, "-m", "metacurate", *command.split()]
            subprocess.run(words, check=True, cwd=here, stdout=subprocess.DEVNULL)

        run("demo --out .")
        run("curate pool --metadata metadata.parquet -t 20 -o t20 --no-report")
        run("report balanced")
        run("compare balanced t20 --html compared.html")
        browser = driver.chromium.launch(executable_path=program, args=["--no-sandbox"])
        take(browser, (here / "balanced" / "report.html").as_uri(), "report")
        take(
            browser, (here / "balanced" / "report.html").as_uri(), "slider", at="input[type=range]"
        )
        take(browser, (here / "compared.html").as_uri(), "compare")
        with explorer(here / "balanced") as address:
            take(browser, f"{address}/?q=mount", "entries")
            take(browser, f"{address}/pairs?entry=300&fate=balanced_away", "pairs")
            take(browser, f"{address}/try?text=the+mountain+and+the+river", "try")
        browser.close()


if __name__ == "__main__":
    main()
