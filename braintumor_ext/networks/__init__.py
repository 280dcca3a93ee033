"""The network, its parts, its views and its weights."""

from braintumor_ext.networks.baselines import ClassifierBaseline, UNetBaseline
from braintumor_ext.networks.bfloat16 import bfloat16_stages, cpu_has_bfloat16, has_bfloat16_stages
from braintumor_ext.networks.brain_tumor_net import MINIMUM_SIZE, BrainTumorNet
from braintumor_ext.networks.cbam import CBAM, ChannelAttention, ReZeroAttention, SpatialAttention
from braintumor_ext.networks.checkpoint import load_checkpoint, load_weights, network_of_checkpoint, read_state_dict
from braintumor_ext.networks.description import build_network, describe_network
from braintumor_ext.networks.encoder import ENCODERS, AttentionResNet
from braintumor_ext.networks.heads import ClassificationHead, SegmentationDecoder
from braintumor_ext.networks.pretrained import load_encoder, load_pretrained
from braintumor_ext.networks.settings import check_settings, read_settings, trained_image_size, write_settings
from braintumor_ext.networks.views import ClassView, HeadView

__all__ = [
    "CBAM",
    "ENCODERS",
    "MINIMUM_SIZE",
    "AttentionResNet",
    "BrainTumorNet",
    "ChannelAttention",
    "ClassView",
    "ClassificationHead",
    "ClassifierBaseline",
    "HeadView",
    "ReZeroAttention",
    "SegmentationDecoder",
    "SpatialAttention",
    "UNetBaseline",
    "bfloat16_stages",
    "build_network",
    "check_settings",
    "cpu_has_bfloat16",
    "describe_network",
    "has_bfloat16_stages",
    "load_checkpoint",
    "load_encoder",
    "load_pretrained",
    "load_weights",
    "network_of_checkpoint",
    "read_settings",
    "read_state_dict",
    "trained_image_size",
    "write_settings",
]
