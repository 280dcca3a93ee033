"""The app: its models, training, scoring and strategies."""

from __future__ import annotations

from typing import Any

from monailabel.interfaces.app import MONAILabelApp
from monailabel.interfaces.tasks.infer_v2 import InferTask
from monailabel.interfaces.tasks.scoring import ScoringMethod
from monailabel.interfaces.tasks.strategy import Strategy
from monailabel.interfaces.tasks.train import TrainTask
from monailabel.tasks.activelearning.first import First
from monailabel.tasks.activelearning.random import Random

from monai_bundle.label_app.bundle import Bundle
from monai_bundle.label_app.infer import SliceInferTask
from monai_bundle.label_app.train import SliceTrainTask
from monai_bundle.label_app.uncertainty import MostUncertain, UncertaintyScoring


class BrainTumorLabelApp(MONAILabelApp):
    """Serve one packed bundle.

    Args:
        conf: ``bundle``: the packed bundle's folder.
    """

    def __init__(self, app_dir: str, studies: str, conf: dict[str, Any]) -> None:
        self.bundle = Bundle(conf["bundle"])
        super().__init__(
            app_dir=app_dir,
            studies=studies,
            conf=conf,
            name="Brain tumour MRI",
            description=self.bundle.metadata["description"],
            version=self.bundle.metadata["version"],
        )

    def init_infers(self) -> dict[str, InferTask]:
        """Return the inference types by name."""
        name = self.bundle.name
        return {name: SliceInferTask(self.bundle), f"{name}_gradcam": SliceInferTask(self.bundle, "gradcam")}

    def init_trainers(self) -> dict[str, TrainTask]:
        """Return the training by name."""
        return {self.bundle.name: SliceTrainTask(self.bundle, self.conf)}

    def init_strategies(self) -> dict[str, Strategy]:
        """Return the ways to choose the next image, by name."""
        return {"uncertainty": MostUncertain(), "random": Random(), "first": First()}

    def init_scoring_methods(self) -> dict[str, ScoringMethod]:
        """Return the scoring by name."""
        return {"uncertainty": UncertaintyScoring(self.bundle)}
