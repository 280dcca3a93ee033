from __future__ import annotations

import csv
import io
import os
import random

import pytest

from braintumor_ext.plain_text import csv_cell, csv_row, csv_text, printable


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a b/ü脳 العربية 👍\u3000.png", "a b/ü脳 العربية 👍\u3000.png"),
        ("a\nb\r\t\x1b[2J", r"a\nb\r\t\x1b[2J"),
        (os.fsdecode(b"sc\xffan"), r"sc\xffan"),
        ("lone \ud800", r"lone \ud800"),
        ("two\u2028lines\x85", r"two\u2028lines\u0085"),
        (r"C:\new", r"C:\new"),
    ],
)
def test_what_cannot_be_printed_becomes_an_escape_and_all_else_stays(text: str, shown: str) -> None:
    assert printable(text) == shown
    assert len(shown.encode("utf-8").splitlines()) == 1


@pytest.mark.parametrize("start", ["=", "+", "-", "@"])
def test_a_cell_is_never_a_formula(start: str) -> None:
    assert csv_cell(f"{start}1+1.png") == f"'{start}1+1.png"
    assert csv_cell(f"a{start}1") == f"a{start}1"


def test_a_tab_before_a_formula_is_an_escape() -> None:
    assert csv_cell("\t=1+1") == r"\t=1+1"


@pytest.mark.parametrize("number", ["-1", "+2.5", "-1.5e-07", "-0.", "12"])
def test_a_number_is_no_formula(number: str) -> None:
    assert csv_cell(number) == number
    assert csv_row([number, -1, 2.5, None, "-1+1"]) == [number, -1, 2.5, None, "'-1+1"]


def test_a_cell_is_read_back_exactly_as_it_was_whatever_the_text() -> None:
    draw = random.Random(0)
    signs = ["'", "=", "+", "-", "@", "\\", "n", "x", "f", "u", "0", "8", "\n", "\r", "\t", "\x00", "\x85", "\xff"]
    signs += ["\udcff", "\udc80", "\ud800", "\u2028", "\u0085", ",", '"', ";", " ", "脳", "👍", "1", "e"]
    seen: dict[str, str] = {}
    for _ in range(20_000):
        text = "".join(draw.choices(signs, k=draw.randrange(9)))
        cell = csv_cell(text)
        file = io.StringIO(newline="")
        csv.writer(file).writerow(["first", cell])
        (row,) = csv.reader(io.StringIO(file.getvalue().encode("utf-8").decode("utf-8"), newline=""))
        assert csv_text(row[1]) == text
        assert not cell.startswith(("=", "@", "\t", "\r"))
        assert not cell.startswith(("+", "-")) or float(cell) is not None
        assert seen.setdefault(cell, text) == text  # no two texts look the same


@pytest.mark.parametrize("text", ["'quoted'", "it's", r"C:\folder\image.png", "a-b=c", "''"])
def test_a_text_that_needs_nothing_stays(text: str) -> None:
    assert csv_cell(text) == text
