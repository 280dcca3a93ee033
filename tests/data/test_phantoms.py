from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy.ndimage import binary_dilation, binary_erosion, binary_fill_holes, distance_transform_edt, label

from braintumor_ext.classes import CLASSES, class_of_folder
from braintumor_ext.data.phantom_head import cavity_distance, draw_head, head_distance
from braintumor_ext.data.phantom_shapes import Noise
from braintumor_ext.data.phantoms import FIELD_OF_VIEW, PLANES, make_phantoms, phantom_slice, scan, slice_points
from braintumor_ext.errors import InputError
from scripts.make_phantoms import main

TUMOUR_CLASSES = ("glioma", "meningioma", "pituitary")
HEADS, SLICES, SIZE = 24, 3, 96
MM_PER_PIXEL = max(FIELD_OF_VIEW.values()) / SIZE


@pytest.fixture(scope="module")
def phantoms(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_phantoms(tmp_path_factory.mktemp("phantoms"), HEADS, SLICES, SIZE, seed=3, progress=False)


@pytest.fixture(scope="module")
def rows(phantoms: Path) -> list[dict[str, str]]:
    with (phantoms / "groups.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def contents(root: Path) -> dict[str, bytes]:
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in root.rglob("*") if path.is_file()}


def slices(phantoms: Path, rows: list[dict[str, str]], class_name: str) -> list[tuple[str, np.ndarray, np.ndarray]]:
    """Name, picture and mask of each slice of a class."""
    names = [row["image"] for row in rows if class_of_folder(Path(row["image"]).parent.name) == class_name]
    return [
        (name, np.asarray(Image.open(phantoms / "Training" / name)), np.asarray(Image.open(phantoms / "masks" / name)))
        for name in names
    ]


def head_outline(picture: np.ndarray) -> np.ndarray:
    """All that the skin encloses, found from the picture alone."""
    parts, _ = label(picture > 45)
    largest = parts == np.bincount(parts.ravel())[1:].argmax() + 1
    return binary_fill_holes(binary_dilation(largest, iterations=2))


def test_the_same_arguments_give_the_same_bytes(tmp_path: Path) -> None:
    first = make_phantoms(tmp_path / "a", 4, 2, 64, seed=5, progress=False)
    second = make_phantoms(tmp_path / "b", 4, 2, 64, seed=5, progress=False)
    assert contents(first) == contents(second)


def test_another_seed_gives_other_slices(tmp_path: Path) -> None:
    first = contents(make_phantoms(tmp_path / "a", 4, 1, 64, seed=5, progress=False))
    second = contents(make_phantoms(tmp_path / "b", 4, 1, 64, seed=6, progress=False))
    pictures = [name for name in first if name.startswith("Training")]
    assert len(pictures) == 4
    assert all(first[name] != second[name] for name in pictures)


def test_more_heads_or_slices_leave_the_others_as_they_are(tmp_path: Path) -> None:
    few = contents(make_phantoms(tmp_path / "few", 4, 1, 64, progress=False))
    many = contents(make_phantoms(tmp_path / "many", 6, 2, 64, progress=False))
    few.pop("groups.csv")
    assert few.items() <= many.items()


def test_the_layout_is_that_of_the_public_data_set(phantoms: Path, rows: list[dict[str, str]]) -> None:
    assert list(rows[0]) == ["image", "group", "group_source", "mask_source"]
    pictures = {path.relative_to(phantoms / "Training").as_posix() for path in (phantoms / "Training").rglob("*.png")}
    assert {row["image"] for row in rows} == pictures
    assert len(rows) == HEADS * SLICES
    masks = {path.relative_to(phantoms / "masks").as_posix() for path in (phantoms / "masks").rglob("*.png")}
    assert masks == {name for name in pictures if class_of_folder(name.split("/")[0]) != "no_tumor"}
    assert {row["mask_source"] for row in rows if row["image"] not in masks} == {"empty"}
    assert not (phantoms / "masks" / "no_tumor").exists()


def test_every_class_has_as_many_slices_of_each_plane(rows: list[dict[str, str]]) -> None:
    counts: dict[tuple[str | None, str], int] = {}
    for row in rows:
        folder, stem = row["image"].removesuffix(".png").split("/")
        key = class_of_folder(folder), stem.split("_")[-1]
        counts[key] = counts.get(key, 0) + 1
    assert counts == {(name, plane): HEADS * SLICES // 12 for name in CLASSES for plane in PLANES}


def test_a_group_is_one_head_of_one_class(rows: list[dict[str, str]]) -> None:
    folders: dict[str, set[str]] = {}
    for row in rows:
        folders.setdefault(row["group"], set()).add(row["image"].split("/")[0])
        assert row["image"].split("/")[1].startswith(row["group"] + "_")
    assert len(folders) == HEADS
    assert all(len(of_group) == 1 for of_group in folders.values())


def test_size_and_mode_do_not_tell_the_class(phantoms: Path) -> None:
    for folder, mode in (("Training", "L"), ("masks", "1")):
        kinds = {(image.size, image.mode) for image in map(Image.open, (phantoms / folder).rglob("*.png"))}
        assert kinds == {((SIZE, SIZE), mode)}


def test_brightness_and_bytes_hardly_tell_the_class(phantoms: Path, rows: list[dict[str, str]]) -> None:
    files = [phantoms / "Training" / row["image"] for row in rows]
    pictures = [np.asarray(Image.open(file), dtype=float) for file in files]
    features = np.array([[p.mean(), p.std(), file.stat().st_size] for p, file in zip(pictures, files, strict=True)])
    features = (features - features.mean(0)) / features.std(0)
    classes = np.array([row["image"].split("/")[0] for row in rows])
    heads = np.array([row["group"] for row in rows])
    distance = ((features[:, None] - features[None]) ** 2).sum(-1)
    distance[heads[:, None] == heads[None]] = np.inf
    # Chance is 0.25; the nearest neighbour of another head must stay far below what a look at the picture gives.
    assert (classes[distance.argmin(1)] == classes).mean() < 0.5


@pytest.mark.parametrize("class_name", TUMOUR_CLASSES)
def test_every_tumour_is_seen_and_lies_inside_the_head(
    phantoms: Path, rows: list[dict[str, str]], class_name: str
) -> None:
    for name, picture, mask in slices(phantoms, rows, class_name):
        outline = head_outline(picture)
        assert mask.any(), name
        assert outline[mask].mean() > 0.99, name
        # An equivalent diameter of about an eighth to a quarter of the head's.
        assert 0.08 < (mask.sum() / outline.sum()) ** 0.5 < 0.35, name


@pytest.mark.parametrize("class_name", TUMOUR_CLASSES)
def test_a_tumour_stands_out_from_what_surrounds_it(
    phantoms: Path, rows: list[dict[str, str]], class_name: str
) -> None:
    for name, picture, mask in slices(phantoms, rows, class_name):
        edge = mask & ~binary_erosion(mask, iterations=3)
        around = binary_dilation(mask, iterations=6) & ~binary_dilation(mask, iterations=2)
        assert np.median(picture[edge]) > 1.15 * np.median(picture[around]), name


def test_the_rim_of_a_glioma_is_brighter_than_its_core(phantoms: Path, rows: list[dict[str, str]]) -> None:
    for name, picture, mask in slices(phantoms, rows, "glioma"):
        depth = distance_transform_edt(mask)
        rim, core = mask & (depth <= 0.35 * depth.max()), depth >= 0.8 * depth.max()
        assert picture[rim].mean() > 1.5 * picture[core].mean(), name


@pytest.mark.parametrize("class_name", ["meningioma", "pituitary"])
def test_the_other_tumours_have_no_dark_core(phantoms: Path, rows: list[dict[str, str]], class_name: str) -> None:
    for name, picture, mask in slices(phantoms, rows, class_name):
        inner = binary_erosion(mask, iterations=2)
        assert picture[inner].std() < 0.2 * picture[inner].mean(), name


def tumour_points(class_name: str, seed: int, plane: str) -> np.ndarray:
    """Where the tumour's pixels of one slice lie in the mean head, (3, M) in mm."""
    head = draw_head(np.random.default_rng(seed), class_name)
    points = slice_points(head, plane, 0.0, 0.0, SIZE)
    _, mask = head.render(points)
    return points[:, mask]


@pytest.mark.parametrize("plane", PLANES)
@pytest.mark.parametrize("seed", range(4))
class TestPlace:
    def test_a_glioma_lies_inside_the_brain_and_off_the_skull(self, seed: int, plane: str) -> None:
        assert cavity_distance(tumour_points("glioma", seed, plane)).max() < -3

    def test_a_meningioma_sits_on_the_dura_and_stays_on_its_side_of_it(self, seed: int, plane: str) -> None:
        points = tumour_points("meningioma", seed, plane)
        to_skull, to_falx = -cavity_distance(points), np.abs(points[0])
        assert min(to_skull.min(), to_falx.min()) < 1.5 * MM_PER_PIXEL + 1
        assert to_skull.min() > 0
        if to_skull.min() > 5:
            assert np.all(points[0] > 0) or np.all(points[0] < 0)

    def test_a_pituitary_tumour_lies_at_the_sella(self, seed: int, plane: str) -> None:
        x, y, z = tumour_points("pituitary", seed, plane).mean(1)
        assert abs(x) < 5
        assert 5 < y < 20
        assert -35 < z < -8


def test_what_is_at_a_point_does_not_depend_on_the_slice_that_passes_it() -> None:
    head = draw_head(np.random.default_rng(0), "glioma")
    rng = np.random.default_rng(0)
    points = slice_points(head, "axial", 0.0, 0.0, SIZE)
    signal, mask = head.render(points)
    assert mask.any()
    chosen = rng.permutation(points.shape[1])[: points.shape[1] // 2]
    elsewhere = slice_points(head, "sagittal", 0.0, 0.0, SIZE)
    signal_again, mask_again = head.render(np.concatenate([points[:, chosen], elsewhere], axis=1))
    # The sums over plane waves may round differently; a tissue's edge spreads that over about a mm.
    np.testing.assert_allclose(signal_again[: len(chosen)], signal[chosen], atol=5e-3)
    assert (mask_again[: len(chosen)] != mask[chosen]).mean() < 1e-3


def test_pictures_stand_as_a_person_sees_them() -> None:
    head = draw_head(np.random.default_rng(0), "no_tumor")
    for plane, rows_axis, columns_axis in (
        ("axial", (0, -1, 0), (1, 0, 0)),  # forehead on top
        ("coronal", (0, 0, -1), (1, 0, 0)),  # vertex on top
        ("sagittal", (0, 0, -1), (0, -1, 0)),  # vertex on top, face to the left
    ):
        points = slice_points(head, plane, 0.0, 0.0, SIZE).reshape(3, SIZE, SIZE)
        down = points[:, -1, SIZE // 2] - points[:, 0, SIZE // 2]
        across = points[:, SIZE // 2, -1] - points[:, SIZE // 2, 0]
        assert down @ rows_axis > 0.95 * np.linalg.norm(down)
        assert across @ columns_axis > 0.95 * np.linalg.norm(across)


def test_the_mask_is_where_the_slice_with_and_without_the_tumour_differ_most() -> None:
    head = draw_head(np.random.default_rng(1), "meningioma")
    points = slice_points(head, "coronal", 0.0, 0.0, SIZE)
    with_tumour, mask = head.render(points)
    without, empty = replace(head, tumour=None).render(points)
    change = np.abs(with_tumour - without)
    assert not empty.any()
    assert np.median(change[mask]) > 0.2
    assert np.median(change[~mask]) == 0


def test_the_distances_to_skull_and_skin_are_signed_and_nested() -> None:
    points = np.array([[0, 0, 0], [0, 0, 100], [0, -4, 74], [0, 0, 200]], dtype=np.float32).T
    cavity, skin = cavity_distance(points), head_distance(points)
    # Middle of the brain; above the skin; in the bone of the vertex (its inside is at z = 8 + 62); far away.
    assert (cavity < 0).tolist() == [True, False, False, False]
    assert (skin < 0).tolist() == [True, False, True, False]
    assert cavity[2] == pytest.approx(4, abs=0.5)


def test_noise_has_mean_0_and_variance_1() -> None:
    rng = np.random.default_rng(0)
    points = rng.uniform(-500, 500, (3, 20_000)).astype(np.float32)
    values = Noise.draw(rng, wavelength=20, terms=24)(points)
    assert values.mean() == pytest.approx(0, abs=0.03)
    assert values.var() == pytest.approx(1, abs=0.1)


def test_noise_of_an_empty_background_is_rayleigh() -> None:
    picture = scan(np.zeros((256, 256), dtype=np.float32), np.random.default_rng(4)).astype(float)
    # Mean / root mean square of a Rayleigh law is sqrt(pi) / 2, whatever its scale; 8-bit rounding blurs it a little.
    assert picture.mean() / np.sqrt((picture**2).mean()) == pytest.approx(np.pi**0.5 / 2, abs=0.02)


def test_a_slice_can_be_of_any_size() -> None:
    head = draw_head(np.random.default_rng(2), "pituitary")
    for size in (32, 45, 128):
        picture, mask = phantom_slice(head, "sagittal", np.random.default_rng(0), size)
        assert picture.shape == mask.shape == (size, size)
        assert picture.dtype == np.uint8
        assert mask.any()


def test_a_folder_with_anything_else_is_refused_and_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("precious")
    with pytest.raises(InputError, match=r"thesis\.txt"):
        make_phantoms(tmp_path, 4, 1, 64, progress=False)
    assert contents(tmp_path) == {"thesis.txt": b"precious"}


def test_a_larger_set_is_not_mixed_with_a_smaller_one(tmp_path: Path) -> None:
    make_phantoms(tmp_path, 5, 1, 64, progress=False)
    with pytest.raises(InputError, match="head004"):
        make_phantoms(tmp_path, 4, 1, 64, progress=False)


def test_making_the_same_set_again_changes_nothing(tmp_path: Path) -> None:
    before = contents(make_phantoms(tmp_path, 4, 1, 64, progress=False))
    assert contents(make_phantoms(tmp_path, 4, 1, 64, progress=False)) == before


def test_a_file_in_place_of_the_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="not a folder"):
        make_phantoms(tmp_path / "file", progress=False)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"heads": 0}, "heads must be at least 1"),
        ({"slices_per_head": 0}, "slices_per_head must be at least 1"),
        ({"size": 31}, "size must be at least 32, not 31"),
        ({"seed": -1}, "seed must be at least 0"),
    ],
)
def test_a_number_out_of_range_is_named(tmp_path: Path, arguments: dict[str, int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make_phantoms(tmp_path / "out", progress=False, **arguments)
    assert not (tmp_path / "out").exists()


def test_an_unknown_class_is_named() -> None:
    with pytest.raises(ValueError, match="lymphoma"):
        draw_head(np.random.default_rng(0), "lymphoma")


class TestCommand:
    def test_it_writes_the_data_set_that_the_function_writes(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        size = ["--heads", "4", "--slices-per-head", "1", "--size", "64", "--seed", "9"]
        assert main(["--output", str(tmp_path / "command"), *size]) == 0
        assert "4 slices of 4 heads" in capsys.readouterr().out
        expected = make_phantoms(tmp_path / "function", 4, 1, 64, seed=9, progress=False)
        assert contents(tmp_path / "command") == contents(expected)

    def test_a_used_folder_ends_it_with_the_remedy(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        (tmp_path / "thesis.txt").write_text("precious")
        assert main(["--output", str(tmp_path)]) == 2
        assert "Give a new or empty folder" in capsys.readouterr().err
