from __future__ import annotations

import csv
import hashlib
import json
import shutil
from pathlib import Path

import nibabel
import numpy as np
import pytest
from filelock import FileLock
from monai.data import load_decathlon_datalist
from PIL import Image

from braintumor_ext.classes import Classes
from braintumor_ext.data import load_datalist
from braintumor_ext.data.prepare import prepare
from braintumor_ext.errors import InputError
from scripts.prepare_data import main
from tests.data.folders import class_folders, grey_slice, write_mask_file, write_slice
from tests.transforms import claims
from tests.transforms.files import write_dicom


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Eight slices of each class, masks of the gliomas."""
    class_folders(tmp_path / "set", per_class=8)
    for index in range(8):
        write_mask_file(tmp_path / "masks" / "glioma_tumor" / f"a{index}.png")
    return tmp_path


def by_section(output: Path) -> dict[str, set[str]]:
    loaded = load_datalist(output)
    return {name: {Path(item["image"]).as_posix() for item in items} for name, items in loaded.items()}


def problems(done) -> str:
    return "\n".join(str(problem) for problem in done.left_out)


def test_what_is_no_slice_is_named_and_no_error(folder, capsys):
    images = folder / "set"
    write_mask_file(images / "glioma_tumor" / "a0_mask.png")
    write_slice(images / "glioma_tumor" / "@eaDir" / "a0.png" / "thumb.jpg", 3)
    write_slice(images / "@eaDir" / "glioma_tumor" / "thumb.jpg", 3)
    (images / "no_tumor" / "._a0.png").write_bytes(b"litter")
    (images / "no_tumor" / "notes.txt").write_text("no slice")
    (images / "no_tumor" / "all").symlink_to(images)
    (folder / "elsewhere").mkdir()
    write_slice(folder / "elsewhere" / "linked.png", 77)
    (images / "no_tumor" / "linked").symlink_to(folder / "elsewhere")
    assert main(["--images", str(images), "--output", str(folder / "out")]) == 0
    told = capsys.readouterr().err
    report = json.loads((folder / "out" / "data_report.json").read_text())
    assert report["images"] == {"found": 33, "used": 33}
    assert {reason: sorted(names) for reason, names in report["passed_over"].items()} == {
        "masks beside their images": ["glioma_tumor/a0_mask.png"],
        "thumbnails and litter of file servers and systems": [
            "@eaDir/glioma_tumor/thumb.jpg",
            "glioma_tumor/@eaDir/a0.png/thumb.jpg",
            "no_tumor/._a0.png",
        ],
        "of no format that is read": ["no_tumor/notes.txt"],
    }
    for names in report["passed_over"].values():
        assert all(name in told for name in names)
    assert "--masks" in told


def test_doubtful_masks_are_named(folder):
    masks = folder / "masks" / "glioma_tumor"
    shape = (60, 56)
    whole, inverted, drawn = (np.full(shape, fill, np.uint8) for fill in (255, 255, 0))
    inverted[20:30, 20:30] = 0
    drawn[20:30, 20:30] = 255
    half = drawn.copy()
    half[:40] = 255
    Image.fromarray(whole).save(masks / "a0.png")
    Image.fromarray(inverted).save(masks / "a1.png")
    Image.fromarray(np.dstack([np.zeros((*shape, 3), np.uint8), drawn])).save(masks / "a2.png")
    Image.fromarray(np.dstack([np.full(shape, 255, np.uint8), drawn])).save(masks / "a3.png")
    Image.fromarray(half).save(masks / "a4.png")
    Image.fromarray(np.dstack([drawn, np.full(shape, 255, np.uint8)])).save(masks / "a5.png")  # an outline in grey
    report = prepare(folder / "set", folder / "out", masks=folder / "masks").report
    signs = {entry["image"].partition("/")[2]: entry["signs"] for entry in report["masks"]["glioma"]["doubtful"]}
    assert sorted(signs) == ["a0.png", "a1.png", "a2.png", "a3.png", "a4.png"]
    assert signs["a0.png"] == ["it covers 100% of the slice"]
    assert "100 pixels" in signs["a1.png"][0]
    assert "inverted" in signs["a1.png"][0]
    assert "alpha" in signs["a2.png"][0]
    assert "alpha" in signs["a3.png"][0]
    assert signs["a3.png"][1] == "it covers 100% of the slice"
    assert signs["a4.png"] == ["it covers 67% of the slice"]
    text = (folder / "out" / "data_report.md").read_text()
    assert all(f"doubtful: glioma_tumor/{name}" in text for name in signs)


def test_monai_and_our_own_loader_read_what_was_written(folder):
    done = prepare(folder / "set", folder / "out", masks=folder / "masks")
    assert done.left_out == []
    items = {name: load_decathlon_datalist(done.datalist, True, name) for name in ("training", "validation", "test")}
    assert items == load_datalist(folder / "out")
    assert [len(items[name]) for name in items] == [22, 5, 5]  # 22.4, 4.8, 4.8 of 32


def test_nothing_is_copied_and_paths_are_relative(folder):
    prepare(folder / "set", folder / "out", masks=folder / "masks")
    content = json.loads((folder / "out" / "datalist.json").read_text())
    first = content["training"][0]
    assert first["image"].startswith("../set/glioma_tumor/")
    assert first["label"].startswith("../masks/glioma_tumor/")
    assert content["class_names"] == ["glioma", "meningioma", "pituitary", "no_tumor"]
    assert not (folder / "out" / "images").exists()
    shutil.move(str(folder), str(folder) + "-moved")
    assert len(load_datalist(Path(str(folder) + "-moved") / "out")["training"]) == 22


def test_only_the_empty_class_has_all_zero_masks_and_unknown_masks_are_absent(folder):
    prepare(folder / "set", folder / "out", masks=folder / "masks")
    for items in load_datalist(folder / "out").values():
        for item in items:
            if item["class"] == 3:
                with Image.open(item["label"]) as mask, Image.open(item["image"]) as image:
                    assert mask.mode == "1"
                    assert mask.size == image.size
                    assert not np.asarray(mask).any()
            else:
                assert ("label" in item) == (item["class"] == 0)


def test_the_same_seed_gives_the_same_file_in_any_file_order_and_place(folder, tmp_path):
    prepare(folder / "set", folder / "one", split_seed=7)
    copy = tmp_path / "elsewhere" / "set"
    for path in sorted((folder / "set").rglob("*.png"), reverse=True):
        (copy / path.parent.name).mkdir(parents=True, exist_ok=True)
        shutil.copy(path, copy / path.parent.name / path.name)
    prepare(copy, tmp_path / "elsewhere" / "one", split_seed=7)
    first, second = (p / "one" / "datalist.json" for p in (folder, tmp_path / "elsewhere"))
    assert first.read_bytes() == second.read_bytes()


def test_groups_are_kept_together_and_ungrouped_images_follow_their_near_duplicates(folder):
    noise = np.random.default_rng(0).integers(0, 4, (60, 56))
    for index in range(8):  # near-duplicates of the meningiomas, which the table lacks
        copy = np.uint8(np.minimum(grey_slice(1000 + index).astype(int) + noise, 255))
        Image.fromarray(copy).save(folder / "set" / "meningioma_tumor" / f"copy{index}.png")
    table = folder / "groups.csv"
    rows = [f"{name}_tumor/a{i}.png,{name}{i // 2}" for name in ("glioma", "meningioma", "no") for i in range(8)]
    table.write_text("image,group\n" + "\n".join(rows) + "\n", encoding="utf-8")
    prepare(folder / "set", folder / "out", groups=table)
    sections: dict[str, set[str]] = {}
    members: dict[str, set[str]] = {}
    for name, items in load_datalist(folder / "out").items():
        for item in items:
            sections.setdefault(item["group"], set()).add(name)
            members.setdefault(item["group"], set()).add(Path(item["image"]).name)
    assert all(len(found) == 1 for found in sections.values())
    assert members["meningioma0"] == {"a0.png", "a1.png", "copy0.png", "copy1.png"}
    assert sum(group.startswith("near:pituitary_tumor/") for group in members) == 8


def test_mirrored_copies_share_a_group_unless_given_groups_part_them_and_then_a_warning_names_them(folder, capsys):
    for index in range(8):
        mirrored = np.ascontiguousarray(grey_slice(1000 + index)[:, ::-1])
        Image.fromarray(mirrored).save(folder / "set" / "meningioma_tumor" / f"copy{index}.png")
    prepare(folder / "set", folder / "out")
    group = {
        Path(item["image"]).stem: item["group"]
        for items in load_datalist(folder / "out").values()
        for item in items
        if item["class"] == 1
    }
    assert all(group[f"a{index}"] == group[f"copy{index}"] for index in range(8))
    assert len(set(group.values())) == 8

    rows = [f"meningioma_tumor/{name}.png,{name}" for name in group]
    (folder / "groups.csv").write_text("image,group\n" + "\n".join(rows) + "\n", encoding="utf-8")
    arguments = ["--images", folder / "set", "--groups", folder / "groups.csv", "--output", folder / "given"]
    assert main([str(argument) for argument in arguments]) == 0
    section = {
        Path(i["image"]).stem: s for s, v in load_datalist(folder / "given").items() for i in v if i["class"] == 1
    }
    divided = {f"a{index}" for index in range(8) if section[f"a{index}"] != section[f"copy{index}"]}
    across = json.loads((folder / "given" / "data_report.json").read_text())["copies"]["across"]
    assert len(across) == 8
    assert {Path(pair["images"][0]).stem for pair in across if len(set(pair["sections"])) == 2} == divided
    assert divided
    assert f"warning: {len(divided)} pairs of copies" in capsys.readouterr().err


def test_external_puts_all_to_test_and_has_no_baseline(folder):
    done = prepare(folder / "set", folder / "out", protocol="external")
    loaded = load_datalist(folder / "out", sections=["test"])
    assert len(loaded["test"]) == 32
    assert done.report["trivial_baselines"] == {"validation": {}, "test": {}}


def test_given_keeps_the_published_test_part(tmp_path):
    class_folders(tmp_path / "set" / "Training", per_class=20)
    class_folders(tmp_path / "set" / "Testing", per_class=3, start=500)
    prepare(tmp_path / "set", tmp_path / "out", protocol="given")
    sections = by_section(tmp_path / "out")
    assert {len(v) for v in sections.values()} == {68, 12}
    assert all("/Testing/" in path for path in sections["test"])
    assert not any("/Testing/" in path for path in sections["training"] | sections["validation"])
    # Masks of slices of one name in both parts are two files.
    assert len({i["label"] for v in load_datalist(tmp_path / "out").values() for i in v if i["class"] == 3}) == 23


def test_given_without_two_parts_is_refused(folder):
    with pytest.raises(InputError, match="Training and Testing"):
        prepare(folder / "set", folder / "out", protocol="given")


def test_bad_files_are_left_out_told_with_a_remedy_and_the_rest_goes_on(folder):
    images = folder / "set" / "glioma_tumor"
    (images / "zero.jpg").write_bytes(b"")
    (images / "text.jpg").write_text("no picture")
    whole = write_slice(images / "cut.png", seed=77, height=300, width=300).read_bytes()
    (images / "cut.png").write_bytes(whole[: len(whole) // 2])
    Image.fromarray(np.full((60, 60), 9, np.uint8)).save(images / "constant.png")
    Image.fromarray(np.full((60, 60), np.nan, np.float32)).save(images / "nan.tif")
    volume = np.arange(8000, dtype=np.float32).reshape(20, 20, 20)
    nibabel.save(nibabel.Nifti1Image(volume, np.eye(4)), images / "volume.nii.gz")
    write_mask_file(folder / "masks" / "glioma_tumor" / "a3.png", height=30)
    done = prepare(folder / "set", folder / "out", masks=folder / "masks")
    told = problems(done)
    assert len(done.left_out) == 7
    for fragment in (
        "zero.jpg: is empty",
        "text.jpg: is no picture",
        "cut.png: is truncated",
        "constant image",
        "NaN",
        "20 slices where one slice is expected",
        "--slices",
        "is 56x30, but its image",
    ):
        assert fragment in told
    assert done.report["images"] == {"found": 38, "used": 32}
    assert done.report["masks"]["glioma"]["unknown"] == ["glioma_tumor/a3.png"]
    assert len(done.report["left_out"]) == 7
    assert "zero.jpg" in (folder / "out" / "data_report.md").read_text(encoding="utf-8")


def test_one_file_never_stops_a_preparation(tmp_path):
    """DICOM of colours with one sample, of a size that no file has, and a JPEG that asks for gigabytes."""
    folder = class_folders(tmp_path / "in", per_class=4)
    pixels = np.zeros((8, 8), np.uint16)
    glioma = folder / "glioma_tumor"
    write_dicom(glioma / "b0.dcm", pixels, PhotometricInterpretation="RGB")
    write_dicom(glioma / "b1.dcm", pixels, Rows=65_535, Columns=65_535)
    write_dicom(glioma / "b2.dcm", pixels, NumberOfFrames=2_000_000_000)
    claims.jpeg(glioma / "b3.jpg", 13_000, 13_000)
    claims.nifti(glioma / "b4.nii", (1024, 1024, 2640), 98_000)
    done = prepare(folder, tmp_path / "out")
    assert sorted(Path(problem.path).name for problem in done.left_out) == [
        f"b{n}{s}" for n, s in enumerate((".dcm", ".dcm", ".dcm", ".jpg", ".nii"))
    ]
    assert sum(map(len, by_section(tmp_path / "out").values())) == 16


def test_names_that_are_no_text_or_of_two_lines_cost_nothing(tmp_path):
    folder = class_folders(tmp_path / "in", per_class=4)
    for number, name in enumerate(("gr\udcfc\udcdf.png", "two\nlines.png")):
        write_slice(folder / "glioma_tumor" / name, seed=50 + number)
    (folder / "glioma_tumor" / "bad\udcff.png").write_bytes(b"nothing")
    done = prepare(folder, tmp_path / "out")
    listed = set().union(*by_section(tmp_path / "out").values())
    assert {Path(name).name for name in listed} >= {"gr\udcfc\udcdf.png", "two\nlines.png"}
    assert "bad\\xff.png" in str(done.left_out[0])
    report = json.loads((tmp_path / "out" / "data_report.json").read_text(encoding="utf-8"))
    assert report["counts"]["glioma"]["total"] == 6
    assert all((tmp_path / "out" / name).is_file() for name in ("items.csv", "data_report.md"))


def test_a_mask_with_tumour_in_the_empty_class_is_told_and_counts_as_empty(folder):
    write_mask_file(folder / "masks" / "no_tumor" / "a0.png")
    done = prepare(folder / "set", folder / "out", masks=folder / "masks")
    assert "80 tumour pixels" in problems(done)
    labels = [i["label"] for v in load_datalist(folder / "out").values() for i in v if i["class"] == 3]
    assert not any(np.asarray(Image.open(label)).any() for label in labels)


def test_nothing_usable_is_one_clear_error(tmp_path):
    (tmp_path / "set" / "glioma").mkdir(parents=True)
    (tmp_path / "set" / "glioma" / "a.png").write_bytes(b"")
    with pytest.raises(InputError, match=r"none of its 1 image\(s\) can be used.*empty"):
        prepare(tmp_path / "set", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_another_datalist_is_never_lost(folder):
    prepare(folder / "set", folder / "out")
    before = (folder / "out" / "datalist.json").read_bytes()
    prepare(folder / "set", folder / "out")  # the same again is no conflict
    with pytest.raises(InputError, match="--overwrite"):
        prepare(folder / "set", folder / "out", split_seed=1)
    assert (folder / "out" / "datalist.json").read_bytes() == before
    done = prepare(folder / "set", folder / "out", split_seed=1, overwrite=True)
    old = list((folder / "out").glob("datalist.*.json"))
    assert [p.read_bytes() for p in old] == [before]
    assert old[0].name in " ".join(done.report["notes"])
    prepare(folder / "set", folder / "out", split_seed=2, overwrite=True)  # within the same second
    assert len(list((folder / "out").glob("datalist.*.json"))) == 2


def test_the_table_of_items_describes_the_source_files_even_of_a_compact_copy(folder):
    prepare(folder / "set", folder / "out", size=32)
    with (folder / "out" / "items.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 32
    for row in rows:
        source = folder / "set" / row["source"]
        assert (folder / "out" / row["image"]).is_file()
        assert (row["width"], row["height"], row["mode"]) == ("56", "60", "L")
        assert int(row["bytes"]) == source.stat().st_size
        assert row["sha256"] == hashlib.sha256(source.read_bytes()).hexdigest()


def test_a_compact_copy_needs_nothing_beside_it(folder):
    done = prepare(folder / "set", folder / "out", masks=folder / "masks", size=32)
    assert done.report["compact"]["shrunk"] == 32
    shutil.move(folder / "out", folder / "travelled")
    shutil.rmtree(folder / "set")
    shutil.rmtree(folder / "masks")
    items = [item for section in load_datalist(folder / "travelled").values() for item in section]
    assert len(items) == 32
    for item in items:
        with Image.open(item["image"]) as image:
            assert (image.mode, image.size) == ("L", (32, 34))
    assert sum("label" in item for item in items) == 16


def test_a_second_preparation_into_one_folder_is_refused_and_harms_nothing(folder):
    prepare(folder / "set", folder / "out")
    before = {path: path.read_bytes() for path in (folder / "out").rglob("*") if path.is_file()}
    with FileLock(folder / "out" / ".lock"):
        with pytest.raises(InputError, match="is being written to by another preparation"):
            prepare(folder / "set", folder / "out", split_seed=1, overwrite=True)
        assert before == {path: path.read_bytes() for path in (folder / "out").rglob("*") if path.is_file()}
    prepare(folder / "set", folder / "out", split_seed=1, overwrite=True)


def test_slices_of_one_stem_do_not_overwrite_each_other(tmp_path):
    class_folders(tmp_path / "set", per_class=2)
    write_slice(tmp_path / "set" / "no_tumor" / "a0.bmp", seed=9000, height=40)
    prepare(tmp_path / "set", tmp_path / "out", size=48)
    images = [item["image"] for section in load_datalist(tmp_path / "out").values() for item in section]
    assert len(set(images)) == 9


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"protocol": "loo"}, "--protocol"),
        ({"size": 8}, "--size"),
    ],
)
def test_an_impossible_option_is_refused(folder, options, message):
    with pytest.raises(InputError, match=message):
        prepare(folder / "set", folder / "out", **options)


def test_output_among_the_images_is_refused(folder):
    with pytest.raises(InputError, match="outside"):
        prepare(folder / "set", folder / "set" / "out")


def test_the_commands_exit_code_tells_whether_something_was_left_out(folder, capsys):
    arguments = ["--images", str(folder / "set"), "--output", str(folder / "out")]
    assert main(arguments) == 0
    assert "22 training, 5 validation, 5 test" in capsys.readouterr().out
    (folder / "set" / "glioma_tumor" / "zero.jpg").write_bytes(b"")
    assert main(arguments) == 1
    assert "zero.jpg: is empty" in capsys.readouterr().err
    assert main([*arguments, "--split-seed", "5"]) == 2
    assert "--overwrite" in capsys.readouterr().err


def test_other_classes_and_folder_names_come_by_the_command_line(tmp_path):
    for index in range(6):
        write_slice(tmp_path / "set" / "LGG scans" / f"{index}.png", index)
        write_slice(tmp_path / "set" / "high" / f"{index}.png", 100 + index)
    table = tmp_path / "map.json"
    table.write_text('{"LGG scans": "low"}', encoding="utf-8")
    code = main(
        ["--images", str(tmp_path / "set"), "--output", str(tmp_path / "out"), "--class_names", "low,high",
         "--empty_class", "none", "--folder-map", str(table)]
    )  # fmt: skip
    assert code == 0
    loaded = load_datalist(tmp_path / "out", classes=Classes(("low", "high")))
    items = [item for section in loaded.values() for item in section]
    assert sorted(item["class"] for item in items) == [0] * 6 + [1] * 6
    assert not any("label" in item for item in items)


@pytest.mark.real_data
def test_a_sample_of_real_slices_is_prepared_whole(brain_tumor_mri, tmp_path):
    for folder in sorted((brain_tumor_mri / "Training").iterdir()):
        (tmp_path / "set" / folder.name).mkdir(parents=True)
        for path in sorted(folder.glob("*.jpg"))[::40]:
            shutil.copy(path, tmp_path / "set" / folder.name)
    done = prepare(
        tmp_path / "set", tmp_path / "out", brain_tumor_mri / "masks", brain_tumor_mri / "groups.csv", split_seed=1
    )
    assert done.left_out == []
    assert done.report["masks"]["glioma"] == {"known": 21, "unknown": [], "without_tumour": [], "doubtful": []}
    assert done.report["groups"]["divided_by_split"] == 0
    assert done.report["groups"]["images_without_given_group"] == 0
    assert 0 < done.report["trivial_baselines"]["test"]["nearest_neighbour"]["accuracy"] < 1
