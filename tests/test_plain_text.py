from __future__ import annotations

import os

import pytest

from braintumor_ext.plain_text import csv_cell, printable


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a b/ü脳 العربية 👍\u3000.png", "a b/ü脳 العربية 👍\u3000.png"),
        ("a\nb\r\t\x1b[2J", r"a\nb\r\t\x1b[2J"),
        (os.fsdecode(b"sc\xffan"), r"sc\xffan"),
        ("lone \ud800", r"lone \ud800"),
        ("two\u2028lines\x85", r"two\u2028lines\x85"),
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
