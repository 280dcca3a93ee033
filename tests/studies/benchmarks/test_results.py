"""Results are kept whole and told right; no test here judges a time."""

from __future__ import annotations

import pytest

from braintumor_ext.errors import InputError
from studies.benchmarks.__main__ import write_page, write_table
from studies.benchmarks.curves import points
from studies.benchmarks.machine import described, machine
from studies.benchmarks.markdown import one_table, rewrite, spread
from studies.benchmarks.record import Curve, Result, Row, Table, read_result, write_result
from studies.benchmarks.timing import in_turns, over
from tests.report_files import read_tables

MACHINE = {
    "cpu": "A processor",
    "instructions": "AVX2, no bfloat16",
    "gpu": None,
    "cores": 2,
    "load": 0.1,
    "python": "3.12.1",
    "versions": {"torch": "2.12.1"},
    "date": "2026-11-27",
}
COST = Table(
    "cost",
    "Cost by size",
    "Timed in turns.",
    ["pass", "side"],
    [
        Row(["forward", 128], {"over the first": [4.0, 5.0, 3.0], "ms": [40.0]}, "at most 4.50"),
        Row(["forward", 64], {"over the first": [1.0, 1.0, 1.0], "ms": [10.0]}),
        Row(["backward", 64], {"ms": [20.0, 22.0]}),
    ],
    Curve("side", "ms"),
)
RESULT = Result("scaling", MACHINE, 12.5, False, [COST])


@pytest.mark.parametrize(
    ("values", "text"),
    [
        ([0.987, 1.031, 0.95], "0.987 (0.950 to 1.031)"),
        ([1.5], "1.50"),
        ([1234.0, 1200.0, 1300.0], "1234 (1200 to 1300)"),
        ([2.0, 4.0], "3.00 (2.00 to 4.00)"),
        ([0.0], "0.00"),
        ([], "–"),
    ],
)
def test_a_spread_is_the_median_with_the_least_and_the_most(values, text):
    assert spread(values) == text


def test_a_ratio_is_that_of_each_round():
    assert over([1.0, 3.0], [2.0, 1.0]) == [0.5, 3.0]


def test_calls_take_turns_and_the_first_round_is_not_counted():
    made = []
    seconds = in_turns({"a": lambda: made.append("a"), "b": lambda: made.append("b")}, rounds=4)
    assert made == ["a", "b"] * 5
    assert {name: len(times) for name, times in seconds.items()} == {"a": 4, "b": 4}


def test_a_spent_budget_ends_the_rounds_but_leaves_three():
    assert len(in_turns({"a": lambda: None}, rounds=50, budget=0)["a"]) == 3


def test_a_result_is_read_as_it_was_written(tmp_path):
    assert read_result(write_result(RESULT, tmp_path)) == RESULT


@pytest.mark.parametrize("text", ["", "[]", '{"tables": 3}', '{"benchmark": "x"}'])
def test_what_is_no_result_is_named(tmp_path, text):
    path = tmp_path / "x.json"
    path.write_text(text)
    with pytest.raises(InputError, match=r"x\.json"):
        read_result(path)


def test_the_one_table_has_every_measure_with_its_aim_and_the_machine(tmp_path):
    write_result(RESULT, tmp_path)
    write_result(Result("broken", MACHINE, 1.0, False, failure="Traceback\nValueError: no such thing"), tmp_path)
    write_table(tmp_path)
    text = (tmp_path / "README.md").read_text()
    assert read_tables(text)[0][1:] == [
        ["broken", "failed", "ValueError: no such thing", "–", ""],
        ["scaling/cost", "forward, 128", "over the first", "4.00 (3.00 to 5.00)", "at most 4.50"],
        ["scaling/cost", "forward, 128", "ms", "40.0", ""],
        ["scaling/cost", "forward, 64", "over the first", "1.00 (1.00 to 1.00)", ""],
        ["scaling/cost", "forward, 64", "ms", "10.0", ""],
        ["scaling/cost", "backward, 64", "ms", "21.0 (20.0 to 22.0)", ""],
    ]
    assert text.count("A processor (AVX2, no bfloat16), 2 cores") == 1


def test_a_page_gets_the_tables_that_it_names_and_keeps_the_rest(tmp_path):
    page, images = tmp_path / "docs" / "page.md", tmp_path / "docs" / "images"
    page.parent.mkdir()
    page.write_text(
        "before\n<!-- benchmark: scaling/cost -->\nold\n<!-- end -->\nbetween\n"
        "<!-- benchmark: other/x -->\nkept\n<!-- end -->\n<!-- benchmark: aims -->\n<!-- end -->\nafter\n"
    )
    write_page([RESULT], page, images)
    text = page.read_text()
    assert "old" not in text
    assert all(part in text for part in ("before\n", "between\n", "kept\n", "after\n"))
    cost, aims = read_tables(text)
    assert ["backward", "64", "–", "21.0 (20.0 to 22.0)", ""] in cost
    assert aims[1:] == [["Cost by size", "forward, 128", "over the first", "4.00 (3.00 to 5.00)", "at most 4.50"]]
    assert "(images/benchmark-scaling-cost.png)" in text
    assert (images / "benchmark-scaling-cost.png").read_bytes().startswith(b"\x89PNG")
    write_page([RESULT], page, images)
    assert page.read_text() == text


def test_a_page_that_names_a_table_which_does_not_exist_is_told_which_there_are():
    with pytest.raises(InputError, match=r"scaling/speed.*Choose among cost"):
        rewrite("<!-- benchmark: scaling/speed -->\n<!-- end -->", [RESULT], "images")


def test_a_quick_run_and_a_failed_one_are_not_told_as_measurements():
    page = "<!-- benchmark: scaling/cost -->\n<!-- end -->"
    assert "its figures mean nothing" in rewrite(page, [Result("scaling", MACHINE, 1.0, True, [COST])], "images")
    failed = Result("scaling", MACHINE, 1.0, False, failure="not done after 3 s")
    assert "not done after 3 s" in rewrite(page, [failed], "images")


def test_a_curve_has_a_line_for_each_other_label_in_the_order_of_x():
    assert points(COST) == {
        "forward": [(64, 10, 10, 10), (128, 40, 40, 40)],
        "backward": [(64, 21, 20, 22)],
    }


def test_the_machine_tells_what_decides_the_speed():
    facts = machine()
    assert facts["cores"] >= 1
    assert "torch" in facts["versions"]
    text = described(facts)
    assert facts["cpu"] in text
    assert f"torch {facts['versions']['torch']}" in text
    assert "bfloat16" in text


def test_results_of_several_machines_name_each():
    other = Result("explain", {**MACHINE, "cpu": "Another"}, 1.0, False)
    text = one_table([RESULT, other])
    assert "scaling: A processor" in text
    assert "explain: Another" in text
