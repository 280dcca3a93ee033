from __future__ import annotations

import json
import os
from pathlib import Path

import nibabel
import numpy as np
import pytest
from monai.data import load_decathlon_datalist

from braintumor_ext.data import load_datalist, load_section
from braintumor_ext.data.datalist import write_datalist
from braintumor_ext.errors import InputError, InputErrors
from tests.data.folders import write_mask_file, write_slice


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    """Two items a section; the second has no label, the test section no class."""
    content: dict[str, list[dict]] = {}
    for number, section in enumerate(("training", "validation", "test")):
        items = []
        for index in range(2):
            name = f"{section}{index}"
            write_slice(tmp_path / "images" / f"{name}.png", seed=10 * number + index)
            items.append({"image": f"images/{name}.png", "class": index, "group": name})
        write_mask_file(tmp_path / "masks" / f"{section}0.png")
        items[0]["label"] = f"masks/{section}0.png"
        content[section] = items
    for item in content["test"]:
        del item["class"]
    write_datalist(tmp_path / "datalist.json", content)
    return tmp_path


def edit(dataset: Path, change) -> None:
    path = dataset / "datalist.json"
    content = json.loads(path.read_text())
    change(content)
    write_datalist(path, content)


def test_items_keep_what_is_known_and_lack_what_is_not(dataset):
    loaded = load_datalist(dataset)
    assert set(loaded) == {"training", "validation", "test"}
    root = dataset.resolve()
    assert loaded["training"][0] == {
        "image": str(root / "images" / "training0.png"),
        "label": str(root / "masks" / "training0.png"),
        "class": 0,
        "group": "training0",
    }
    assert "label" not in loaded["training"][1]
    assert "class" not in loaded["test"][0]


def test_monai_reads_the_same_paths(dataset):
    ours = [item["image"] for item in load_datalist(dataset)["test"]]
    assert [item["image"] for item in load_decathlon_datalist(dataset / "datalist.json", True, "test")] == ours


def test_the_file_has_one_item_a_line(dataset):
    lines = (dataset / "datalist.json").read_text().splitlines()
    assert sum('{"image"' in line for line in lines) == 6


def test_a_class_may_be_written_as_its_name_even_if_a_folder_is_called_so(dataset):
    (dataset / "pituitary").mkdir()
    (dataset / "images" / "g").mkdir()
    edit(dataset, lambda c: c["training"][0].update({"class": "pituitary", "group": "images"}))
    item = load_datalist(dataset)["training"][0]
    assert (item["class"], item["group"]) == (2, "images")


def test_no_datalist_names_the_command_that_makes_one(tmp_path):
    with pytest.raises(InputError, match=r"no datalist\.json.*scripts\.prepare_data"):
        load_datalist(tmp_path)
    with pytest.raises(InputError, match="not a folder"):
        load_datalist(tmp_path / "nowhere")


def test_broken_json_is_told_with_its_line(dataset):
    path = dataset / "datalist.json"
    path.write_text(path.read_text().replace('"class": 1, "group": "training1"', '"class" 1, "group": "training1"'))
    with pytest.raises(InputError, match="line 4"):
        load_datalist(dataset)


def test_all_problems_are_told_at_once_each_with_a_remedy(dataset):
    (dataset / "images" / "training0.png").unlink()
    (dataset / "images" / "validation0.png").write_bytes(b"")
    (dataset / "images" / "validation1.png").write_text("no picture")
    write_mask_file(dataset / "masks" / "test0.png", height=30)

    def change(content):
        content["training"][1]["class"] = "astrocytoma"
        content["validation"][0]["class"] = 4
        content["test"][1]["image"] = "images/training1.png"

    edit(dataset, change)
    with pytest.raises(InputErrors) as caught:
        load_datalist(dataset)
    message = str(caught.value)
    for fragment in (
        "training0.png: no such file",
        "'astrocytoma'",
        "unknown class 4",
        "validation0.png: is empty (0 bytes)",
        "validation1.png: is no picture",
        "is 56x30, but its image",
        "listed 2 times: training[1], test[1]",
    ):
        assert fragment in message
    assert len(caught.value.problems) == 7


@pytest.mark.parametrize("suffix", ["png", "jpg"])
def test_a_truncated_picture_is_found_without_decoding_whole_ones(dataset, suffix):
    path = write_slice(dataset / "images" / f"cut.{suffix}", seed=3, height=200, width=200)
    path.write_bytes(path.read_bytes()[:2000])
    edit(dataset, lambda c: c["training"][1].update({"image": f"images/cut.{suffix}"}))
    with pytest.raises(InputErrors, match=f"cut.{suffix}: is (truncated|damaged)"):
        load_datalist(dataset)


def test_an_entry_that_is_no_item_is_told(dataset):
    edit(dataset, lambda c: c["training"].append({"picture": "a.png"}))
    with pytest.raises(InputErrors, match=r"training\[2\].*is not an item"):
        load_datalist(dataset)


def test_a_volume_needs_its_slice_named(dataset):
    nibabel.save(
        nibabel.Nifti1Image(np.arange(2000, dtype=np.float32).reshape(20, 20, 5), np.eye(4)), dataset / "v.nii.gz"
    )
    edit(dataset, lambda c: c["training"][1].update({"image": "v.nii.gz"}))
    with pytest.raises(InputErrors, match=r"5 slices.*--slices"):
        load_datalist(dataset)
    edit(dataset, lambda c: c["training"][1].update({"slice": 2}))
    assert load_datalist(dataset)["training"][1]["slice"] == 2


