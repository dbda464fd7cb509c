"""The pages in a real browser: headless Chromium, driven by Playwright.

Skipped where either is missing: `apt-get install chromium` and the group `browser`.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.utils import Bunch

import fairvision as fv
from fairvision.cards import DataCard
from fairvision.metrics import evaluate_predictions
from fairvision.reports import evaluation_page, write_page

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
CHROMIUM = os.environ.get("CHROMIUM") or next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)
pytestmark = pytest.mark.skipif(
    CHROMIUM is None, reason="no Chromium on the PATH, and CHROMIUM names none"
)


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with playwright.sync_playwright() as driver:
        # Its sandbox refuses to work for root, who CI may be; the pages are our own.
        found = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield found
        found.close()


@pytest.fixture(scope="module")
def pages(finished: Any, hostile: Any, names: Any, tmp_path_factory: Any) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("pages")
    rng = np.random.default_rng(0)
    y, score = rng.integers(0, 2, 200), rng.random(200)
    groups = pd.DataFrame({"skin": np.array(names)[np.arange(200) % 3], "sex": list("mw") * 100})
    audit = evaluate_predictions(
        y, (score > 0.5).astype(int), y_score=score, sensitive_features=groups, n_boot=20
    )
    return {
        "comparison": finished[1] / "report.html",
        "hostile": hostile.report(folder / "hostile.html"),
        "audit": write_page(folder / "audit.html", evaluation_page(audit, source=names[1])),
        "card": write_page(folder / "card.html", hostile_card(names).to_html(command=names[1])),
    }


def hostile_card(names: Any) -> DataCard:
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (60, 3, 16, 16), dtype=np.uint8)
    images[9] = images[0]
    data = Bunch(
        images=images,
        target=np.arange(60) % 2,
        target_name=names[0],
        target_names=names[1:],
        sensitive_features=pd.DataFrame({names[1]: np.array(names)[np.arange(60) % 3]}),
        attributes=pd.DataFrame({names[2]: np.array(names)[np.arange(60) // 20]}),
    )
    return fv.data_card(data, n_boot=20, n_pictures=1)


LOOKS = {
    "desktop": {"viewport": {"width": 1280, "height": 900}},
    "phone": {"viewport": {"width": 360, "height": 740}, "has_touch": True},
    "dark": {"viewport": {"width": 1280, "height": 900}, "color_scheme": "dark"},
}


class Tab:
    """An opened page, and all that it asked for and complained of."""

    def __init__(self, browser: Any, path: Path, **look: Any) -> None:
        self.context = browser.new_context(**look)
        self.page = self.context.new_page()
        self.requests: list[str] = []
        self.complaints: list[str] = []
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.on("console", lambda message: self.complaints.append(message.text))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.goto(path.as_uri())
        self.page.wait_for_load_state("load")


@pytest.fixture(params=["comparison", "hostile", "audit", "card"])
def which(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(params=LOOKS)
def tab(request: Any, browser: Any, pages: dict[str, Path], which: str) -> Iterator[Tab]:
    opened = Tab(browser, pages[which], **LOOKS[request.param])
    yield opened
    opened.context.close()


def test_it_renders_alone(tab: Tab, pages: dict[str, Path], which: str) -> None:
    assert tab.complaints == []
    elsewhere = [url for url in tab.requests if not url.startswith("data:")]
    assert elsewhere == [pages[which].as_uri()]
    assert tab.page.title().endswith("· fairvision")  # nobody's script gave it another
    broken = "Array.from(document.images).filter(i => !i.complete || !i.naturalWidth).length"
    assert tab.page.evaluate(broken) == 0
    # Wide tables scroll inside their frames, the page does not.
    root = "document.documentElement"
    assert tab.page.evaluate(f"{root}.scrollWidth <= {root}.clientWidth")


# The pages share one style, so one of them is looked at in every way.
@pytest.mark.parametrize(
    ("which", "tab"),
    [*(("comparison", look) for look in LOOKS), ("hostile", "phone"), ("audit", "desktop"),
     ("card", "dark")],
    indirect=True,
)  # fmt: skip
def test_axe_finds_nothing_serious(tab: Tab) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe is not there")
    found = axe.Axe().run(tab.page).response["violations"]
    serious = [
        (v["id"], [node["html"][:200] for node in v["nodes"][:3]])
        for v in found
        if v["impact"] in ("serious", "critical")
    ]
    assert serious == []


def column(tab: Tab, number: int) -> list[Any]:
    """What a column shows first in each row: a number, or words."""
    cells = tab.page.locator(f"#table tbody tr > :nth-child({number})").all_inner_texts()
    first = [cell.split(" [")[0].split("\n")[0].replace("−", "-") for cell in cells]
    return [float(text) if re.fullmatch(r"-?[\d.]+", text) else text for text in first]


def test_sorting(browser: Any, pages: dict[str, Path]) -> None:
    tab = Tab(browser, pages["comparison"])
    names = tab.page.locator("#table thead button").all_inner_texts()
    for number, name in enumerate(names, 1):
        button = tab.page.locator("#table thead button").nth(number - 1)
        button.focus()
        tab.page.keyboard.press("Enter")
        up = column(tab, number)
        assert button.locator("..").get_attribute("aria-sort") == "ascending"
        assert up == sorted(up), name
        button.click()
        assert button.locator("..").get_attribute("aria-sort") == "descending"
        assert column(tab, number) == sorted(up, reverse=True), name
    sorted_now = tab.page.locator("#table [aria-sort=ascending], #table [aria-sort=descending]")
    assert sorted_now.count() == 1
    tab.context.close()


def test_what_is_folded_is_printed(browser: Any, pages: dict[str, Path]) -> None:
    tab = Tab(browser, pages["comparison"])
    assert tab.page.locator("details[open]").count() == 0
    assert tab.page.pdf().startswith(b"%PDF")
    assert tab.page.locator("details[open]").count() == tab.page.locator("details").count() > 0
    tab.context.close()


def test_pictures_follow_the_mode(browser: Any, pages: dict[str, Path]) -> None:
    """The first picture has dark lines on a light page, and light ones on a dark page."""
    from io import BytesIO

    from PIL import Image

    brightness = {}
    for mode in ("light", "dark"):
        tab = Tab(browser, pages["comparison"], color_scheme=mode)
        shot = tab.page.locator("header img").screenshot()
        pixels = np.asarray(Image.open(BytesIO(shot)).convert("L"), dtype=float)
        brightness[mode] = (np.median(pixels), pixels.min(), pixels.max())
        tab.context.close()
    paper, darkest, _ = brightness["light"]
    assert paper - darkest > 150
    paper, _, lightest = brightness["dark"]
    assert lightest - paper > 150
