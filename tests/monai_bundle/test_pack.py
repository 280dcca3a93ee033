"""The packed bundle: what is in it, what it says, and that it runs where nothing of this repository is installed."""

from __future__ import annotations

import json
import os
import re
import shutil
import zipfile
from pathlib import Path

import monai.bundle
import numpy as np
import pytest
import torch
from PIL import Image

import braintumor_ext
from braintumor_ext import Predictor
from braintumor_ext.data.phantoms import make_phantoms
from braintumor_ext.data.prepare import prepare
from braintumor_ext.errors import InputError
from braintumor_ext.files import sha256_of
from monai_bundle.model_card import evaluation_metrics
from monai_bundle.pack import NAME, main, pack
from tests.bundle.workflows import make_workflow, run_workflow
from tests.conftest import REPOSITORY
from tests.example_models import TEMPERATURE
from tests.inference.bright_square_model import SIZE, square_slice
from tests.monai_bundle.only_required import run_alone

pytestmark = pytest.mark.slow

DATA = Path(os.environ.get("BRAINTUMOR_DATA", REPOSITORY.parent / "shared" / "data"))


@pytest.fixture
def models(example_models: Path, tmp_path: Path) -> Path:
    """A copy of the example models that a test may change."""
    return Path(shutil.copytree(example_models, tmp_path / "models"))


@pytest.fixture
def slices(tmp_path: Path) -> Path:
    """Three pictures, one of them broken."""
    folder = tmp_path / "slices"
    folder.mkdir()
    for index, (height, width) in enumerate([(90, 70), (64, 80)]):
        grey, _ = square_slice(height, width, seed=index)
        Image.fromarray((grey * 255).astype(np.uint8)).save(folder / f"{index}.png")
    (folder / "broken.png").write_bytes(b"no picture")
    return folder


@pytest.fixture(scope="module")
def evaluation(example_models: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """metrics.json of the example models' own evaluation, on phantoms."""
    folder = tmp_path_factory.mktemp("phantoms")
    images = make_phantoms(folder / "images", 16, 2, SIZE, 0)
    prepare(images, folder / "dataset", masks=images / "masks", groups=images / "groups.csv")
    run_workflow(
        make_workflow(
            *("train", "evaluate"),
            dataset_dir=str(folder / "dataset"),
            ckpt_dir=str(example_models),
            output_dir=str(folder / "eval"),
            device="cpu",
        )
    )
    return folder / "eval" / "metrics.json"


# --- what is in it


def test_it_has_what_the_model_zoo_asks_for(packed_bundle):
    files = {path.relative_to(packed_bundle).as_posix() for path in packed_bundle.rglob("*") if path.is_file()}
    wanted = {"LICENSE", "docs/README.md", "models/model.pt", "models/training.json", "models/calibration.json"}
    wanted |= {f"configs/{name}.json" for name in ("metadata", "train", "evaluate", "inference")}
    wanted |= {f"configs/multi_gpu_{name}.json" for name in ("train", "inference")}
    wanted |= {"configs/logging.conf", "configs/baselines/unet.json", "scripts/prepare_data.py", "scripts/export.py"}
    assert wanted <= files
    own = {path.relative_to(REPOSITORY).as_posix() for path in (REPOSITORY / "braintumor_ext").rglob("*.py")}
    assert own <= files
    assert "braintumor_ext/reporting/templates/inference_report.html" in files
    assert not [name for name in files if "__pycache__" in name or name.startswith(("tests", "monai_bundle"))]


def test_its_documentation_has_no_broken_links(packed_bundle):
    for page in (packed_bundle / "docs").rglob("*.md"):
        prose = re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)
        for target in re.findall(r"\]\(([^)\s]+)\)", prose):
            if not re.match(r"[a-z]+:|#", target):
                assert (page.parent / target.partition("#")[0]).exists(), f"{page.name}: {target}"


def test_the_same_input_gives_the_same_bytes(models, tmp_path):
    first, second = pack(models / "model.pt", tmp_path / "a"), pack(models / "model.pt", tmp_path / "b")
    archives = [folder.with_name(f"{NAME}.zip") for folder in (first, second)]
    assert sha256_of(archives[0]) == sha256_of(archives[1])
    os.utime(models / "model.pt", (1, 1))  # the date of a file is no part of it
    before = (first.stat().st_ino, sha256_of(archives[0]))
    pack(models / "model.pt", tmp_path / "a")
    assert (first.stat().st_ino, sha256_of(archives[0])) == before
    assert sorted(path.name for path in (tmp_path / "a").iterdir()) == [NAME, f"{NAME}.zip"]


