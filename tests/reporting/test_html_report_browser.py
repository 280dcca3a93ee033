"""The report in a real browser."""

from __future__ import annotations

import io
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from selenium import webdriver
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.ui import Select, WebDriverWait

from braintumor_ext.classes import Classes
from braintumor_ext.reporting.html_report import write_html_report
from braintumor_ext.visualize.overlay import render_thumbnail
from tests.reporting.report_rows import HOSTILE, NAMES, ROWS, picture_files, predicted, shares

FILES = ["b/scan10.png", "a/scan2.png", "c/broken.png", "volume.nii.gz, slice 10", "volume.nii.gz, slice 9", HOSTILE]
TEN, TWO, BROKEN, SLICE10, SLICE9, EVIL = FILES
HEADERS = ("picture", "file", "class", "confidence", *NAMES, "area, px", "area, mm²", "flags", "error")
WAIT = 60  # seconds; the machine may be busy


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[webdriver.Chrome]:
    chromium, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if chromium is None or driver is None:
        pytest.skip("no Chromium: install the packages chromium and chromium-driver")
    options = webdriver.ChromeOptions()
    options.binary_location = chromium
    profile = tmp_path_factory.mktemp("profile")
    for argument in (
        *("headless=new", "no-sandbox", "disable-gpu", "disable-quic", "no-first-run", "disable-background-networking"),
        *("disable-component-update", "disable-sync", "window-size=1400,900", f"user-data-dir={profile}"),
    ):
        options.add_argument(f"--{argument}")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    window = webdriver.Chrome(options=options, service=Service(driver))
    yield window
    window.quit()