def test_an_empty_training_section_is_an_error_only_where_it_is_asked_for(dataset):
    edit(dataset, lambda c: c.update(training=[]))
    with pytest.raises(InputErrors, match="'training' has no items"):
        load_datalist(dataset)
    assert len(load_datalist(dataset, sections=["test"])["test"]) == 2
    assert load_section(dataset, section="training", allow_empty=True) == []
    with pytest.raises(InputErrors, match="'training' has no items"):
        load_section(dataset, section="training")


def test_classes_in_another_order_are_refused(dataset):
    edit(dataset, lambda c: c.update(class_names=["meningioma", "glioma", "pituitary", "no_tumor"]))
    with pytest.raises(InputErrors, match="prepared for the classes"):
        load_datalist(dataset)


def test_a_divided_group_warns_and_loads(dataset):
    edit(dataset, lambda c: c["test"][0].update(group="training0"))
    with pytest.warns(UserWarning, match="1 group.*'training0'"):
        assert len(load_datalist(dataset)["test"]) == 2


def test_training_is_refused_for_a_broken_test_section_but_evaluation_needs_its_own_only(dataset):
    (dataset / "images" / "training0.png").unlink()
    assert len(load_section(dataset, section="test")) == 2
    with pytest.raises(InputErrors, match=r"training0\.png"):
        load_section(dataset, section="validation")


def test_a_changed_datalist_is_loaded_anew_and_callers_get_their_own_items(dataset):
    first = load_section(dataset, section="training")
    first[0]["class"] = 3
    assert load_section(dataset, section="training")[0]["class"] == 0
    edit(dataset, lambda c: c["validation"].pop())
    os.utime(dataset / "datalist.json", ns=(1, 1))
    assert len(load_section(dataset, section="validation")) == 1


@pytest.mark.parametrize("classes", [(1, 1), ("meningioma", 1)], ids=["indices", "a name"])
def test_one_class_only_cannot_be_trained_on_but_serves_for_other_uses(dataset, classes):
    edit(dataset, lambda c: [item.update({"class": k}) for item, k in zip(c["training"], classes, strict=True)])
    with pytest.raises(InputErrors, match="one class only, 'meningioma'"):
        load_section(dataset, section="training")
    assert len(load_section(dataset, section="training", allow_empty=True)) == 2
    assert len(load_section(dataset, section="test")) == 2


def test_a_training_without_any_class_is_no_training_on_one_class(dataset):
    edit(dataset, lambda c: [item.pop("class") for item in c["training"]])
    assert len(load_section(dataset, section="training")) == 2


def test_another_datalist_is_found_from_the_dataset_dir_and_relative_to_itself(dataset):
    (dataset / "splits").mkdir()
    other = dataset / "splits" / "fold0.json"
    write_datalist(other, {"training": [{"image": "../images/test0.png"}]})
    items = load_datalist(dataset, "splits/fold0.json", sections=["training"])["training"]
    assert items == [{"image": str(dataset.resolve() / "images" / "test0.png")}]
    with pytest.raises(InputError, match="no such datalist"):
        load_datalist(dataset, "splits/fold1.json")


@pytest.fixture
def with_extra(dataset: Path) -> Path:
    """The data set with two extra items, one of a training group."""
    names = [write_slice(dataset / "images" / f"extra{i}.png", seed=90 + i).name for i in range(2)]
    items = [
        {"image": f"images/{name}", "class": 3, "group": group}
        for name, group in zip(names, ("training0", "e1"), strict=True)
    ]
    edit(dataset, lambda c: c.update(extra=items))
    return dataset


@pytest.mark.filterwarnings("error")
def test_extra_slices_are_drawn_on_only_where_they_are_asked_for(with_extra):
    assert [Path(i["image"]).stem for i in load_section(with_extra, section="training")] == ["training0", "training1"]
    both = load_section(with_extra, section=["training", "extra"])
    assert [Path(i["image"]).stem for i in both] == ["training0", "training1", "extra0", "extra1"]
    assert set(load_datalist(with_extra)) == {"training", "validation", "test"}


def test_a_datalist_without_extra_slices_is_told_where_they_are_asked_for(dataset):
    with pytest.raises(InputErrors, match=r"'extra' has no items.*--extra DIR"):
        load_section(dataset, section=["training", "extra"])
    assert len(load_section(dataset, section=["training", "extra"], allow_empty=True)) == 2


def test_an_extra_slice_of_a_test_group_warns_even_if_it_is_not_drawn_on(with_extra):
    edit(with_extra, lambda c: c["extra"][1].update(group="test0"))
    with pytest.warns(UserWarning, match="1 group.*'test0'"):
        load_section(with_extra, section="training")


def test_an_image_in_extra_and_in_test_is_an_error(with_extra):
    edit(with_extra, lambda c: c["extra"][1].update(image="images/test1.png"))
    with pytest.raises(InputErrors, match=r"listed 2 times: test\[1\], extra\[1\]"):
        load_section(with_extra, section="training")


def test_files_of_extra_slices_are_checked_where_they_are_drawn_on(with_extra):
    (with_extra / "images" / "extra1.png").unlink()
    assert len(load_section(with_extra, section="training")) == 2
    with pytest.raises(InputErrors, match=r"extra\[1\].*no such file"):
        load_section(with_extra, section=["training", "extra"])
