"""The training's loss."""

from braintumor_ext.losses.joint_loss import JointLoss, evidence_outside

__all__ = ["JointLoss", "evidence_outside"]