def picture(number: int) -> bytes:
    """A JPEG file that no other number has."""
    file = io.BytesIO()
    Image.new("RGB", (60, 20), (number % 256, number // 256, 99)).save(file, format="JPEG")
    return file.getvalue()


@pytest.fixture
def report(browser: webdriver.Chrome, tmp_path: Path) -> webdriver.Chrome:
    """The browser with a report of six slices, one of them failed and without a picture."""
    pictures = {position: picture(position) for position in range(6) if position != 2}
    write_html_report(
        tmp_path / "report.html",
        ROWS,
        picture_files(tmp_path, pictures),
        Classes(NAMES),
        "A report",
        {"model": "a model"},
    )
    browser.get((tmp_path / "report.html").as_uri())
    return browser


def shown(window: webdriver.Chrome) -> list[str]:
    """The files of the rows that are to be seen, from top to bottom."""
    script = (
        "return [...document.querySelectorAll('tbody tr')].filter(row => row.checkVisibility())"
        ".map(row => row.querySelector('.file bdi').textContent)"
    )
    return window.execute_script(script)


def header(window: webdriver.Chrome, name: str) -> WebElement:
    return window.find_elements(By.CSS_SELECTOR, "th button")[HEADERS.index(name)]


def field(window: webdriver.Chrome, name: str) -> WebElement:
    return window.find_element(By.ID, name)


def opener(window: webdriver.Chrome, file: str) -> WebElement:
    """The button with the picture of a row that is to be seen."""
    rows = [row for row in window.find_elements(By.CSS_SELECTOR, "tbody tr") if row.is_displayed()]
    return rows[shown(window).index(file)].find_element(By.CSS_SELECTOR, ".picture")


def is_open(window: webdriver.Chrome) -> bool:
    return bool(field(window, "dialog").get_property("open"))


def in_dialog(window: webdriver.Chrome) -> str:
    return window.find_element(By.CSS_SELECTOR, "dialog .file bdi").text


def press(window: webdriver.Chrome, key: str) -> None:
    window.switch_to.active_element.send_keys(key)


def requested(window: webdriver.Chrome) -> list[str]:
    """What the page has asked for, beside itself and the pictures in it."""
    events = [json.loads(entry["message"])["message"] for entry in window.get_log("performance")]
    sent = [event["params"] for event in events if event["method"] == "Network.requestWillBeSent"]
    urls = [one["request"]["url"] for one in sent if one["documentURL"].endswith("report.html")]
    assert any(url.endswith("report.html") for url in urls), "the log tells of requests"
    return [url for url in urls if not url.startswith("data:") and not url.endswith("report.html")]


def test_it_renders_without_an_error_and_without_a_request(report: webdriver.Chrome) -> None:
    assert report.title == "A report"
    assert shown(report) == FILES
    WebDriverWait(report, WAIT).until(lambda window: len(window.find_elements(By.CSS_SELECTOR, "td img")) == 5)
    opener(report, TEN).click()
    assert report.get_log("browser") == []
    assert requested(report) == []


def test_every_picture_is_decoded_at_its_own_row(report: webdriver.Chrome) -> None:
    script = (
        "return [...document.querySelectorAll('tbody tr')].map(row => {"
        "const image = row.querySelector('img'); if (!image || !image.naturalWidth) return null;"
        "const context = document.createElement('canvas').getContext('2d'); context.drawImage(image, 0, 0);"
        "return context.getImageData(5, 5, 1, 1).data[0]; })"
    )

    def reds(window: webdriver.Chrome) -> list[int | None]:
        return window.execute_script(script)

    WebDriverWait(report, WAIT).until(lambda window: sum(red is not None for red in reds(window)) == 5)
    for _ in range(2):  # as it is, and sorted
        order = [FILES.index(file) for file in shown(report)]
        WebDriverWait(report, WAIT).until(lambda window: sum(red is not None for red in reds(window)) == 5)
        for position, red in zip(order, reds(report), strict=True):
            assert (red is None) == (position == 2)
            assert red is None or abs(red - position) <= 2
        header(report, "file").click()


def test_a_hostile_name_is_shown_and_does_not_run(report: webdriver.Chrome) -> None:
    opener(report, EVIL).click()
    assert in_dialog(report) == HOSTILE
    assert report.title == "A report"
    assert report.find_elements(By.CSS_SELECTOR, "bdi *:not(wbr)") == []


@pytest.mark.parametrize(
    ("column", "ascending", "missing"),
    [
        ("file", [EVIL, TWO, TEN, BROKEN, SLICE9, SLICE10], []),
        ("class", [TEN, SLICE9, EVIL, TWO, SLICE10], [BROKEN]),
        ("confidence", [EVIL, SLICE10, TWO, TEN, SLICE9], [BROKEN]),
        ("glioma", [TWO, SLICE10, EVIL, TEN, SLICE9], [BROKEN]),
        ("area, px", [SLICE10, TEN, EVIL, SLICE9, TWO], [BROKEN]),
        ("area, mm²", [SLICE9, TWO, TEN], [BROKEN, SLICE10, EVIL]),
        ("flags", [EVIL, SLICE10, TWO], [TEN, BROKEN, SLICE9]),
        ("error", [BROKEN], [TEN, TWO, SLICE10, SLICE9, EVIL]),
        ("picture", FILES, []),
    ],
)
def test_a_header_sorts_up_then_down_and_what_is_missing_stays_last(
    column: str, ascending: list[str], missing: list[str], report: webdriver.Chrome
) -> None:
    cell = report.find_elements(By.CSS_SELECTOR, "th")[HEADERS.index(column)]
    header(report, column).click()
    assert shown(report) == ascending + missing
    assert cell.get_attribute("aria-sort") == "ascending"
    press(report, Keys.ENTER)
    descending = shown(report)
    assert descending[len(ascending) :] == missing
    assert cell.get_attribute("aria-sort") == "descending"
    assert len(report.find_elements(By.CSS_SELECTOR, "[aria-sort]")) == 1
    if column != "class":  # equal classes keep their order
        assert descending[: len(ascending)] == ascending[::-1]


@pytest.mark.parametrize(
    ("choice", "expected"),
    [
        ({"class": "glioma"}, [TEN, SLICE9, EVIL]),
        ({"class": "failed"}, [BROKEN]),
        ({"flag": "upscaled"}, [TWO, SLICE10]),
        ({"flag": "any flag"}, [TWO, SLICE10, EVIL]),
        ({"flag": "no flag"}, [TEN, BROKEN, SLICE9]),
        ({"least": "90"}, [TEN, TWO, SLICE9]),  # 89.96 is shown, and counts, as 90.0
        ({"most": "50"}, [SLICE10, EVIL]),
        ({"least": "50", "most": "90"}, [TEN, TWO, SLICE10]),
        ({"text": "SCAN"}, [TEN, TWO]),
        ({"text": '"document'}, [EVIL]),
        ({"text": "slice 9"}, [SLICE9]),
        ({"class": "glioma", "flag": "no flag", "least": "95", "text": "volume"}, [SLICE9]),
        ({"class": "meningioma", "flag": "no flag"}, []),
    ],
)
def test_filters_leave_the_rows_that_fit_all_of_them(
    choice: dict[str, str], expected: list[str], report: webdriver.Chrome
) -> None:
    for name, value in choice.items():
        if name in ("class", "flag"):
            Select(field(report, name)).select_by_visible_text(value)
        else:
            field(report, name).send_keys(value)
    assert shown(report) == expected
    assert field(report, "count").text == f"{len(expected)} of 6 slices"
    assert field(report, "none").is_displayed() == (not expected)
    report.find_element(By.CSS_SELECTOR, "button[type=reset]").click()
    WebDriverWait(report, WAIT).until(lambda window: shown(window) == FILES)
    assert field(report, "count").text == "6 of 6 slices"


def test_sorting_keeps_the_filter_and_the_filter_keeps_the_order(report: webdriver.Chrome) -> None:
    header(report, "confidence").click()
    Select(field(report, "class")).select_by_visible_text("glioma")
    assert shown(report) == [EVIL, TEN, SLICE9]
    header(report, "area, px").click()
    assert shown(report) == [TEN, EVIL, SLICE9]


def test_a_click_enlarges_a_picture_with_its_details_and_closes_again(report: webdriver.Chrome) -> None:
    small = opener(report, TWO)
    small.click()
    large = report.find_element(By.CSS_SELECTOR, "dialog img")
    assert is_open(report)
    assert in_dialog(report) == TWO
    assert large.size["width"] > 2 * small.size["width"]
    details = report.find_element(By.CSS_SELECTOR, "dialog dl").text
    for words in ("meningioma", "90.0%", "1,000", "80.0", "upscaled"):
        assert words in details
    field(report, "close").click()
    assert not is_open(report)


def test_keys_open_the_dialog_walk_through_the_rows_to_be_seen_and_close_it(report: webdriver.Chrome) -> None:
    header(report, "confidence").click()
    Select(field(report, "class")).select_by_visible_text("glioma")  # EVIL, TEN, SLICE9
    opener(report, EVIL).send_keys(Keys.ENTER)
    assert is_open(report)
    walked = []
    for key in (Keys.ARROW_RIGHT, Keys.ARROW_RIGHT, Keys.ARROW_RIGHT, Keys.ARROW_LEFT):
        press(report, key)
        walked.append(in_dialog(report))
    assert walked == [TEN, SLICE9, SLICE9, TEN], "the last row has no neighbour"
    press(report, Keys.ESCAPE)
    WebDriverWait(report, WAIT).until(lambda window: not is_open(window))
    assert report.switch_to.active_element == opener(report, TEN)


def test_a_slice_without_a_picture_has_its_details_too(report: webdriver.Chrome) -> None:
    opener(report, BROKEN).click()
    assert "the file is empty" in report.find_element(By.CSS_SELECTOR, "dialog").text
    assert not report.find_element(By.CSS_SELECTOR, "dialog img").is_displayed()


def test_a_phone_sees_all_without_scrolling_sideways(report: webdriver.Chrome) -> None:
    metrics: dict[str, Any] = {"width": 400, "height": 800, "deviceScaleFactor": 1, "mobile": True}
    report.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    try:
        report.refresh()
        script = (
            "return [...document.querySelectorAll('body *')].filter(e => e.getBoundingClientRect().right > 401).length"
        )
        assert report.execute_script(script) == 0
        header(report, "area, px").click()
        assert shown(report)[0] == SLICE10
    finally:
        report.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


@pytest.mark.slow
def test_a_thousand_slices_with_pictures_can_be_sorted_and_reached(
    browser: webdriver.Chrome, brain_tumor_mri: Path, tmp_path: Path
) -> None:
    paths = sorted((brain_tumor_mri / "Training").glob("*/*"))[::58]
    images = [np.asarray(Image.open(path).convert("L")) / 255 for path in paths]
    drawn = [render_thumbnail(image, image > 0.8, image) for image in images]
    generator = np.random.default_rng(0)
    values = generator.permutation(1000)
    rows = [predicted(f"scan{v}.png", shares(0.5 + v / 2000, 0.5 - v / 2000, 0), area_px=int(v)) for v in values]
    pictures = {position: drawn[position % len(drawn)] for position in range(1000)}
    write_html_report(tmp_path / "report.html", rows, picture_files(tmp_path, pictures), Classes(NAMES), "Many", {})
    assert (tmp_path / "report.html").stat().st_size > 15_000_000
    browser.get((tmp_path / "report.html").as_uri())
    assert field(browser, "count").text == "1,000 of 1,000 slices"
    assert len(browser.find_elements(By.CSS_SELECTOR, "td img")) < 100, "only the pictures near the reader are there"
    header(browser, "area, px").click()
    assert shown(browser) == [f"scan{value}.png" for value in range(1000)]
    for row in (0, 500, 999):
        browser.execute_script(
            "document.querySelectorAll('tbody tr')[arguments[0]].scrollIntoView({block: 'center'})", row
        )
        script = (
            "const image = document.querySelectorAll('tbody tr')[arguments[0]].querySelector('img');"
            "return Boolean(image && image.naturalWidth)"
        )
        WebDriverWait(browser, WAIT).until(lambda window, row=row, script=script: window.execute_script(script, row))
    field(browser, "text").send_keys("scan77")
    assert field(browser, "count").text == "11 of 1,000 slices"
