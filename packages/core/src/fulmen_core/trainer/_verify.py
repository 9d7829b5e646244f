"""What a module must offer for what was asked, checked before anything starts."""

from __future__ import annotations

from torch import nn

from fulmen_core._hook_names import REPLACED_HOOKS
from fulmen_core.loop import overridden
from fulmen_core.module import LightningModule
from fulmen_core.settings import EffectiveSettings
from fulmen_core.trainer._job import Job
from fulmen_interfaces import Hook, ModuleError, Stage, did_you_mean

STEPS = {
    Stage.FIT: Hook.TRAINING_STEP,
    Stage.VALIDATE: Hook.VALIDATION_STEP,
    Stage.TEST: Hook.TEST_STEP,
    Stage.PREDICT: Hook.PREDICT_STEP,
}
LOADERS = {
    Stage.FIT: Hook.TRAIN_DATALOADER,
    Stage.VALIDATE: Hook.VAL_DATALOADER,
    Stage.TEST: Hook.TEST_DATALOADER,
    Stage.PREDICT: Hook.PREDICT_DATALOADER,
}
EPOCH_ENDS = {
    Stage.FIT: ("training_epoch_end", "validation_epoch_end"),
    Stage.VALIDATE: ("validation_epoch_end",),
    Stage.TEST: ("test_epoch_end",),
    Stage.PREDICT: (),
}
"""Hooks of earlier versions in which metrics were computed: nothing would be logged if they were left out silently."""


def verify(job: Job, settings: EffectiveSettings) -> None:
    """Raise ModuleError with everything that is missing."""
    missing = [*_missing_steps(job), *_missing_data(job), *_epoch_ends(job), *_contradictions(job, settings)]
    if missing:
        raise ModuleError(
            missing[0] if len(missing) == 1 else "\n".join(f"{n}. {text}" for n, text in enumerate(missing, 1))
        )


def half_validation(job: Job) -> str | None:
    """Return what is missing where a fit has only one of validation step and validation data."""
    (step, data), name = _validation_parts(job), type(job.module).__name__
    if data and not step:
        return f"There is validation data, but {name} has no `validation_step`: nothing is validated."
    if step and not data:
        return f"{name} has a `validation_step`, but there is no validation data: nothing is validated."
    return None


def has_validation(job: Job) -> bool:
    """Return whether a fit has both a validation step and data for it."""
    return all(_validation_parts(job))


def _validation_parts(job: Job) -> tuple[bool, bool]:
    """Return whether there is a step, and whether there is data for it."""
    step = overridden(job.module, LightningModule, Hook.VALIDATION_STEP)
    return step is not None, job.source.defines(Hook.VAL_DATALOADER.value)


def _missing_steps(job: Job) -> list[str]:
    module, name = job.module, type(job.module).__name__
    step = STEPS[job.stage]
    missing = []
    if step is Hook.PREDICT_STEP:
        if overridden(module, LightningModule, step) is None and type(module).forward is nn.Module.forward:
            missing.append(f"{name} has neither `predict_step` nor `forward`. Define one of them.")
    elif overridden(module, LightningModule, step) is None:
        near = did_you_mean(step.value, _own_methods(module))
        missing.append(f"{name} has no `{step}`. {near} Define `{step}(self, batch, batch_idx)`.".replace("  ", " "))
    if job.stage is Stage.FIT and overridden(module, LightningModule, Hook.CONFIGURE_OPTIMIZERS) is None:
        near = did_you_mean(Hook.CONFIGURE_OPTIMIZERS.value, _own_methods(module))
        text = (
            f"{name} has no `configure_optimizers`. {near} Return an optimizer from it, or None to train without one."
        )
        missing.append(text.replace("  ", " "))
    return missing


def _missing_data(job: Job) -> list[str]:
    hook = LOADERS[job.stage]
    if job.source.defines(hook.value):
        return []
    owner = type(job.module if job.datamodule is None else job.datamodule).__name__
    return [f"There is no data for `{job.stage}`. Pass loaders to it, or define `{hook}` in {owner}."]


def _epoch_ends(job: Job) -> list[str]:
    name = type(job.module).__name__
    found = [hook for hook in EPOCH_ENDS[job.stage] if callable(getattr(job.module, hook, None))]
    return [f"{name} defines `{hook}`, which nothing calls any more. {REPLACED_HOOKS[hook]}" for hook in found]


def _contradictions(job: Job, settings: EffectiveSettings) -> list[str]:
    if job.stage is not Stage.FIT or job.module.automatic_optimization:
        return []
    texts = []
    if settings.gradient_clipping is not None:
        texts.append(
            f"gradient_clip_val={settings.gradient_clipping.limit} was asked for, but optimisation is manual. "
            "Call `self.clip_gradients(optimizer, gradient_clip_val=...)` in `training_step` instead."
        )
    if settings.accumulate_grad_batches != 1:
        texts.append(
            f"accumulate_grad_batches={settings.accumulate_grad_batches} was asked for, but optimisation is manual. "
            "Step every so many batches in `training_step` instead."
        )
    return texts


def _own_methods(module: LightningModule) -> list[str]:
    base = set(dir(LightningModule))
    return [name for name in dir(type(module)) if name not in base and not name.startswith("_")]