def test_the_archive_holds_the_folder(packed_bundle, tmp_path):
    with zipfile.ZipFile(packed_bundle.with_name(f"{NAME}.zip")) as archive:
        archive.extractall(tmp_path)
    listed = {p.relative_to(tmp_path).as_posix() for p in tmp_path.rglob("*") if p.is_file()}
    folder = packed_bundle.parent
    assert listed == {
        p.relative_to(folder).as_posix()
        for p in packed_bundle.rglob("*")
        if p.is_file() and "__pycache__" not in p.parts
    }
    assert all(sha256_of(tmp_path / name) == sha256_of(folder / name) for name in listed)


def test_another_checkpoint_does_not_overwrite_the_bundle_before(models, tmp_path):
    folder = pack(models / "model.pt", tmp_path / "dist")
    (models / "calibration.json").unlink()
    pack(models / "model.pt", tmp_path / "dist")
    kept = [path for path in (tmp_path / "dist").iterdir() if path.name not in (NAME, f"{NAME}.zip")]
    assert len(kept) == 2
    assert any((path / "models" / "calibration.json").is_file() for path in kept if path.is_dir())
    assert not (folder / "models" / "calibration.json").exists()


# --- what it says


def test_the_settings_of_the_checkpoint_are_the_configs_defaults(models, tmp_path):
    told = json.loads((models / "training.json").read_text())
    (models / "training.json").write_text(
        json.dumps({**told, "class_names": ["gl", "me", "pi", "none"], "empty_class": "none"})
    )
    (models / "calibration.json").unlink()
    folder = pack(models / "model.pt", tmp_path / "dist")
    for name in ("train", "inference"):
        config = json.loads((folder / "configs" / f"{name}.json").read_text())
        assert config["image_size"] == SIZE
        assert config["class_names"] == ["gl", "me", "pi", "none"]
    meta = json.loads((folder / "configs" / "metadata.json").read_text())
    outputs = meta["network_data_format"]
    for kind in ("outputs", "post_processed_outputs"):
        assert list(outputs[kind]["class"]["channel_def"].values()) == ["gl", "me", "pi", "none"]
    assert "3 none" in meta["label_classes"]


def test_the_metadata_is_complete_and_valid(packed_bundle, tmp_path):
    file = packed_bundle / "configs" / "metadata.json"
    meta = json.loads(file.read_text())
    wanted = "version changelog monai_version pytorch_version numpy_version required_packages_version task description"
    wanted += " authors copyright intended_use references eval_metrics network_data_format schema name data_source"
    assert set(wanted.split()) <= meta.keys()
    assert meta["version"] == braintumor_ext.__version__
    data_format = meta["network_data_format"]
    assert list(data_format["outputs"]) == list(data_format["post_processed_outputs"]) == ["pred", "class"]
    schema = DATA.parent / "reference" / meta["schema"].rpartition("/")[2]
    if not schema.is_file():
        pytest.skip(f"no copy of the schema beside the real data, at {schema}")
    monai.bundle.verify_metadata(meta_file=str(file), filepath=shutil.copy(schema, tmp_path))


def test_metadata_and_model_card_tell_the_checkpoints_own_evaluation(models, evaluation, tmp_path):
    folder = pack(models / "model.pt", tmp_path / "dist", evaluation)
    told = json.loads((folder / "configs" / "metadata.json").read_text())["eval_metrics"]
    measured = json.loads(evaluation.read_text())
    assert told["accuracy"] == pytest.approx(measured["classification"]["accuracy"]["value"], abs=1e-4)
    assert told["mean_dice"] == pytest.approx(measured["segmentation"]["tumour_slices"]["dice"]["value"], abs=1e-4)
    assert told["baseline_nearest_neighbour"] == measured["trivial_baselines"]["nearest_neighbour"]["accuracy"]
    card = (folder / "docs" / "README.md").read_text()
    section = card.partition("## This checkpoint")[2].partition("\n## ")[0]
    assert sha256_of(models / "model.pt") in section
    assert f"| accuracy | {measured['classification']['accuracy']['value']:.3f} (" in section
    assert card.index("## This checkpoint") < card.index("## Results")


