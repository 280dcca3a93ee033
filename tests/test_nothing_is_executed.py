"""What comes from a file or a client is data: a text that a config, a checkpoint or a table would run never runs.

Each place is given something that leaves a trace where it runs. The outcome is one clear error that names the place, or
the usual prediction where any text may stand there, as in a file's name.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from monai.bundle import ConfigParser, ConfigWorkflow
from PIL import Image

from braintumor_ext import Predictor
from braintumor_ext.backends import BACKENDS, METADATA_KEY, Description, load_exported
from braintumor_ext.calibration import read_calibration
from braintumor_ext.classes import CLASSES
from braintumor_ext.config_text import check_plain, verbatim
from braintumor_ext.data.datalist import load_section
from braintumor_ext.data.phantoms import make_phantoms
from braintumor_ext.data.prepare import prepare
from braintumor_ext.dicom_output import read_algorithm
from braintumor_ext.errors import InputError, plain_message
from braintumor_ext.files import sha256_of
from braintumor_ext.networks import load_checkpoint, read_settings, write_settings
from braintumor_ext.networks.pretrained import load_pretrained
from monai_bundle.label_app.bundle import Bundle, usable_device
from monai_bundle.label_app.training_request import check_training_request
from monai_bundle.pack import pack
from tests.bundle.tiny_net import TinyNet
from tests.bundle.workflows import ROOT, make_workflow, run_workflow
from tests.inference.bright_square_model import SIZE, square_slice
from tests.inference.conftest import inference_workflow

TRACE = "TRACE"
RUN = f"$__import__('pathlib').Path('{TRACE}').touch()"
INSTANCE = {"_target_": "os.mkdir", "path": TRACE}
REFERENCES = ["@run", "%other.json::run", "$@run"]


class Payload:
    """Leaves the trace when it is unpickled."""

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (Path(TRACE),)


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory, in which the trace would be left."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "other.json").write_text(json.dumps({"run": RUN}))
    return tmp_path


@pytest.fixture(autouse=True)
def _no_trace(folder: Path) -> Any:
    yield
    assert not list(folder.rglob(TRACE))


def refused(call: Callable[[], Any], *words: str) -> None:
    """Expect one clear error, in one line, that holds some words; MONAI may have wrapped it."""
    with pytest.raises(Exception) as caught:
        call()
    message = plain_message(caught.value)
    assert message is not None, caught.value
    for word in words:
        assert word in message


def slice_file(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray((square_slice()[0] * 255).astype("uint8")).save(path)
    return path


def copied(example_models: Path, folder: Path) -> Path:
    return Path(shutil.copytree(example_models, folder / "models")) / "model.pt"


def test_the_trace_would_be_left(folder: Path) -> None:
    ConfigParser({"run": RUN}).get_parsed_content("run")
    (folder / TRACE).unlink()
    ConfigParser({"run": INSTANCE}).get_parsed_content("run")
    (folder / TRACE).rmdir()
    torch.save(Payload(), folder / "payload.pt")
    torch.load(folder / "payload.pt", weights_only=False)
    (folder / TRACE).unlink()


# --- checkpoints


@pytest.mark.parametrize("content", [Payload(), {"encoder.conv1.weight": Payload()}], ids=["whole", "inside"])
def test_a_checkpoint_is_not_unpickled(content: Any, folder: Path) -> None:
    path = folder / "model.pt"
    torch.save(content, path)
    for use in (
        lambda: load_checkpoint(path),
        lambda: Predictor.from_bundle(ROOT, path, "cpu"),
        lambda: pack(path, folder / "dist"),
        lambda: load_pretrained(TinyNet(), path),
        lambda: load_pretrained(load_checkpoint(folder / "missing.pt")[0], path),
    ):
        refused(use)
    for backend in BACKENDS.values():
        path.rename(path := folder / f"model{backend.suffix}")
        refused(lambda backend=backend: load_exported(backend, folder / "model.pt"), path.name)


def test_last_pt_is_not_unpickled(folder: Path) -> None:
    make_phantoms(folder / "images", 8, 2, 64, 0, progress=False)
    prepare(folder / "images", folder / "dataset", groups=folder / "images" / "groups.csv")
    (folder / "models").mkdir()
    torch.save({"network": Payload(), "epoch": 1}, folder / "models" / "last.pt")
    net = {"_target_": "tests.bundle.tiny_net.TinyNet", "in_channels": "@in_channels", "num_classes": 4}
    places = {"dataset_dir": "dataset", "ckpt_dir": "models", "output_dir": "out"}
    for stranger in (None, {"network": {}}, [1], torch.nn.Linear(1, 1)):
        if stranger is not None:
            torch.save(stranger, folder / "models" / "last.pt")
        workflow = make_workflow("train", image_size=32, network_def=net, resume=True, epochs=2, **places)
        with pytest.raises(Exception) as caught:
            run_workflow(workflow)
        message = str(plain_message(caught.value))
        assert "last.pt: cannot be resumed (" in message
        assert "--resume false" in message
        assert "weights_only" not in message  # torch's advice
        assert "trust" not in message


# --- what lies beside a checkpoint


@pytest.mark.parametrize("text", [RUN, *REFERENCES, INSTANCE, [RUN], {"a": [RUN]}], ids=str)
@pytest.mark.parametrize("name", ["class_names", "empty_class", "in_channels", "image_size", "batch_size", "network"])
def test_the_settings_of_a_checkpoint(name: str, text: Any, folder: Path) -> None:
    path = folder / "model.pt"
    torch.save(torch.nn.Linear(1, 1).state_dict(), path)
    for value in [text] if name != "class_names" else [text, ["a", text]]:
        write_settings(path, {name: value})
        for use in (
            lambda: read_settings(path),
            lambda: Predictor.from_bundle(ROOT, path, "cpu"),
            lambda: pack(path, folder / "dist"),
            lambda: make_workflow("inference", ckpt_dir=".").parser.get_parsed_content("network_def"),
        ):
            refused(use, "training.json", name)


@pytest.mark.parametrize("text", [RUN, INSTANCE], ids=str)
def test_a_calibration(text: Any, example_models: Path, folder: Path) -> None:
    checkpoint = copied(example_models, folder)
    path = checkpoint.with_name("calibration.json")
    content = json.loads(path.read_text())
    slice_file(folder / "in" / "a.png")
    for name in content:
        path.write_text(json.dumps({**content, name: text}))
        refused(lambda: read_calibration(path, checkpoint), "calibration.json")
    workflow = inference_workflow(folder / "in", folder / "out", checkpoint.parent)
    refused(lambda: run_workflow(workflow), "calibration.json")


# --- exports

DESCRIPTION = Description(
    classes=CLASSES,
    in_channels=3,
    image_size=64,
    preprocessing={"channels": 3, "mean": [0.485], "grey": "luma"},
    checkpoint="model.pt",
    sha256="0" * 64,
    bundle_version="1",
    agreement={"slices": 32, "differences": {"class": 1e-6}},
    content_sha256="1" * 64,
)


@pytest.mark.parametrize("text", [RUN, *REFERENCES, INSTANCE, [RUN], {"a": [RUN]}], ids=str)
@pytest.mark.parametrize("name", list(json.loads(DESCRIPTION.to_json())))
def test_the_description_of_an_export(name: str, text: Any) -> None:
    content = json.loads(DESCRIPTION.to_json())
    assert Description.from_json(json.dumps(content)) == DESCRIPTION
    with pytest.raises(ValueError, match=f"{name} is "):
        Description.from_json(json.dumps({**content, name: text}))
    if isinstance(content[name], list | dict):
        nested = [text] if isinstance(content[name], list) else {**content[name], "more": [text]}
        with pytest.raises(ValueError, match=f"{name} is "):
            Description.from_json(json.dumps({**content, name: nested}))


@pytest.mark.parametrize("name", ["class_names", "empty_class", "in_channels"])
def test_a_description_that_lacks_an_entry(name: str) -> None:
    content = json.loads(DESCRIPTION.to_json())
    del content[name]
    with pytest.raises(ValueError, match="not a description of an exported network"):
        Description.from_json(json.dumps(content))


@pytest.mark.parametrize("name", ["class_names", "image_size", "empty_class"])
def test_an_export_s_file_with_a_description_that_runs(name: str, example_models: Path, folder: Path) -> None:
    checkpoint = copied(example_models, folder)
    text = json.dumps({**json.loads(replace(DESCRIPTION, sha256=sha256_of(checkpoint)).to_json()), name: RUN})
    path = checkpoint.with_suffix(".ts")
    torch.jit.save(torch.jit.script(torch.nn.ReLU()), str(path), _extra_files={f"{METADATA_KEY}.json": text.encode()})
    refused(lambda: Predictor.from_bundle(ROOT, checkpoint, "cpu", backend="torchscript"), "model.ts", name)
    workflow = inference_workflow(
        slice_file(folder / "a.png"), folder / "out", checkpoint.parent, backend="torchscript"
    )
    refused(lambda: run_workflow(workflow), "model.ts", name)


# --- data sets


@pytest.mark.parametrize("key", ["image", "label", "class", "group", "slice", "note"])
@pytest.mark.parametrize("text", [RUN, "@dataset_dir", "%other.json::run", INSTANCE], ids=str)
def test_a_datalist(key: str, text: Any, folder: Path) -> None:
    for name in "abcd":
        slice_file(folder / "dataset" / f"{name}.png")
    items = [{"image": f"{name}.png", "class": index % 2} for index, name in enumerate("abcd")]
    content = {"training": items[:2], "validation": [{**items[2], key: text}], "test": items[3:]}
    (folder / "dataset" / "datalist.json").write_text(json.dumps(content))
    parser = make_workflow("train", dataset_dir="dataset", ckpt_dir="models").parser
    try:
        parser.get_parsed_content("validate::dataset::data")
        loaded = load_section("dataset", None, "validation")
    except Exception as error:
        assert "datalist.json" in str(plain_message(error))  # noqa: PT017
        assert key != "note"
    else:
        assert loaded[0][key] == text
        assert key in ("group", "note")


def test_names_of_files_and_folders_given_to_preparation(folder: Path) -> None:
    images = make_phantoms(folder / "images", 8, 2, 64, 0, progress=False)
    for number, path in enumerate(sorted(images.rglob("*.png"))):
        path.rename(path.with_name(f"{RUN.replace('/', '')}{number}.png"))
    images.rename(folder / RUN)
    assert prepare(Path(RUN), folder / "@dataset").left_out == []
    assert json.loads((folder / "@dataset" / "datalist.json").read_text())["name"] == RUN


# --- bundles


@pytest.mark.parametrize("text", [RUN, "%other.json::run"])
def test_the_metadata_of_a_packed_bundle(text: str, packed_bundle: Path, folder: Path) -> None:
    bundle = Path(shutil.copytree(packed_bundle, folder / "bundle"))
    path = bundle / "configs" / "metadata.json"
    content = json.loads(path.read_text())
    hostile = {name: text if isinstance(value, str) else value for name, value in content.items()}
    path.write_text(json.dumps({**hostile, "more": [INSTANCE, [text]]}))
    found = read_algorithm(path, bundle / "models" / "model.pt")
    assert (found.name, found.version) == (text, text)
    assert Bundle(bundle).metadata["description"] == text
    source = slice_file(folder / "in" / "a.png")
    assert Predictor.from_bundle(bundle, device="cpu")(source).error is None
    workflow = ConfigWorkflow(
        config_file=str(bundle / "configs" / "inference.json"),
        meta_file=str(path),
        logging_file=False,
        workflow_type="infer",
        **{"bundle_root": str(bundle), "dataset_dir": "in", "output_dir": "out", "device": "cpu"},
    )
    try:
        run_workflow(workflow)
    except Exception as error:  # a macro is looked up by MONAI itself, before anything is asked of the bundle
        assert text.startswith("%"), error  # noqa: PT017


def test_the_settings_of_a_packed_bundle(packed_bundle: Path, folder: Path) -> None:
    bundle = Path(shutil.copytree(packed_bundle, folder / "bundle"))
    path = bundle / "models" / "training.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "class_names": ["a", RUN]}))
    refused(lambda: Predictor.from_bundle(bundle, device="cpu"), "training.json", "class_names")
    refused(lambda: Bundle(bundle).predictor(), "training.json", "class_names")


# --- inference

NAME = RUN.replace("/", "") + ".png"


def test_a_file_of_any_name_gets_its_usual_prediction(example_models: Path, folder: Path) -> None:
    names = [NAME, f"@{NAME}", f"%{NAME}", "a#b.png", "@#x.png", "@::run.png", "%other.json::run.png"]
    for name in names:
        slice_file(folder / "in" / Path(name).stem / name)  # in a folder of that name, too
    run_workflow(inference_workflow(folder / "in", folder / "out", example_models))
    rows = json.loads((folder / "out" / "predictions.json").read_text())["predictions"]
    assert {row["file"] for row in rows} == {f"{Path(name).stem}/{name}" for name in names}
    for row in rows:
        assert row["error"] == ""
        assert (folder / "out" / row["mask"]).is_file()


@pytest.mark.parametrize("place", ["root", "checkpoint", "exported", "device"])
@pytest.mark.parametrize("name", [RUN.replace("/", ""), "@run", "%other.json::run", "a#b"])
def test_a_path_given_to_the_predictor(name: str, place: str, example_models: Path, folder: Path) -> None:
    os.symlink(ROOT, folder / name)
    if place == "root":
        with pytest.raises(InputError, match=r"model\.pt"):
            Predictor.from_bundle(name, folder / "no model.pt", device="cpu")
    elif place == "checkpoint":
        (folder / name).unlink()
        os.symlink(example_models, folder / name)
        found = Predictor.from_bundle(ROOT, f"{name}/model.pt", device="cpu")
        assert found.postprocessor.calibration is not None  # found beside it
        assert found.postprocessor.image_size == SIZE
    elif place == "exported":
        refused(
            lambda: load_exported(BACKENDS["onnx"], example_models / "model.pt", f"{name}/x.onnx"), f"{name}/x.onnx"
        )
    else:
        with pytest.raises(Exception, match=r"device|Invalid"):
            Predictor.from_bundle(ROOT, example_models / "model.pt", device=name)


# --- MONAI Label


@pytest.mark.parametrize("device", [RUN, "@run", "%x", ["$x"], {"a": 1}, "gpu"], ids=str)
def test_a_device_that_a_client_asks_for(device: Any) -> None:
    with pytest.raises(InputError, match="device"):
        usable_device(device)
    with pytest.raises(InputError, match="device"):
        check_training_request({"device": device})


@pytest.mark.parametrize("text", [RUN, *REFERENCES, INSTANCE, [RUN], {"a": [RUN]}], ids=str)
@pytest.mark.parametrize(
    "name", ["max_epochs", "run_id", "tracking", "tracking_uri", "tracking_experiment_name", "model_filename", "gpus"]
)
def test_a_training_that_a_client_asks_for(name: str, text: Any) -> None:
    with pytest.raises(InputError, match=name):
        check_training_request({"model": "x", name: text})


@pytest.mark.parametrize("value", ["1", 0, -1, True, 1.5, None])
def test_epochs_that_are_no_count(value: Any) -> None:
    with pytest.raises(InputError, match="max_epochs"):
        check_training_request({"max_epochs": value})


@pytest.mark.parametrize("name", ["../../x.pt", "/x.pt", "a/b.pt", "", "..", ["../x.pt"]])
def test_a_checkpoint_outside_of_the_bundle(name: Any) -> None:
    with pytest.raises(InputError, match="model_filename"):
        check_training_request({"model_filename": name})


def test_what_clients_usually_ask_for_is_allowed() -> None:
    check_training_request(
        {
            "model": "brain_tumor",
            "max_epochs": 50,
            "device": ["cpu", "cuda:0"],
            "val_split": 0.2,
            "multi_gpu": True,
            "gpus": "all",
            "tracking": ["None", "mlflow"],
            "tracking_uri": "",
            "tracking_experiment_name": "",
            "run_id": "",
            "model_filename": ["model.pt"],
            "client_id": "user-xyz",
        }
    )


# --- the tools


@pytest.mark.parametrize("value", [RUN, *REFERENCES, [RUN], {"a": RUN}, {"$a": 1}, INSTANCE, {1: 2}, range(3)], ids=str)
def test_what_is_not_plain(value: Any) -> None:
    with pytest.raises(ValueError, match=r", which a config would|no plain value"):
        check_plain(value)


@pytest.mark.parametrize("value", [None, True, 1, 0.5, "a", "a $b @c %d", [1, ["a"]], {"a": {"b": None}}], ids=str)
def test_what_is_plain(value: Any) -> None:
    check_plain(value)
    assert verbatim(value) == value


@pytest.mark.parametrize(
    "text", [RUN, "@run", "%x", "a#b", "/a@#b", "@::x", "$import os", "it's \"#\\x23\\", "#\udcff\n"]
)
def test_a_text_in_a_config_is_that_very_text(text: str) -> None:
    parser = ConfigParser({"text": verbatim(text), "longer": "$@text + '!'"})
    assert parser.get_parsed_content("text") == text
    assert parser.get_parsed_content("longer") == text + "!"
    parser["list"] = verbatim([text, {"k": (text,)}])
    assert parser.get_parsed_content("list") == [text, {"k": [text]}]
