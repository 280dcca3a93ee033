"""The documentation says what the code and the configs do."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from braintumor_ext import transforms
from braintumor_ext.classes import CLASSES
from braintumor_ext.data.prepare import PROTOCOLS
from braintumor_ext.networks import BrainTumorNet

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
STUDIES = ROOT / "studies"
PAGES = sorted(
    [*ROOT.glob("README.md"), *DOCS.rglob("*.md"), *(p for p in STUDIES.rglob("*.md") if p.parent.name != "templates")]
)
NAMES = [page.relative_to(ROOT).as_posix() for page in PAGES]
CONFIGURATION = DOCS / "reference" / "configuration.md"
FENCE = re.compile(r"^```.*?^```", re.DOTALL | re.MULTILINE)
RUNNABLE = re.compile(r"^<!-- runnable -->\n```python\n(.*?)^```", re.DOTALL | re.MULTILINE)
NO_USE = "–"


def prose(page: Path) -> str:
    return FENCE.sub("", page.read_text(encoding="utf-8"))


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", prose(page), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_every_relative_link_resolves(page: Path):
    targets = [t for t in re.findall(r"\]\(([^)\s]+)\)", prose(page)) if not re.match(r"[a-z]+:", t)]
    for target in targets:
        name, _, anchor = target.partition("#")
        linked = (page.parent / name).resolve() if name else page
        assert linked.exists(), target
        assert not anchor or anchor in anchors(linked), target


@pytest.mark.parametrize("folder", [DOCS, STUDIES], ids=["docs", "studies"])
def test_every_page_is_listed_in_its_folders_readme(folder: Path):
    text = (folder / "README.md").read_text(encoding="utf-8")
    links = re.findall(r"\]\(([^)\s]+\.md[^)\s]*)\)", text)
    listed = {(folder / target.partition("#")[0]).resolve() for target in links}
    assert {page for page in PAGES if page.is_relative_to(folder)} - {folder / "README.md"} <= listed


@pytest.mark.parametrize("name", [n for n in NAMES if RUNNABLE.search((ROOT / n).read_text(encoding="utf-8"))])
def test_code_blocks_run(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A page's blocks run one after the other, as a reader would run them."""
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {"__name__": "docs", "BUNDLE_ROOT": ROOT}
    page = ROOT / name
    text = page.read_text(encoding="utf-8")
    for block in RUNNABLE.finditer(text):
        lines_before = "\n" * text.count("\n", 0, block.start(1))  # so that an error names the page's line
        exec(compile(lines_before + block[1], str(page), "exec"), names)


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_every_python_block_is_valid_python(page: Path):
    for block in re.findall(r"^```python\n(.*?)^```", page.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE):
        compile(block, str(page), "exec")


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_every_json_block_is_valid_json(page: Path):
    for block in re.findall(r"^```json\n(.*?)^```", page.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE):
        json.loads(block)


# --- configuration.md


def config(*names: str) -> dict[str, Any]:
    merged: dict[str, Any] = {}
    for name in names:
        merged |= json.loads((ROOT / "configs" / f"{name}.json").read_text(encoding="utf-8"))
    return merged


CONFIGS = {"train": config("train"), "evaluate": config("train", "evaluate"), "infer": config("inference")}
OVERLAYS = {"calibrate": config("train", "calibrate"), "explain": config("train", "explain")}
RECIPES = [json.loads(path.read_text(encoding="utf-8")) for path in sorted((ROOT / "configs/recipes").glob("*.json"))]


def table(heading: str) -> dict[str, list[str]]:
    """The rows of a section's table, by the name in the first column."""
    section = CONFIGURATION.read_text(encoding="utf-8").split(f"## {heading}\n")[1].split("\n## ")[0]
    rows = [[cell.strip() for cell in line.strip("|").split(" | ")] for line in section.splitlines() if "| `" in line]
    return {row[0].strip("|` "): [cell.strip("| ") for cell in row[1:]] for row in rows}


OPTIONS = {name: dict(zip(CONFIGS, cells, strict=False)) for name, cells in table("Options").items()}
OVERLAY_HEADING = "Options of calibrating and explaining"
OVERLAY_OPTIONS = {name: dict(zip(OVERLAYS, cells, strict=False)) for name, cells in table(OVERLAY_HEADING).items()}


def is_literal(value: Any) -> bool:
    """Whether a config's entry is a plain value that a user may change, not a component or an expression."""
    if isinstance(value, str):
        return not value.startswith(("$", "@", "%"))
    return value is None or isinstance(value, bool | int | float) or is_list_of_text(value)


def is_list_of_text(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(v, str) and v.isidentifier() for v in value)


