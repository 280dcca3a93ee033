from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy import ndimage

from braintumor_ext.data import load_section
from braintumor_ext.data.extra import ExtraPool, choose_extra
from braintumor_ext.data.folder_scan import FoundSlice
from braintumor_ext.data.inspection import inspect_slices
from braintumor_ext.data.prepare import prepare
from braintumor_ext.errors import InputError
from scripts.prepare_data import main
from tests.data.folders import class_folders, grey_slice, write_mask_file, write_slice


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Eight slices of each class, two a patient, prepared without extra slices in ``plain``."""
    class_folders(tmp_path / "set", per_class=8)
    rows = [
        f"{name}_tumor/a{i}.png,{name}{i // 2}"
        for name in ("glioma", "meningioma", "pituitary", "no")
        for i in range(8)
    ]
    (tmp_path / "groups.csv").write_text("image,group\n" + "\n".join(rows) + "\n", encoding="utf-8")
    prepare(tmp_path / "set", tmp_path / "plain", groups=tmp_path / "groups.csv")
    return tmp_path


def content_of(output: Path) -> dict:
    return json.loads((output / "datalist.json").read_text())


def a_slice_of(folder: Path, section: str) -> dict:
    """An item of a section of the plain preparation."""
    return content_of(folder / "plain")[section][0]


def names(items: list[dict]) -> set[str]:
    return {Path(item["image"]).name for item in items}


def prepare_with_extra(folder: Path, **options):
    return prepare(
        folder / "set", folder / "out", groups=folder / "groups.csv", extra=folder / "more", overwrite=True, **options
    )


def test_extra_slices_leave_the_other_sections_and_the_baselines_as_they_are(folder):
    class_folders(folder / "more", per_class=2, start=500)
    report = prepare_with_extra(folder).report
    plain, content = content_of(folder / "plain"), content_of(folder / "out")
    for section in ("training", "validation", "test"):
        assert content[section] == plain[section]
    assert (
        report["trivial_baselines"]
        == json.loads((folder / "plain" / "data_report.json").read_text())["trivial_baselines"]
    )
    assert content["numExtra"] == len(content["extra"]) == 8
    assert "extra" not in plain


def test_slices_of_validation_and_test_patients_are_left_out_and_those_of_training_are_kept(folder):
    rows = ["image,group"]
    for number, section in enumerate(("training", "validation", "test")):
        write_slice(folder / "more" / "glioma" / f"{section}.png", seed=700 + number)
        rows.append(f"glioma/{section}.png,{a_slice_of(folder, section)['group']}")
    write_slice(folder / "more" / "glioma" / "stranger.png", seed=710)
    (folder / "more.csv").write_text("\n".join(rows), encoding="utf-8")
    report = prepare_with_extra(folder, extra_groups=folder / "more.csv").report
    assert names(content_of(folder / "out")["extra"]) == {"training.png", "stranger.png"}
    assert report["extra"]["images"] == {"found": 4, "used": 2}
    assert report["extra"]["left_out"]["held_out_group"] == ["extra/glioma/test.png", "extra/glioma/validation.png"]


def test_copies_of_test_slices_are_left_out_with_the_rest_of_their_group(folder):
    for section in ("training", "test"):
        original = np.asarray(Image.open(folder / "plain" / a_slice_of(folder, section)["image"])).astype(int)
        noisy = np.minimum(original + np.random.default_rng(0).integers(0, 4, original.shape), 255)
        (folder / "more" / "glioma").mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.uint8(noisy)).save(folder / "more" / "glioma" / f"{section}.png")
    write_slice(folder / "more" / "glioma" / "same patient.png", seed=720)
    table = folder / "more.csv"
    table.write_text("image,group\nglioma/test.png,p\nglioma/same patient.png,p\n", encoding="utf-8")
    report = prepare_with_extra(folder, extra_groups=table).report
    assert names(content_of(folder / "out")["extra"]) == {"training.png"}
    assert report["extra"]["left_out"]["held_out_copy"] == ["extra/glioma/same patient.png", "extra/glioma/test.png"]


def test_mirrored_and_cropped_copies_of_test_slices_are_left_out_and_those_of_training_slices_kept(folder):
    (folder / "more" / "glioma").mkdir(parents=True)
    for section in ("training", "validation", "test"):
        original = np.asarray(Image.open(folder / "plain" / a_slice_of(folder, section)["image"]))
        copy = np.ascontiguousarray(original[3:-2, 2:-4][:, ::-1])
        Image.fromarray(copy).save(folder / "more" / "glioma" / f"{section}.png")
    report = prepare_with_extra(folder).report["extra"]
    assert names(content_of(folder / "out")["extra"]) == {"training.png"}
    assert report["left_out"]["held_out_copy"] == ["extra/glioma/test.png", "extra/glioma/validation.png"]
    assert {(Path(c["image"]).stem, c["section"], c["mirrored"]) for c in report["copies"]} == {
        (section, section, True) for section in ("training", "validation", "test")
    }


def test_a_file_that_the_set_holds_is_left_out_whatever_its_section(folder):
    (folder / "more" / "glioma").mkdir(parents=True)
    shutil.copy(folder / "plain" / a_slice_of(folder, "training")["image"], folder / "more" / "glioma" / "same.png")
    report = prepare_with_extra(folder).report
    assert report["extra"]["left_out"]["identical"] == ["extra/glioma/same.png"]
    assert "extra" not in content_of(folder / "out")


def test_a_group_that_was_joined_to_another_is_recognised_by_either_name(tmp_path):
    found = [
        FoundSlice(key, write_slice(tmp_path / key, seed), key, "glioma")
        for seed, key in enumerate(["test.png", "extra/b.png", "extra/c.png", "extra/d.png"])
    ]
    (own, *extra), _ = inspect_slices(found)
    own.group, own.section = "b", "test"
    pool = ExtraPool(extra, {f"extra/{name}.png": name for name in "bcd"}, 3, [], [])
    chosen, _ = choose_extra(pool, [own], joined=[["b", "c"]])
    assert [slice_.key for slice_ in chosen] == ["extra/d.png"]


def test_extra_slices_of_the_same_names_get_files_of_their_own(folder):
    class_folders(folder / "more", per_class=2, start=500)
    write_mask_file(folder / "masks" / "glioma_tumor" / "a0.png")
    prepare_with_extra(folder, extra_masks=folder / "masks", size=32)
    items = load_section(folder / "out", section=["training", "extra"])
    assert len({item["image"] for item in items}) == len(items) == 16 + 8
    extra = content_of(folder / "out")["extra"]
    assert {item["label"] for item in extra if "label" in item} == {
        "masks/extra/glioma_tumor/a0.png",
        "masks/extra/no_tumor/a0.png",
        "masks/extra/no_tumor/a1.png",
    }
    compact = np.asarray(Image.open(folder / "out" / "images" / "extra" / "no_tumor" / "a0.jpg"), dtype=float)
    wanted = np.asarray(Image.fromarray(grey_slice(3500)).resize((32, 34), Image.Resampling.BILINEAR), dtype=float)
    assert np.abs(compact - wanted).mean() < 4


def test_an_unusable_extra_slice_is_told_and_the_rest_goes_on(folder, capsys):
    class_folders(folder / "more", per_class=1, start=500)
    (folder / "more" / "glioma_tumor" / "zero.png").write_bytes(b"")
    arguments = ["--images", folder / "set", "--groups", folder / "groups.csv", "--output", folder / "out"]
    assert main([str(a) for a in [*arguments, "--extra", folder / "more"]]) == 1
    told = capsys.readouterr()
    assert "zero.png: is empty" in told.err
    assert "no images" not in told.err  # a missing class is no flaw of extra slices
    assert "extra: 4 of 5 slices" in told.out


@pytest.mark.parametrize("options", [{"extra_masks": Path("m")}, {"extra_groups": Path("g")}])
def test_masks_or_groups_of_no_extra_slices_are_refused(folder, options):
    with pytest.raises(InputError, match="without --extra"):
        prepare(folder / "set", folder / "out", **options)


def test_extra_slices_beside_an_external_set_are_refused(folder):
    with pytest.raises(InputError, match="nothing to train on"):
        prepare_with_extra(folder, protocol="external")


@pytest.mark.real_data
@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_of_the_real_extra_slices_those_of_training_patients_are_used(brain_tumor_mri, tmp_path):
    """501 Cheng slices by the groups' table, as its description says; of 1,005 others 97 to 99 copy held-out slices, by
    the way in which products of matrices are rounded."""
    extra = brain_tumor_mri.parent / "brain-tumor-extra"
    report = prepare(
        brain_tumor_mri / "Training",
        tmp_path / "out",
        groups=brain_tumor_mri / "groups.csv",
        extra=extra / "images",
        extra_groups=extra / "groups.csv",
    ).report["extra"]
    assert 1005 - 101 <= report["classes"]["no_tumor"] <= 1005 - 95
    left_out = {reason: len(keys) for reason, keys in report["left_out"].items()}
    assert left_out["held_out_group"] == 237
    assert left_out["held_out_copy"] == 1506 - report["images"]["used"]
    assert left_out["identical"] == 0


def test_look_alikes_in_training_don_t_hide_a_copy_of_a_test_slice(tmp_path):
    """The search judges a few candidates of each slice: those of the held-out slices are named by themselves."""
    picture = grey_slice(800).astype(int)
    turned = ndimage.rotate(picture, 9, reshape=False, mode="nearest")
    shown = {"extra/a.png": picture, "test.png": turned}
    for number in range(8):  # likelier candidates of either, by a little noise alone
        noise = np.random.default_rng(number).integers(0, 3, picture.shape)
        shown |= {f"training{number}.png": picture + noise, f"extra/turned{number}.png": turned + noise}
    (tmp_path / "extra").mkdir()
    for key, pixels in shown.items():
        Image.fromarray(np.uint8(pixels.clip(0, 255))).save(tmp_path / key)
    slices, _ = inspect_slices([FoundSlice(key, tmp_path / key, key, "glioma") for key in shown])
    for slice_ in slices:
        slice_.section = "test" if slice_.key == "test.png" else "training"
    extra = [slice_ for slice_ in slices if slice_.key.startswith("extra/")]
    given = {slice_.key: slice_.key for slice_ in extra}
    own = [slice_ for slice_ in slices if not slice_.key.startswith("extra/")]
    _, told = choose_extra(ExtraPool(extra, given, len(extra), [], []), own)
    assert "extra/a.png" in told["left_out"]["held_out_copy"]
