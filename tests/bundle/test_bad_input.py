"""Bad input on the commands that a user runs: one clear message each, with the file and what to do."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
import torch
from PIL import Image

from braintumor_ext.errors import InputErrors
from braintumor_ext.networks import write_settings
from scripts import prepare_data
from tests.bundle.tiny_net import TinyNet
from tests.bundle.workflows import FLAT, command_line, make_workflow, places, run_workflow, told
from tests.data.folders import class_folders, grey_slice, write_mask_file, write_slice

pytestmark = pytest.mark.slow

# --- what a bad file can be: each writes it at a path and returns the path ---


def truncated(path: Path) -> Path:
    write_slice(path, 77, 300, 300)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    return path


def zero_bytes(path: Path) -> Path:
    path.write_bytes(b"")
    return path


def text(path: Path) -> Path:
    path.write_text("The slices are on the other disk.\n" * 30)
    return path


def volume(path: Path) -> Path:
    values = np.random.default_rng(0).random((20, 24, 5), dtype=np.float32)
    nibabel.save(nibabel.Nifti1Image(values, np.eye(4)), path)
    return path


def frames(path: Path) -> Path:
    pages = [Image.fromarray(grey_slice(seed)) for seed in (51, 52, 53)]
    pages[0].save(path, save_all=True, append_images=pages[1:])
    return path


def with_nan(path: Path) -> Path:
    values = grey_slice(9).astype(np.float32)
    values[3:7, 5:9] = np.nan
    Image.fromarray(values).save(path)
    return path


def constant(path: Path) -> Path:
    Image.fromarray(np.full((60, 56), 12, dtype=np.uint8)).save(path)
    return path


Maker = Callable[[Path], Path]
FILES: dict[str, tuple[str, Maker, str, str]] = {
    "truncated PNG": ("bad 1.png", truncated, "truncated or damaged", "Copy it again"),
    "truncated JPEG": ("bad 2.jpg", truncated, "truncated or damaged", "Copy it again"),
    "zero bytes": ("bad 3.png", zero_bytes, "is empty (0 bytes)", "Copy it again"),
    "text named .jpg": ("bad 4.jpg", text, "is no picture", "Replace it"),
    "volume": ("bad 5.nii.gz", volume, "holds 5 slices where one slice is expected", "--slices"),
    "multi-frame TIFF": ("bad 6.tif", frames, "holds 3 slices where one slice is expected", "--slices"),
    "NaN": ("bad 7.tif", with_nan, "NaN", "leave out"),
    "constant": ("bad 8.png", constant, "constant image", "Leave it out"),
}
"""File name, how to make it, the problem that is told, and the remedy."""

SEEN_IN_HEADERS = [name for name in FILES if name not in ("NaN", "constant")]


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    """Six slices of each of the four classes, with masks of the gliomas."""
    class_folders(tmp_path / "raw", per_class=6)
    for index in range(6):
        write_mask_file(tmp_path / "masks" / "glioma_tumor" / f"a{index}.png")
    return tmp_path / "raw"


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A sound data set, to be copied before it is broken; its images lie beside it."""
    root = tmp_path_factory.mktemp("prepared")
    class_folders(root / "raw", per_class=8)
    for index in range(8):
        write_mask_file(root / "masks" / "glioma_tumor" / f"a{index}.png")
    arguments = ["--images", root / "raw", "--masks", root / "masks", "--output", root / "data", "--protocol", "random"]
    assert prepare_data.main([str(argument) for argument in arguments]) == 0
    return root


@pytest.fixture
def dataset(prepared: Path, tmp_path: Path) -> Path:
    shutil.copytree(prepared, tmp_path / "set")
    return tmp_path / "set" / "data"


