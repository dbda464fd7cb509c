"""Take the pictures of the front page and the gallery from the demo's first report.

After `tox run -e demo`, where Playwright and Chromium are: `python docs/make_gallery.py runs/demo`.
"""

from __future__ import annotations

import io
import os
import shutil
import sys
from pathlib import Path

from PIL import Image
from playwright.sync_api import sync_playwright

PARTS = {
    "report": "header",
    "gallery-table": "#table",
    "gallery-groups": "#groups",
    "gallery-mistakes": "#worst",
    "gallery-calibration": "#calibration",
    "gallery-features": "#features",
}
TALLEST = 900


def main(demo: Path) -> None:
    """Write a PNG beside this file for each part."""
    page_file = (demo / "smiling-given-skin_group" / "report.html").resolve()
    with sync_playwright() as driver:
        chromium = os.environ.get("CHROMIUM") or shutil.which("chromium")
        browser = driver.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1200, "height": 900})
        page.goto(page_file.as_uri(), timeout=300_000)
        # It would cover what is scrolled below it.
        page.add_style_tag(content="nav { position: static !important; }")
        for name, selector in PARTS.items():
            picture = Image.open(io.BytesIO(page.locator(selector).screenshot(timeout=300_000)))
            picture = picture.convert("RGB").crop(
                (0, 0, picture.width, min(picture.height, TALLEST))
            )
            picture.quantize(128, dither=Image.Dither.NONE).save(
                Path(__file__).parent / f"{name}.png", optimize=True
            )
        browser.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
