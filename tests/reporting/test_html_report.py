from __future__ import annotations

import base64
import hashlib
import json
import re
from collections import Counter
from collections.abc import Sequence
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from braintumor_ext.classes import Classes
from braintumor_ext.reporting.html_report import read_pictures, write_html_report
from tests.reporting.report_rows import HOSTILE, NAMES, ROWS, failed, picture_files, predicted, shares

DISCLAIMER = "Not a medical device. For research and teaching; never for diagnosis."
FACTS = {"model": "a <b>model</b>", "warning": "first line\nsecond"}


class Page(HTMLParser):
    """The elements of a page, and the text of its table's cells by row."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.rows: list[list[str]] = []
        self.text = ""
        self._in_cell = False
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag == "tr":
            self.rows.append([])
        elif tag in ("td", "th"):
            self.rows[-1].append("")
            self._in_cell = True

    def handle_endtag(self, tag: str) -> None:
        if tag in ("td", "th"):
            self._in_cell = False

    def handle_data(self, data: str) -> None:
        self.text += data
        if self._in_cell:
            self.rows[-1][-1] += data

    def count(self, tag: str) -> int:
        return Counter(name for name, _ in self.elements)[tag]


def write(folder: Path, rows: Sequence[dict[str, Any]] = ROWS, pictures: dict[int, bytes] | None = None) -> str:
    paths = picture_files(folder, pictures or {})
    write_html_report(folder / "report.html", rows, paths, Classes(NAMES), "A & B </title>", FACTS)
    return (folder / "report.html").read_text(encoding="utf-8")


def test_every_slice_is_a_row_with_all_that_is_known_of_it(tmp_path: Path) -> None:
    header, *rows = Page(write(tmp_path)).rows
    assert header == [
        *("picture", "file", "class", "confidence", "glioma", "meningioma", "no tumor"),
        *("area, px", "area, mm²", "flags", "error"),
    ]
    assert [row[1].removesuffix("mask") for row in rows] == [
        *("b/scan10.png", "a/scan2.png", "c/broken.png", "volume.nii.gz, slice 10", "volume.nii.gz, slice 9", HOSTILE)
    ]
    assert rows[1][2:] == ["meningioma", "90.0%", "5.0%", "90.0%", "5.0%", "1,000", "80.0", "upscaled", ""]
    assert rows[2][2:] == ["", "", "", "", "", "", "", "", "cannot be read: the file is empty"]
    assert rows[3][7] == "0", "no pixel is an area of 0, not an unknown one"


def test_the_summary_counts_and_states_the_facts(tmp_path: Path) -> None:
    text = write(tmp_path)
    counts = re.findall(r"<li><b>(.*?)</b>(.*?)</li>", text)
    assert [(name, int(count)) for count, name in counts] == [
        *(("slices", 6), ("glioma", 3), ("meningioma", 1), ("no tumor", 1), ("flagged", 3), ("failed", 1))
    ]
    page = Page(text)
    for words in (DISCLAIMER, "a <b>model</b>", "first line\nsecond", "A & B </title>", "6 of 6 slices"):
        assert words in page.text


def test_a_slice_whose_mask_could_not_be_written_counts_as_failed(tmp_path: Path) -> None:
    text = write(tmp_path, [predicted("x.png", shares(1, 0, 0), error="No space left on device")])
    assert "<b>1</b>failed" in text
    assert "<b>0</b>glioma" in text
    assert 'data-group="failed"' in text


def test_names_are_text_and_never_markup(tmp_path: Path) -> None:
    plain, hostile = (
        Page(write(tmp_path, [predicted(name, shares(1, 0, 0), flags=name.replace(";", ""), error=name, overlay=name)]))
        for name in ("x", HOSTILE + "</script></td><!--")
    )
    assert Counter(tag for tag, _ in plain.elements if tag != "wbr") == Counter(
        tag for tag, _ in hostile.elements if tag != "wbr"
    )
    assert hostile.rows[1][1].removesuffix("overlay") == HOSTILE + "</script></td><!--"


def test_the_file_refers_to_nothing_outside_itself(tmp_path: Path) -> None:
    text = write(tmp_path, pictures={0: b"\xff\xd8\xff"})
    assert "://" not in text
    assert "@import" not in text
    assert "url(" not in text
    for tag, attributes in Page(text).elements:
        assert "src" not in attributes
        assert tag != "link" or attributes["href"] == "data:,"
        assert not [name for name in attributes if name.startswith("on")]
    policy = text[text.index("Content-Security-Policy") :].split('"')[2]
    assert policy.startswith("default-src 'none'; img-src data:; ")
    assert "unsafe" not in policy
    for tag in ("style", "script"):
        content = re.findall(rf"<{tag}>(.*?)</{tag}>", text, re.DOTALL)[0]
        digest = base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()
        assert f"{tag}-src 'sha256-{digest}'" in policy


@pytest.mark.parametrize("path", ["javascript:alert(1)", "//example.org/x", "a b/ü#?%.png"])
def test_links_are_paths_beside_the_report(path: str, tmp_path: Path) -> None:
    page = Page(write(tmp_path, [predicted("x.png", shares(1, 0, 0), overlay=path, mask="masks/x.png")]))
    links = [attributes["href"] for tag, attributes in page.elements if tag == "a"]
    assert links[1] == "./masks/x.png"
    assert re.fullmatch(r"\./[\w%./-]+", links[0] or "")


def test_pictures_stand_at_their_rows_positions(tmp_path: Path) -> None:
    text = write(tmp_path, pictures={4: b"four", 1: b"one"})
    encoded = json.loads(re.findall(r'id="pictures">(.*?)</script>', text)[0])
    assert [base64.b64decode(e) if e else None for e in encoded] == [None, b"one", None, None, b"four", None]
    assert read_pictures(tmp_path / "report.html") == [None, b"one", None, None, b"four", None]


def test_what_is_no_report_holds_no_pictures(tmp_path: Path) -> None:
    (tmp_path / "x.html").write_text("<html></html>")
    with pytest.raises(ValueError, match=r"x\.html holds no pictures"):
        read_pictures(tmp_path / "x.html")


def test_the_same_input_gives_the_same_bytes(tmp_path: Path) -> None:
    first = write(tmp_path, pictures={0: b"zero", 3: b"three"})
    assert write(tmp_path / "other", pictures={3: b"three", 0: b"zero"}) == first


@pytest.mark.parametrize("rows", [[], [failed("x.png", "broken"), failed("y.png", "broken")]])
def test_nothing_and_nothing_but_failures_are_reported_too(rows: list[dict[str, Any]], tmp_path: Path) -> None:
    page = Page(write(tmp_path, rows))
    assert len(page.rows) == 1 + len(rows)
    assert f"{len(rows)} of {len(rows)} slices" in page.text


def test_numbers_that_are_none_are_missing(tmp_path: Path) -> None:
    row = predicted("x.png", shares(float("nan"), 0.7, 0.3), area_mm2=float("inf"))
    cells = Page(write(tmp_path, [row])).rows[1]
    assert (cells[3], cells[4], cells[8]) == ("70.0%", "", "")


def test_a_name_that_is_no_text_is_written_all_the_same(tmp_path: Path) -> None:
    text = write(tmp_path, [predicted("sc\udcffan.png", shares(1, 0, 0), mask="masks/sc\udcffan.png")])
    assert r"sc\xffan.png" in text
    assert "./masks/sc%FFan.png" in text


def test_what_cannot_be_right_is_refused_and_leaves_the_old_file(tmp_path: Path) -> None:
    write(tmp_path)
    before = (tmp_path / "report.html").read_bytes()
    with pytest.raises(ValueError, match=r"unknown classes \['glioma'\]"):
        write_html_report(tmp_path / "report.html", ROWS[:1], {}, Classes(("meningioma",)), "", {})
    with pytest.raises(ValueError, match=r"pictures \[6\] belong to no row: there are 6 rows"):
        write_html_report(tmp_path / "report.html", ROWS, {6: tmp_path / "x.jpg"}, Classes(NAMES), "", {})
    assert (tmp_path / "report.html").read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["report.html"]