@pytest.fixture(scope="module")
def ckpt_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint of the small network."""
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("models")
    torch.save(TinyNet().state_dict(), folder / "model.pt")
    return folder


def edit(dataset: Path, change: Callable[[dict[str, Any]], Any]) -> None:
    content = json.loads((dataset / "datalist.json").read_text())
    change(content)
    (dataset / "datalist.json").write_text(json.dumps(content))


def first_image(dataset: Path, section: str) -> Path:
    content = json.loads((dataset / "datalist.json").read_text())
    return dataset / content[section][0]["image"]


def train(dataset: Path, **overrides: Any) -> None:
    run_workflow(make_workflow("train", **{**places(dataset, dataset.parent), **FLAT, "epochs": 1, **overrides}))


def evaluate(dataset: Path, ckpt_dir: Path, **overrides: Any) -> None:
    where = {**places(dataset, dataset.parent), "ckpt_dir": str(ckpt_dir)}
    run_workflow(make_workflow("train", "evaluate", **{**where, **FLAT, **overrides}))


def infer(inputs: Path, ckpt_dir: Path, output: Path, **overrides: Any) -> None:
    where = {"dataset_dir": str(inputs), "ckpt_dir": str(ckpt_dir), "output_dir": str(output)}
    run_workflow(make_workflow("inference", workflow_type="infer", **{**where, **FLAT, **overrides}))


# --- preparation: the bad file is left out and told, the rest is prepared, the exit code says so ---


def prepare(raw: Path, *arguments: str) -> tuple[int, dict[str, Any]]:
    """Run the command; return its exit code and the datalist, empty if there is none."""
    output = raw.parent / "data"
    code = prepare_data.main(["--images", str(raw), "--output", str(output), *arguments])
    path = output / "datalist.json"
    return code, json.loads(path.read_text()) if path.exists() else {}


def count(datalist: dict[str, Any]) -> int:
    return sum(len(datalist[section]) for section in ("training", "validation", "test"))


def test_preparation_leaves_each_bad_file_out_and_says_so(raw, capsys):
    for name, make, *_ in FILES.values():
        make(raw / "glioma_tumor" / name)
    code, datalist = prepare(raw)
    lines = [line for line in capsys.readouterr().err.splitlines() if "left out" in line]
    report = (raw.parent / "data" / "data_report.md").read_text()
    assert code == 1
    assert count(datalist) == 24
    assert len(lines) == len(FILES)
    for name, _, problem, remedy in FILES.values():
        (told_of,) = (line for line in lines if name in line)
        assert problem in told_of
        assert remedy in told_of
        assert name in report


def test_preparation_takes_a_mask_of_another_size_for_unknown_and_says_so(raw, capsys):
    write_mask_file(raw.parent / "masks" / "glioma_tumor" / "a3.png", height=30)
    code, datalist = prepare(raw, "--masks", str(raw.parent / "masks"))
    error = capsys.readouterr().err
    assert code == 1
    assert count(datalist) == 24
    assert "is 56x30, but its image" in error
    assert "Give the mask that belongs to the image" in error
    items = [item for section in ("training", "validation", "test") for item in datalist[section]]
    assert ["label" in item for item in items if item["image"].endswith("glioma_tumor/a3.png")] == [False]
    assert sum("label" in item for item in items) == 5 + 6  # the other gliomas, and the class without tumour


def test_preparation_notes_an_empty_class_folder(raw, capsys):
    shutil.rmtree(raw / "pituitary_tumor")
    (raw / "pituitary_tumor").mkdir()
    code, datalist = prepare(raw)
    error = capsys.readouterr().err
    assert code == 0
    assert count(datalist) == 18
    assert "pituitary_tumor holds no images: put some in it" in error
    assert "class 'pituitary' has no images" in error
    assert "--class_names" in error


def test_preparation_notes_that_one_class_cannot_be_learnt(raw, capsys):
    for name in ("glioma_tumor", "pituitary_tumor", "no_tumor"):
        shutil.rmtree(raw / name)
    code, datalist = prepare(raw)
    error = capsys.readouterr().err
    assert code == 0
    assert count(datalist) == 6
    assert "all images are of one class, 'meningioma': no classifier can be trained on them. Add folders" in error


def test_preparation_leaves_out_a_folder_of_an_unknown_class(raw, capsys):
    write_slice(raw / "astrocytoma" / "x.png", 5)
    code, datalist = prepare(raw)
    error = capsys.readouterr().err
    assert code == 1
    assert count(datalist) == 24
    assert "astrocytoma: no class is known for this folder" in error
    assert "--folder-map" in error


def test_preparation_of_nothing_but_bad_files_fails(tmp_path, capsys):
    (tmp_path / "raw" / "glioma").mkdir(parents=True)
    zero_bytes(tmp_path / "raw" / "glioma" / "a.png")
    code, datalist = prepare(tmp_path / "raw")
    assert (code, datalist) == (2, {})
    assert "none of its 1 image(s) can be used" in capsys.readouterr().err


# --- training: it does not start, and all problems are told at once ---


def test_training_names_all_problems_at_once_and_touches_nothing(dataset):
    content = json.loads((dataset / "datalist.json").read_text())
    items = content["training"]
    fragments = []
    for item, kind in zip(items, SEEN_IN_HEADERS, strict=False):
        name, make, problem, remedy = FILES[kind]
        make(dataset / name)
        item["image"] = name
        item.pop("label", None)
        fragments += [(name, problem, remedy)]
    content["training"][7]["image"] = "images/gone.png"
    content["validation"][0]["class"] = "astrocytoma"
    content["test"][0]["class"] = 9
    marked = next(item for item in content["training"][8:] if "label" in item)
    write_mask_file(dataset / "masks" / "small.png", height=31)
    marked["label"] = "masks/small.png"
    fragments += [
        ("gone.png", "no such file", "Check the path"),
        ("validation[0]", "unknown class 'astrocytoma'", "Use one of"),
        ("test[0]", "unknown class 9", "Use one of"),
        ("small.png", "is 56x31, but its image", "Give the mask that belongs to the image"),
    ]
    (dataset / "datalist.json").write_text(json.dumps(content))
    models = dataset.parent / "models"
    models.mkdir()
    (models / "model.pt").write_bytes(b"an earlier model")
    with pytest.raises(Exception) as caught:
        train(dataset)
    error: BaseException | None = caught.value
    while error is not None and not isinstance(error, InputErrors):
        error = error.__cause__ or error.__context__
    assert isinstance(error, InputErrors)
    assert str(dataset / "datalist.json") in str(error)
    assert len(error.problems) == len(fragments) == 10
    for name, problem, remedy in fragments:
        lines = [line for line in error.problems if name in line and problem in line]
        assert len(lines) == 1, (name, problem)
        assert remedy in lines[0]
    assert [path.name for path in models.iterdir()] == ["model.pt"]
    assert (models / "model.pt").read_bytes() == b"an earlier model"


@pytest.mark.parametrize("kind", ["NaN", "constant"])
@pytest.mark.parametrize(("section", "cache_rate"), [("training", 1.0), ("training", 0.0), ("validation", 1.0)])
def test_training_names_the_file_whose_pixels_are_useless(dataset, kind, section, cache_rate):
    _, make, problem, remedy = FILES[kind]
    name = "bad.tif" if kind == "NaN" else "bad.png"
    make(dataset / name)

    def change(content: dict[str, Any]) -> None:
        content[section][2]["image"] = name
        content[section][2].pop("label", None)

    edit(dataset, change)
    with told(rf"{name}: .*{problem}.*{remedy}"):
        train(dataset, cache_rate=cache_rate)


def test_training_refuses_one_class_only(dataset):
    edit(dataset, lambda c: c.update(training=[item for item in c["training"] if item["class"] == 2]))
    with told("one class only, 'pituitary'.*Prepare the data from images of other classes too", InputErrors):
        train(dataset)


def test_training_tells_one_class_beside_the_other_problems(dataset):
    def change(content: dict[str, Any]) -> None:
        content["training"] = [item for item in content["training"] if item["class"] == 2]
        content["test"][0]["image"] = "gone.png"

    edit(dataset, change)
    with told(r"2 problem\(s\).*gone\.png.*one class only", InputErrors):
        train(dataset)


def test_training_without_a_datalist_names_the_command_that_makes_one(tmp_path):
    (tmp_path / "set").mkdir()
    with told(r"set: dataset_dir holds no datalist\.json\. .*python -m scripts\.prepare_data"):
        train(tmp_path / "set")
    with told(r"nowhere: dataset_dir is not a folder.*python -m scripts\.prepare_data"):
        train(tmp_path / "nowhere")


def test_a_broken_datalist_is_told_with_its_line(dataset):
    path = dataset / "datalist.json"
    path.write_text(path.read_text().replace('"split_seed": 0,', '"split_seed": 0'))
    with told(r"datalist\.json: is not valid JSON: line \d+.*Correct that line"):
        train(dataset)


@pytest.mark.parametrize("section", ["training", "validation"])
def test_training_needs_items_in_both_its_sections(dataset, section):
    edit(dataset, lambda c: c.update({section: []}))
    with told(rf"datalist\.json.*'{section}' has no items\. Prepare the data", InputErrors):
        train(dataset)


def test_other_class_names_than_the_data_were_prepared_for_are_refused(dataset):
    with told(r"prepared for the classes \['glioma'.*Run with --class_names", InputErrors):
        train(dataset, class_names=["meningioma", "glioma", "pituitary", "no_tumor"])


# --- evaluation ---


def test_evaluation_names_all_missing_files_of_its_split(dataset, ckpt_dir):
    content = json.loads((dataset / "datalist.json").read_text())
    missing = [dataset / item["image"] for item in content["test"][:2]]
    for path in missing:
        path.unlink()
    with told(rf"2 problem\(s\).*{missing[0].name}: no such file.*{missing[1].name}: no such file", InputErrors):
        evaluate(dataset, ckpt_dir)


def test_evaluation_needs_its_own_split_only(dataset, ckpt_dir):
    first_image(dataset, "training").unlink()
    evaluate(dataset, ckpt_dir)
    assert (dataset.parent / "out" / "metrics.json").exists()


def test_a_split_that_is_not_there_is_named(dataset, ckpt_dir):
    with told(r"datalist\.json.*'tset' has no items", InputErrors):
        evaluate(dataset, ckpt_dir, split="tset")


def test_evaluation_names_the_file_whose_pixels_are_useless(dataset, ckpt_dir):
    constant(first_image(dataset, "test"))
    with told(rf"{first_image(dataset, 'test').name}: constant image.*Leave it out"):
        evaluate(dataset, ckpt_dir)


# --- checkpoints, in evaluation and in inference ---


def another_network(folder: Path) -> None:
    torch.save(torch.nn.Linear(3, 2).state_dict(), folder / "model.pt")


def nested(folder: Path) -> None:
    torch.save({"model": TinyNet().state_dict(), "epoch": 3}, folder / "model.pt")


def of_three_classes(folder: Path) -> None:
    torch.save(TinyNet(num_classes=3).state_dict(), folder / "model.pt")


def no_checkpoint(folder: Path) -> None:
    (folder / "model.pt").write_text("not written by torch")


def none_at_all(folder: Path) -> None:
    pass


CHECKPOINTS = [
    (another_network, r"another architecture: missing .*unexpected bias, weight.*or another checkpoint"),
    (nested, r"not a flat state dict.*Give model\.pt"),
    (of_three_classes, r"another architecture: .*classifier\.bias \(3,\) instead of \(4,\).*class_names"),
    (no_checkpoint, r"not a readable PyTorch checkpoint.*torch\.save"),
    (none_at_all, r"no such checkpoint.*Train first"),
]


@pytest.mark.parametrize(("make", "message"), CHECKPOINTS, ids=lambda value: getattr(value, "__name__", ""))
@pytest.mark.parametrize("command", ["evaluation", "inference"])
def test_a_checkpoint_that_does_not_fit_is_told_and_nothing_is_written(prepared, tmp_path, command, make, message):
    make(tmp_path)
    with told(rf"model\.pt: .*{message}"):
        if command == "evaluation":
            evaluate(prepared / "data", tmp_path, output_dir=str(tmp_path / "out"))
        else:
            infer(prepared / "raw", tmp_path, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_checkpoint_of_other_classes_is_told_even_if_it_fits(prepared, tmp_path):
    """Four classes of other names give weights of the same shapes, and wrong predictions."""
    names = ["grade 1", "grade 2", "grade 3", "none"]
    torch.save(TinyNet().state_dict(), tmp_path / "model.pt")
    write_settings(tmp_path / "model.pt", {"class_names": names})
    with told(r"model\.pt: trained for the classes grade 1.*--class_names"):
        infer(prepared / "raw", tmp_path, tmp_path / "out")


# --- inference: the bad file has its row, the rest goes on, the exit code says so ---


def test_inference_gives_every_bad_file_its_row_and_goes_on(prepared, ckpt_dir, tmp_path):
    inputs = tmp_path / "in"
    inputs.mkdir()
    for name, make, *_ in FILES.values():
        make(inputs / name)
    shutil.copyfile(prepared / "raw" / "no_tumor" / "a0.png", inputs / "good.png")
    with pytest.raises(SystemExit) as leaving:
        infer(inputs, ckpt_dir, tmp_path / "out", explain_layer="norm")
    rows = json.loads((tmp_path / "out" / "predictions.json").read_text())["predictions"]
    assert [row["file"] for row in rows] == sorted([*(name for name, *_ in FILES.values()), "good.png"])
    errors = {row["file"]: row["error"] for row in rows}
    assert errors.pop("good.png") == ""
    for name, _, problem, remedy in FILES.values():
        assert problem in errors[name]
        assert remedy in errors[name]
        assert name in str(leaving.value.code)
    assert "8 of 9 inputs could not be predicted" in str(leaving.value.code)


@pytest.mark.parametrize(
    ("slices", "message"), [("first", "'first' is no choice of slices.*all, middle"), (-2, "-2 is no choice")]
)
def test_a_senseless_choice_of_slices_is_told(prepared, ckpt_dir, tmp_path, slices, message):
    with told(f"--slices: {message}"):
        infer(prepared / "raw", ckpt_dir, tmp_path / "out", slices=slices)


def test_inference_on_nothing_is_told(ckpt_dir, tmp_path):
    (tmp_path / "in").mkdir()
    with told("in: no supported file in it.*--dataset_dir"):
        infer(tmp_path / "in", ckpt_dir, tmp_path / "out")
    with told("nowhere: no such file or folder.*--dataset_dir"):
        infer(tmp_path / "nowhere", ckpt_dir, tmp_path / "out")


def test_the_output_cannot_be_the_inputs_own_folder(prepared, ckpt_dir):
    with told("raw: is the folder of the inputs itself.*--output_dir"):
        infer(prepared / "raw", ckpt_dir, prepared / "raw")


# --- the command line: the message alone, no traceback ---


def test_the_command_line_shows_the_message_alone(dataset):
    edit(dataset, lambda c: c["test"][0].update({"class": "astrocytoma"}))
    first_image(dataset, "training").unlink()
    done = command_line("training", "--config_file", "configs/train.json", "--dataset_dir", str(dataset))
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert sum(line.startswith("error:") for line in done.stderr.splitlines()) == 1
    told_at_last = done.stderr[done.stderr.index("error: ") :]
    assert told_at_last.startswith(f"error: {dataset.resolve() / 'datalist.json'}: 2 problem(s)\n")
    assert told_at_last.count("\n  - ") == 2


def test_the_command_line_shows_the_message_of_a_loader_s_worker_alone(dataset):
    constant(first_image(dataset, "training"))
    name = first_image(dataset, "training").name
    done = command_line(
        *("training", "--config_file", "configs/train.json", "--dataset_dir", str(dataset)),
        *("--network_def::_target_", "tests.bundle.tiny_net.TinyNet", "--pretrained", "false", "--epochs", "1"),
        *("--image_size", "32", "--cache_rate", "0.0", "--num_workers", "1"),
        *("--ckpt_dir", str(dataset.parent / "models"), "--output_dir", str(dataset.parent / "out")),
    )
    assert done.returncode == 1
    assert done.stderr.rstrip().splitlines()[-1].startswith("error: ")
    assert f"{name}: constant image (every pixel is 12). Leave it out" in done.stderr.rstrip().splitlines()[-1]
