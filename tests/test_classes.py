from __future__ import annotations

import json
from pathlib import Path

import pytest

from braintumor_ext.classes import CLASSES, Classes, class_of_folder
from braintumor_ext.data import load_datalist
from braintumor_ext.errors import InputError
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
    assert class_of_folder("pituitary", Classes(("glioma", "no_tumor"))) is None


@pytest.mark.parametrize("value", [None, "none", "None", " none "])
def test_none_means_no_empty_class(value):
    classes = Classes(("glioma", "pituitary"), value)
    assert (classes.empty, classes.empty_index) == (None, None)
    assert classes.tumours == {"glioma": 0, "pituitary": 1}


def test_a_class_called_none_is_a_class():
    classes = Classes(("tumour", "none", "other"), "none")
    assert (classes.empty, classes.empty_index) == ("none", 1)
    assert classes.tumours == {"tumour": 0, "other": 2}


def test_names_have_their_indices():
    assert [CLASSES.index(name) for name in CLASSES] == list(range(len(CLASSES))) == [0, 1, 2, 3]
    assert [CLASSES[index] for index in range(4)] == ["glioma", "meningioma", "pituitary", "no_tumor"]
    with pytest.raises(ValueError, match="no class 'healthy': valid are glioma, meningioma, pituitary, no_tumor"):
        CLASSES.index("healthy")


def test_classes_are_those_that_a_file_stores_of_them():
    for classes in (CLASSES, Classes(["low grade", "high grade"])):
        stored = json.loads(json.dumps(classes.stored()))
        assert Classes.of({**stored, "sha256": ""}) == classes
        assert hash(Classes.of(stored)) == hash(classes)


@pytest.mark.parametrize(
    ("names", "empty", "message"),
    [
        ("glioma,other", None, r"--class_names: 'glioma,other' is no list of names\. Give a list, quoted"),
        (["a", 1], None, r"--class_names: \['a', 1\] is no list of names"),
        (["a", ""], None, r"--class_names: \['a', ''\] is no list of names"),
        ([], None, r"--class_names: \[\] has a name twice or none\. Name each class once"),
        (["a", "b", "a"], None, r"--class_names: \['a', 'b', 'a'\] has a name twice or none"),
        (["a", "b"], "no_tumor", r"--empty_class: 'no_tumor' is not among the classes\. Give one of a, b, or none"),
        (["a", "b"], 1, r"--empty_class: 1 is not among the classes"),
    ],
)
def test_what_are_no_classes_is_refused(names, empty, message):
    with pytest.raises(InputError, match=message):
        Classes(names, empty)


def test_a_data_set_without_an_empty_class_is_loaded_by_what_a_command_line_can_say(tmp_path: Path):
    """MONAI's command line drops a None: the text must do."""
    items = []
    for index, name in enumerate(("a.png", "b.png")):
        write_slice(tmp_path / name, seed=index)
        items.append({"image": name, "class": index})
    content = {"class_names": ["glioma", "pituitary"], "empty_class": None, "training": items}
    (tmp_path / "datalist.json").write_text(json.dumps(content))
    loaded = load_datalist(tmp_path, classes=Classes(("glioma", "pituitary"), "none"))
    assert len(loaded["training"]) == 2
