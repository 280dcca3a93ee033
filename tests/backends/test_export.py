"""The export's command: what it prints, what it refuses, and that nothing is lost."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from braintumor_ext.backends import BACKENDS, Description, compare, export_network
from braintumor_ext.backends.torchscript import TorchScript
from braintumor_ext.classes import Classes
from braintumor_ext.errors import InputError
from braintumor_ext.explain import ExplainingInferer
from braintumor_ext.networks import BrainTumorNet
from scripts.export import COUNT, main

pytestmark = pytest.mark.slow

DESCRIPTION = Description(Classes(("a", "b", "c", "d")), 3, 64, {}, "model.pt", "0" * 64, "0.0.0")


class Halved(TorchScript):
    """A format that rounds the weights to half precision."""

    def convert(self, network, images):
        return super().convert(network.half().float(), images)


class Relabelled(TorchScript):
    """A format that puts two of the classes in the wrong order."""

    def convert(self, network, images):
        head = network.classifier[-1]
        with torch.no_grad():
            head.weight[[0, 1]], head.bias[[0, 1]] = head.weight[[1, 0]], head.bias[[1, 0]]
        return super().convert(network, images)


class Broken(TorchScript):
    """A format whose mask is not a number."""

    def convert(self, network, images):
        torch.nn.init.constant_(network.decoder.head.bias, float("nan"))
        return super().convert(network, images)


@pytest.mark.parametrize("name", BACKENDS)
def test_the_command_prints_the_differences_and_the_size(name, exports):
    folder, printed = exports
    path = folder / f"model{BACKENDS[name].suffix}"
    lines = printed[name].splitlines()
    assert lines[0] == f"{path}: {path.stat().st_size / 1e6:.1f} MB"
    assert "over 32 slices (drawn heads, seed 0)" in printed[name]
    for head in ("class", "mask", "features"):
        (line,) = (text for text in lines if text.split()[0] == head)
        assert 0 <= float(line.split()[1]) < 1e-4
    assert lines[-1] == "Same class: 100%"
    assert not list(folder.glob(".export*"))


@pytest.mark.parametrize(("backend", "told"), [(Halved(), "mask"), (Relabelled(), "class"), (Broken(), "mask nan")])
def test_an_export_that_differs_is_refused_and_not_kept(backend, told, eager, images, tmp_path):
    path = tmp_path / "model.ts"
    path.write_bytes(b"an earlier one")
    before = {name: value.clone() for name, value in eager.state_dict().items()}
    with pytest.raises(InputError, match=rf"model\.ts: differs from eager PyTorch by .*{told}.*It is not kept"):
        export_network(eager, backend, path, DESCRIPTION, images, "noise")
    assert [(p.name, p.read_bytes()) for p in tmp_path.iterdir()] == [("model.ts", b"an earlier one")]
    assert all(torch.equal(value, before[name]) for name, value in eager.state_dict().items())


def test_one_class_that_flips_is_refused(eager, images):
    class Flipping(torch.nn.Module):
        def forward(self, x):
            output = ExplainingInferer("none")(x, eager)
            tied = output["class"].clone()
            best = tied[0].topk(2)
            tied[0, best.indices] = best.values.flip(0)
            return {**output, "class": tied}

    agreement = compare(eager, Flipping(), images, "noise")
    assert agreement.same_class == pytest.approx(2 / 3)
    tiny = type(agreement)(3, "noise", dict.fromkeys(agreement.differences, 1e-7), agreement.same_class)
    assert "same class as eager PyTorch for only 66.7% of 3 slices" in tiny.problem
    assert type(agreement)(3, "noise", dict.fromkeys(agreement.differences, 1e-7), 1.0).problem is None


def test_differences_are_relative_to_the_largest_eager_value(eager, images):
    class Off(torch.nn.Module):
        def forward(self, x):
            output = ExplainingInferer("none")(x, eager)
            return {name: value + 0.25 for name, value in output.items()}

    with torch.no_grad():
        largest = eager(images)["mask"].abs().max()
    assert compare(eager, Off(), images, "noise").differences["mask"] == pytest.approx(0.25 / float(largest), rel=1e-4)


@pytest.fixture(scope="module")
def own(models: Path, tmp_path_factory) -> Path:
    """A checkpoint with its settings, to export again and again."""
    folder = tmp_path_factory.mktemp("own")
    for name in ("model.pt", "training.json"):
        shutil.copyfile(models / name, folder / name)
    yield folder
    shutil.rmtree(folder)


def test_an_earlier_export_is_renamed_with_both_its_files(own: Path, models: Path):
    for name in ("model.xml", "model.bin"):
        shutil.copyfile(models / name, own / name)
    assert main(["--checkpoint", str(own / "model.pt"), "--format", "openvino"]) == 0
    kept = {suffix: sorted(p.stem for p in own.glob(f"*.{suffix}")) for suffix in ("xml", "bin")}
    assert len(kept["xml"]) == 2
    assert kept["xml"] == kept["bin"]  # OpenVINO finds the weights by the graph's name


def test_own_slices_and_another_place(own: Path, tmp_path: Path, capsys):
    rng = np.random.default_rng(0)
    (tmp_path / "slices").mkdir()
    (tmp_path / "slices" / "00broken.png").write_bytes(b"no picture")
    arguments = ["--checkpoint", str(own / "model.pt"), "--format", "torchscript"]
    arguments += ["--output", str(tmp_path / "new" / "net.ts"), "--slices", str(tmp_path / "slices")]
    for number in range(COUNT - 1):
        Image.fromarray(rng.integers(0, 256, (70, 64), dtype=np.uint8)).save(tmp_path / "slices" / f"{number}.png")
    assert main(arguments) == 1
    assert "holds 31 readable slices, 32 are needed" in capsys.readouterr().err
    assert not (tmp_path / "new").exists()
    Image.fromarray(rng.integers(0, 256, (64, 80), dtype=np.uint8)).save(tmp_path / "slices" / "last.png")
    assert main(arguments) == 0
    assert "32 slices (of slices)" in capsys.readouterr().out
    assert (tmp_path / "new" / "net.ts").is_file()


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"--checkpoint": "none.pt"}, "none.pt: no such checkpoint"),
        ({"--output": "net.onnx"}, "Let it end in .ts"),
        ({"--slices": "nowhere"}, "nowhere: no such file or folder"),
    ],
)
def test_what_cannot_be_exported_is_told_with_exit_code_1(changes, told, own, tmp_path, capsys):
    options = {"--checkpoint": own / "model.pt", "--format": "torchscript", "--output": tmp_path / "net.ts"}
    options |= {name: tmp_path / value for name, value in changes.items()}
    assert main([str(part) for pair in options.items() for part in pair]) == 1
    assert told in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_a_network_without_attention_is_exported_too(images, tmp_path):
    torch.manual_seed(0)
    network = BrainTumorNet(attention=False).eval()
    assert (
        export_network(network, BACKENDS["torchscript"], tmp_path / "m.ts", DESCRIPTION, images, "noise").same_class
        == 1
    )
