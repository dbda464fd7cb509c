"""Torch models in scikit-learn estimators."""

from fairvision.nn.checkpoint import TrainingCheckpoint
from fairvision.nn.classifier import TorchClassifier
from fairvision.nn.device import (
    as_double,
    choose_device,
    computes_bfloat16,
    device_or_cpu,
    to_device,
)
from fairvision.nn.distributed import process_group_of
from fairvision.nn.export import Probabilities, as_module, input_shape_of
from fairvision.nn.feature_extractor import FeatureExtractor
from fairvision.nn.finite import check_loss, check_scores
from fairvision.nn.identity import fingerprint
from fairvision.nn.labels import encode_labels
from fairvision.nn.last_layer import LastLayer, LastLayerClassifier
from fairvision.nn.modules import (
    DeterministicAvgPool2d,
    FeatureClassifier,
    PretrainedClassifier,
    evaluation_mode,
    features_and_logits,
)
from fairvision.nn.net import inference_size
from fairvision.nn.objective import Objective, Step, TrainingContext, cross_entropy
from fairvision.nn.objective_classifier import ObjectiveClassifier
from fairvision.nn.prefetch import prefetch
from fairvision.nn.prefix import FrozenPrefix, find_prefix
from fairvision.nn.probe import Standardize, check_inputs
from fairvision.nn.process_group import ProcessGroup
from fairvision.nn.randomness import as_seed, isolated_rng, seeded_rng
from fairvision.nn.rows import Batch, Batches, Rows, scale
from fairvision.nn.trace import ModuleCall, trace_calls

__all__ = [
    "Batch",
    "Batches",
    "DeterministicAvgPool2d",
    "FeatureClassifier",
    "FeatureExtractor",
    "FrozenPrefix",
    "LastLayer",
    "LastLayerClassifier",
    "ModuleCall",
    "Objective",
    "ObjectiveClassifier",
    "PretrainedClassifier",
    "Probabilities",
    "ProcessGroup",
    "Rows",
    "Standardize",
    "Step",
    "TorchClassifier",
    "TrainingCheckpoint",
    "TrainingContext",
    "as_double",
    "as_module",
    "as_seed",
    "check_inputs",
    "check_loss",
    "check_scores",
    "choose_device",
    "computes_bfloat16",
    "cross_entropy",
    "device_or_cpu",
    "encode_labels",
    "features_and_logits",
    "evaluation_mode",
    "find_prefix",
    "fingerprint",
    "inference_size",
    "input_shape_of",
    "isolated_rng",
    "seeded_rng",
    "prefetch",
    "process_group_of",
    "scale",
    "to_device",
    "trace_calls",
]
