"""The callbacks of fulmen: checkpoints, progress bars, summaries, early stopping and more."""

from __future__ import annotations

from fulmen_callbacks._accumulation import GradientAccumulationScheduler
from fulmen_callbacks._averaging import EMAWeightAveraging, StochasticWeightAveraging, WeightAveraging
from fulmen_callbacks._checkpoint import Checkpoint, ModelCheckpoint, OnExceptionCheckpoint
from fulmen_callbacks._device_stats import DeviceStatsMonitor
from fulmen_callbacks._early_stopping import EarlyStopping, EarlyStoppingReason
from fulmen_callbacks._finetuning import BackboneFinetuning, BaseFinetuning
from fulmen_callbacks._lambda import LambdaCallback
from fulmen_callbacks._lr_monitor import LearningRateMonitor
from fulmen_callbacks._prediction_writer import BasePredictionWriter, WriteInterval
from fulmen_callbacks._progress import ProgressBar, RichProgressBar, RichProgressBarTheme, TQDMProgressBar
from fulmen_callbacks._pruning import ModelPruning
from fulmen_callbacks._specs import MODEL_CHECKPOINT_SPEC, MODEL_SUMMARY_SPEC, PROGRESS_BAR_SPEC, TIMER_SPEC
from fulmen_callbacks._spike import SpikeDetection, TrainingSpikeException
from fulmen_callbacks._summary import LayerSummary, ModelSummary, RichModelSummary, Summary, summarize
from fulmen_callbacks._throughput import Throughput, measure_flops
from fulmen_callbacks._throughput_monitor import ThroughputMonitor
from fulmen_callbacks._timer import Timer

__all__ = [
    "MODEL_CHECKPOINT_SPEC",
    "MODEL_SUMMARY_SPEC",
    "PROGRESS_BAR_SPEC",
    "TIMER_SPEC",
    "BackboneFinetuning",
    "BaseFinetuning",
    "BasePredictionWriter",
    "Checkpoint",
    "DeviceStatsMonitor",
    "EMAWeightAveraging",
    "EarlyStopping",
    "EarlyStoppingReason",
    "GradientAccumulationScheduler",
    "LambdaCallback",
    "LayerSummary",
    "LearningRateMonitor",
    "ModelCheckpoint",
    "ModelPruning",
    "ModelSummary",
    "OnExceptionCheckpoint",
    "ProgressBar",
    "RichModelSummary",
    "RichProgressBar",
    "RichProgressBarTheme",
    "SpikeDetection",
    "StochasticWeightAveraging",
    "Summary",
    "TQDMProgressBar",
    "Throughput",
    "ThroughputMonitor",
    "Timer",
    "TrainingSpikeException",
    "WeightAveraging",
    "WriteInterval",
    "measure_flops",
    "summarize",
]
