"""metadata.json, as the model zoo and MONAI's tools read it."""

from __future__ import annotations

import json
import os
import re
import shutil
from pathlib import Path

import monai.bundle
import pytest

import braintumor_ext
from braintumor_ext.classes import CLASSES
from tests.bundle.workflows import ROOT, make_workflow

META = json.loads((ROOT / "configs" / "metadata.json").read_text(encoding="utf-8"))
DATA = Path(os.environ.get("BRAINTUMOR_DATA", ROOT.parent / "shared" / "data"))


def test_it_has_what_every_bundle_needs():
    needed = {"version", "changelog", "monai_version", "pytorch_version", "numpy_version", "required_packages_version"}
    needed |= {"task", "description", "authors", "copyright", "network_data_format", "schema", "name"}
    assert needed <= META.keys()
    assert "optional_packages_version" not in META  # the name of old


def test_its_version_is_the_packages_and_stands_in_the_changelog():
    assert META["version"] == braintumor_ext.__version__
    assert META["version"] in META["changelog"]


def pins_of(name: str) -> dict[str, str]:
    pins = re.findall(r"^([A-Za-z0-9_.-]+)==([^\s;+]+)", (ROOT / name).read_text(), re.MULTILINE)
    return {name.lower().replace("_", "-"): version for name, version in pins}


def test_what_is_installed_by_hashes_is_what_the_constraints_pin():
    hashed, pins = pins_of("requirements-hashed.txt"), pins_of("constraints.txt")
    assert {name: pins.get(name, version) for name, version in hashed.items()} == hashed
    text = (ROOT / "setup.cfg").read_text()
    wanted = set(
        re.findall(
            r"^    ([A-Za-z0-9-]+)>=",
            text.partition("install_requires")[2].partition("[options.packages")[0],
            re.MULTILINE,
        )
    )
    assert {name.lower() for name in wanted} <= hashed.keys()
    entries = re.split(r"^(?=\S)", (ROOT / "requirements-hashed.txt").read_text(), flags=re.MULTILINE)[1:]
    assert len(entries) == len(hashed)
    assert all(re.search(r"--hash=sha256:[0-9a-f]{64}", entry) for entry in entries)


def test_its_package_versions_are_those_that_are_installed_by_the_constraints():
    pins = pins_of("constraints.txt")
    stated = {
        "monai": META["monai_version"],
        "torch": META["pytorch_version"],
        "numpy": META["numpy_version"],
        **META["required_packages_version"],
    }
    assert stated == {name: pins[name.lower().replace("_", "-")] for name in stated}


def test_the_mask_is_the_first_output_and_the_classes_are_in_their_order():
    outputs = META["network_data_format"]["outputs"]
    assert list(outputs) == ["pred", "class"]
    assert outputs["pred"]["num_channels"] == 1
    assert list(outputs["class"]["channel_def"].values()) == list(CLASSES)
    assert outputs["class"]["num_channels"] == len(CLASSES)


def test_the_inputs_range_is_what_normalised_black_and_white_are():
    workflow = make_workflow("train")
    workflow.initialize()
    normalise = workflow.parser.get_parsed_content("to_network::1")
    mean, std = normalise.normalizer.subtrahend, normalise.normalizer.divisor
    low = min(-m / s for m, s in zip(mean, std, strict=True))
    high = max((1 - m) / s for m, s in zip(mean, std, strict=True))
    assert META["network_data_format"]["inputs"]["image"]["value_range"] == pytest.approx([low, high], abs=0.005)


def test_it_is_valid_against_the_schema(tmp_path):
    schema = DATA.parent / "reference" / META["schema"].rpartition("/")[2]
    if not schema.is_file():
        pytest.skip(f"no copy of the schema beside the real data, at {schema}")
    monai.bundle.verify_metadata(
        meta_file=str(ROOT / "configs" / "metadata.json"), filepath=shutil.copy(schema, tmp_path)
    )