def as_path(value: Any) -> str | None:
    """``$@ckpt_dir + '/model.pt'`` as the table writes it, ``ckpt_dir/model.pt``."""
    match = re.fullmatch(r"\$@(\w+) \+ '(/[\w.]+)'", str(value))
    return match[1] + match[2] if match else None


@pytest.mark.parametrize("kind", CONFIGS)
def test_every_literal_of_the_configs_is_documented(kind: str):
    entries = CONFIGS[kind].items() if kind != "evaluate" else config("evaluate").items()
    wanted = {name for name, value in entries if is_literal(value) or as_path(value)}
    assert wanted
    assert wanted <= {name for name, cells in OPTIONS.items() if cells[kind] != NO_USE}


@pytest.mark.parametrize("kind", CONFIGS)
def test_every_documented_option_is_in_the_config_with_its_default(kind: str):
    for name, cells in OPTIONS.items():
        if cells[kind] == NO_USE:
            continue
        assert name in CONFIGS[kind], name
        value = CONFIGS[kind][name]
        told = cells["train"] if cells[kind] == "the same" else cells[kind]
        if as_path(value):
            assert told == f"`{as_path(value)}`", name
        elif is_literal(value):
            assert told == f"`{json.dumps(value)}`", name


@pytest.mark.parametrize("kind", OVERLAYS)
def test_the_overlays_own_options_are_documented_with_their_defaults(kind: str):
    own = {name for name, value in config(kind).items() if is_literal(value) or as_path(value)} - {"cache_rate", "amp"}
    own = {name for name in own if "::" not in name and name not in ("run",)}
    told = {name: cells[kind] for name, cells in OVERLAY_OPTIONS.items() if cells[kind] != NO_USE}
    assert own
    assert own <= set(told)
    for name, text in told.items():
        value = OVERLAYS[kind][name]
        assert text == f"`{as_path(value) or json.dumps(value)}`", name


def test_the_issues_overrides_are_all_documented():
    wanted = """dataset_dir datalist output_dir ckpt_dir device epochs batch_size image_size class_names empty_class
        in_channels pretrained learning_rate num_workers cache_rate amp val_interval random_seed resume split slices"""
    assert set(wanted.split()) <= set(OPTIONS)


def test_nested_entries_are_in_train_json_with_their_values():
    rows = table("Useful nested entries")
    assert rows
    for name, cells in rows.items():
        outer, inner = name.split("::")
        assert cells[0] == f"`{json.dumps(CONFIGS['train'][outer][inner])}`", name


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_commands_use_options_that_exist(page: Path):
    """Each ``--name`` of a bundle command is an entry of the configs, or an option of MONAI's own."""
    own = {"config_file", "bundle_root", "tracking", "net_id", "meta_file", "n"}
    known = own | {name for entries in (*CONFIGS.values(), *OVERLAYS.values(), *RECIPES) for name in entries}
    text = page.read_text(encoding="utf-8").replace("\\\n", " ")
    for line in [line for line in text.splitlines() if "-m monai.bundle run" in line]:
        options = re.findall(r" --([a-zA-Z_]+)", line.partition("monai.bundle run")[2])
        assert set(options) <= known, line


# --- facts


def test_every_public_transform_is_documented():
    text = (DOCS / "reference" / "transforms.md").read_text(encoding="utf-8")
    assert [name for name in transforms.__all__ if not re.search(rf"`{name}\b", text)] == []


def test_the_parameter_counts_are_those_of_the_network():
    text = (DOCS / "reference" / "network.md").read_text(encoding="utf-8")
    rows = dict(re.findall(r"^\| ([\w ,]+) \| ([\d,]+) \|$", text, re.MULTILINE))
    network = BrainTumorNet()

    def count(prefix: str) -> int:
        return sum(p.numel() for name, p in network.named_parameters() if name.startswith(prefix))

    measured = {
        "ResNet50 body": count("encoder.") - count("encoder.attention"),
        "CBAM, four stages": count("encoder.attention"),
        "classification head": count("classifier."),
        "feature pyramid": count("decoder.pyramid."),
        "normalisation of its levels": count("decoder.activations."),
        "mask head": count("decoder.head."),
        "total": count(""),
    }
    assert {name: int(rows[name].replace(",", "")) for name in measured} == measured
    assert f"{measured['total']:,}" in (DOCS / "README.md").read_text(encoding="utf-8")


def test_the_protocols_and_classes_are_named():
    text = (DOCS / "how-to" / "own-data.md").read_text(encoding="utf-8")
    assert [p for p in PROTOCOLS if f"`{p}`" not in text] == []
    assert OPTIONS["class_names"]["train"] == f"`{json.dumps(list(CLASSES))}`"
