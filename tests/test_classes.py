from __future__ import annotations

import json
from pathlib import Path

import pytest

from braintumor_ext.classes import class_of_folder, empty_class_of
from braintumor_ext.data import load_datalist
from tests.data.folders import write_slice


@pytest.mark.parametrize(
    ("folder", "name"),
    [
        ("glioma", "glioma"),
        ("Glioma Tumour", "glioma"),
        ("no-tumor", "no_tumor"),
        ("notumor", "no_tumor"),
        ("Healthy", "no_tumor"),
        ("metastasis", None),
    ],
)
def test_a_folder_stands_for_a_class_however_it_is_spelt(folder, name):
    assert class_of_folder(folder) == name


def test_a_class_that_is_not_in_use_has_no_folder():
    assert class_of_folder("pituitary", class_names=("glioma", "no_tumor")) is None


@pytest.mark.parametrize("value", [None, "none", "None"])
def test_none_means_no_empty_class(value):
    assert empty_class_of(value, ("glioma", "pituitary")) is None


def test_a_class_called_none_is_a_class():
    assert empty_class_of("none", ("tumour", "none")) == "none"


def test_a_data_set_without_an_empty_class_is_loaded_by_what_a_command_line_can_say(tmp_path: Path):
    """MONAI's command line drops a None: the text must do."""
    items = []
    for index, name in enumerate(("a.png", "b.png")):
        write_slice(tmp_path / name, seed=index)
        items.append({"image": name, "class": index})
    content = {"class_names": ["glioma", "pituitary"], "empty_class": None, "training": items}
    (tmp_path / "datalist.json").write_text(json.dumps(content))
    loaded = load_datalist(tmp_path, class_names=("glioma", "pituitary"), empty_class="none")
    assert len(loaded["training"]) == 2
