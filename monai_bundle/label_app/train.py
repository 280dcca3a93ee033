"""Training on the datastore's labels, with the class where the datastore knows one."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any

from monailabel.interfaces.datastore import Datastore, DefaultLabelTag
from monailabel.tasks.train.bundle import BundleTrainTask

from braintumor_ext.classes import Classes
from braintumor_ext.config_text import verbatim
from braintumor_ext.errors import InputError
from braintumor_ext.keys import CLASS, IMAGE, LABEL, SLICE
from braintumor_ext.transforms import count_slices, read_slice
from monai_bundle.label_app.bundle import Bundle
from monai_bundle.label_app.training_request import check_training_request

logger = logging.getLogger(__name__)


class SliceTrainTask(BundleTrainTask):
    """Train the bundle by its own ``train.json``, from the weights that it has.

    A slice's class is the datastore's ``class`` of the image, else of its label; else unknown. In a volume a tumour's
    class counts for the slices whose mask is not empty, the empty class for all others: of the rest no class is known.
    """

    def __init__(self, bundle: Bundle, conf: dict[str, str]) -> None:
        super().__init__(str(bundle.root), conf, load_strict=True)
        self.bundle = bundle

    def __call__(self, request: dict[str, Any], datastore: Datastore) -> Any:
        """Train as a client asks."""
        check_training_request(request)
        return super().__call__(request, datastore)

    def _fetch_datalist(self, request: dict[str, Any], datastore: Datastore) -> list[dict[str, Any]]:
        classes = self.bundle.predictor().classes
        labelled = datastore.get_labeled_images()
        items = [item for image_id in labelled for item in _items(datastore, image_id, classes)]
        if not items:
            raise InputError("datastore", "has no labelled image", "Submit labels before training")
        return items

    def _partition_datalist(
        self, datalist: list[dict[str, Any]], request: dict[str, Any], shuffle: bool = False
    ) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
        share = float(request.get("val_split", 0.2))
        files = sorted({item[IMAGE] for item in datalist})
        # Whole files go to one side: neighbouring slices are alike.
        held_out = set(files[: round(len(files) * max(share, 0.0))])
        training = [item for item in datalist if item[IMAGE] not in held_out]
        validation = [item for item in datalist if item[IMAGE] in held_out]
        if not validation or not training:
            logger.warning("Too few labelled images to hold some out: the best epoch is chosen on the training's own.")
            return datalist, datalist
        return training, validation

    def _update_overrides(self, overrides: dict[str, Any]) -> dict[str, Any]:
        overrides.update({"pretrained": False, "num_workers": 0})  # it starts from the bundle's own weights
        for name in ("bundle_root", "train#dataset#data", "validate#dataset#data"):
            if name in overrides:
                overrides[name] = verbatim(overrides[name])  # a config would read a `#` in a path otherwise
        return overrides


def _items(datastore: Datastore, image_id: str, classes: Classes) -> Iterator[dict[str, Any]]:
    tag = DefaultLabelTag.FINAL
    image, label = datastore.get_image_uri(image_id), datastore.get_label_uri(image_id, tag)
    told = datastore.get_image_info(image_id).get("class") or datastore.get_label_info(image_id, tag).get("class")
    if told is not None and told not in classes:
        raise InputError(image_id, f"has the class {told!r} in the datastore", f"Valid are {', '.join(classes)}")
    known = {} if told is None else {CLASS: classes.index(told)}
    count = count_slices(image)
    if count == 1:
        yield {IMAGE: image, LABEL: label, **known}
        return
    for index in range(count):
        marked = bool((read_slice(label, index) > 0).any())
        fits = marked == (told != classes.empty)
        yield {IMAGE: image, LABEL: label, SLICE: index, **(known if fits else {})}
