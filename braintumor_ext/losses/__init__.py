"""The training's loss."""

from braintumor_ext.losses.evidence_loss import evidence_outside
from braintumor_ext.losses.joint_loss import JointLoss

__all__ = ["JointLoss", "evidence_outside"]