def test_a_checkpoint_that_was_not_evaluated_says_so(packed_bundle):
    assert json.loads((packed_bundle / "configs" / "metadata.json").read_text())["eval_metrics"] == {}
    assert "**not evaluated**" in (packed_bundle / "docs" / "README.md").read_text()


def test_undefined_measures_are_left_out():
    nothing = {"value": None, "ci95": None}
    rates = ("accuracy", "macro_precision", "macro_recall", "macro_f1", "macro_roc_auc")
    evaluation = {
        "classification": {name: {"value": 0.5} for name in rates} | {"macro_roc_auc": nothing},
        "segmentation": {"tumour_slices": {"dice": nothing, "iou": {"value": 0.12345}}},
        "calibration": {name: {"value": 0.1} for name in ("ece", "nll", "brier")},
        "trivial_baselines": {},
    }
    told = evaluation_metrics(evaluation)
    assert told["mean_iou"] == pytest.approx(0.12345, abs=1e-4)
    assert "mean_dice" not in told
    assert "macro_roc_auc" not in told


# --- bad input


def test_an_evaluation_of_another_checkpoint_is_refused(models, evaluation, tmp_path):
    measured = json.loads(evaluation.read_text())
    measured["context"]["checkpoint_sha256"] = "0" * 64
    other = tmp_path / "metrics.json"
    other.write_text(json.dumps(measured))
    with pytest.raises(InputError, match=r"metrics\.json: is the evaluation of another checkpoint"):
        pack(models / "model.pt", tmp_path / "dist", other)
    other.write_text("{}")
    with pytest.raises(InputError, match="is no evaluation"):
        pack(models / "model.pt", tmp_path / "dist", other)
    assert not (tmp_path / "dist").exists()


def test_a_calibration_of_another_checkpoint_is_refused(models, tmp_path):
    state = torch.load(models / "model.pt", weights_only=True)
    torch.save(
        {key: value + 1 if key.endswith("head.bias") else value for key, value in state.items()}, models / "model.pt"
    )
    (models / "training.json").unlink()
    with pytest.raises(InputError, match=r"calibration\.json: it was fitted to another"):
        pack(models / "model.pt", tmp_path / "dist")


@pytest.mark.parametrize("content", [None, b"no checkpoint"])
def test_what_is_no_checkpoint_is_refused_in_one_line(content, tmp_path, capsys):
    checkpoint = tmp_path / "model.pt"
    if content is not None:
        checkpoint.write_bytes(content)
    assert main(["--checkpoint", str(checkpoint), "--output", str(tmp_path / "dist")]) == 2
    told = capsys.readouterr().err
    assert told.startswith(f"error: {checkpoint}")
    assert "Traceback" not in told
    assert not (tmp_path / "dist").exists()


# --- it runs alone

CHECKS = """
import json, sys
from pathlib import Path

root = Path(sys.argv[1])
import monai.bundle
for config, entry in (  # what servers ask of a config by itself, without its initialize
    ("train", "network_def"), ("inference", "network_def"), ("inference", "preprocessing"), ("inference", "inferer"),
    ("inference", "postprocessing"),
):
    sys.path[:] = [path for path in sys.path if path != str(root)]
    for name in [name for name in sys.modules if name.partition(".")[0] == "braintumor_ext"]:
        del sys.modules[name]
    parser = monai.bundle.ConfigParser()
    parser.read_config(str(root / "configs" / f"{config}.json"))
    parser["bundle_root"] = str(root)
    assert parser.get_parsed_content(entry) is not None
files = dict(meta_file=str(root / "configs/metadata.json"), bundle_root=str(root), device="cpu", n=2)
classes = json.loads((root / "configs/metadata.json").read_text())["network_data_format"]["outputs"]["class"]
for config in ("train", "inference"):
    config_file = str(root / "configs" / f"{config}.json")
    monai.bundle.verify_net_in_out(net_id="segmentation_network", config_file=config_file, **files)
    override = {"_meta_::network_data_format::outputs::pred": classes}
    monai.bundle.verify_net_in_out(net_id="classification_network", config_file=config_file, **files, **override)
network = monai.bundle.load(
    name=root.name, bundle_dir=str(root.parent), device="cpu",
    args_file={"bundle_root": str(root), "logging_file": False},
)
workflow = monai.bundle.create_workflow(
    config_file=str(root / "configs/inference.json"), workflow_type="infer", bundle_root=str(root), logging_file=False,
    dataset_dir=sys.argv[2], output_dir="out", device="cpu",
)
workflow.initialize()
assert workflow.check_properties() == [], workflow.check_properties()
import braintumor_ext
assert Path(braintumor_ext.__file__).is_relative_to(root), braintumor_ext.__file__
print("class of", type(network).__name__)
"""


@pytest.fixture
def elsewhere(packed_bundle: Path, tmp_path: Path) -> Path:
    """The packed bundle on a path of its own, with a space in it."""
    return Path(shutil.copytree(packed_bundle, tmp_path / "other place" / NAME))


@pytest.mark.slow
def test_monai_loads_and_checks_it_from_any_directory_without_installation(elsewhere, slices, tmp_path):
    script = tmp_path / "checks.py"
    script.write_text(CHECKS)
    ran = run_alone(elsewhere, tmp_path / "site", str(script), str(elsewhere), str(slices), cwd=tmp_path)
    assert ran.returncode == 0, ran.stderr
    assert "class of BrainTumorNet" in ran.stdout


@pytest.mark.slow
def test_it_predicts_as_the_repository_does(elsewhere, example_models, slices, tmp_path):
    arguments = ("-m", "monai.bundle", "run", "--config_file", str(elsewhere / "configs" / "inference.json"))
    arguments += ("--bundle_root", str(elsewhere), "--dataset_dir", str(slices), "--output_dir", "out")
    ran = run_alone(elsewhere, tmp_path / "site", *arguments, "--device", "cpu", "--num_workers", "1", cwd=tmp_path)
    assert ran.returncode == 1, ran.stderr  # of three slices one is broken
    assert "Traceback" not in ran.stderr
    assert "1 of 3 inputs could not be predicted:\n  broken.png: is no picture" in ran.stderr
    rows = json.loads((tmp_path / "out" / "predictions.json").read_text())["predictions"]
    predictor = Predictor.from_bundle(REPOSITORY, example_models / "model.pt", "cpu")
    assert [row["file"] for row in rows] == ["0.png", "1.png", "broken.png"]
    # in one batch, as the command predicts them: another batch size may round otherwise
    for row, prediction in zip(rows[:2], predictor([slices / row["file"] for row in rows[:2]]), strict=True):
        assert prediction.calibrated
        assert [row[f"p_{name}"] for name in prediction.probabilities] == pytest.approx(
            list(prediction.probabilities.values()), abs=1e-5
        )
        mask = np.asarray(Image.open(tmp_path / "out" / row["mask"])) > 0
        assert np.array_equal(mask, prediction.mask)
        assert mask.any()
    assert f"temperature {TEMPERATURE}" in (tmp_path / "out" / "report.html").read_text()


@pytest.mark.slow
def test_it_prepares_trains_and_evaluates_alone(elsewhere, tmp_path):
    images = make_phantoms(tmp_path / "images", 8, 2, 64, 0)
    site = tmp_path / "site"
    prepared = ("--images", str(images), "--masks", str(images / "masks"), "--groups", str(images / "groups.csv"))
    ran = run_alone(elsewhere, site, "-m", "scripts.prepare_data", *prepared, "--output", "dataset", cwd=elsewhere)
    assert ran.returncode == 0, ran.stderr
    run = ("-m", "monai.bundle", "run")
    small = ("--batch_size", "8", "--num_workers", "0", "--device", "cpu")
    train = ("training", "--config_file", "configs/train.json", "--epochs", "1", "--pretrained", "false", *small)
    ran = run_alone(elsewhere, site, *run, *train, cwd=elsewhere)
    assert ran.returncode == 0, ran.stderr
    trained = json.loads((elsewhere / "models" / "training.json").read_text())
    assert trained["sha256"] == sha256_of(elsewhere / "models" / "model.pt")
    assert not (elsewhere / "models" / "calibration.json").exists()  # it was another checkpoint's: renamed
    evaluate = ("evaluating", "--config_file", "['configs/train.json','configs/evaluate.json']", *small)
    ran = run_alone(elsewhere, site, *run, *evaluate, cwd=elsewhere)
    assert ran.returncode == 0, ran.stderr
    measured = json.loads((elsewhere / "eval" / "metrics.json").read_text())
    assert measured["context"]["checkpoint_sha256"] == trained["sha256"]
