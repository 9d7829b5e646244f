"""Names of hooks: those of earlier versions, and which hook a misspelt name stands for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

_COLLECT = "Keep what you need in {step}, for example self.outputs.append(...), and use it in {hook}(self)."
_IN_STEP = "Do it at the end of {step}."

REPLACED_HOOKS: Mapping[str, str] = {
    "training_epoch_end": _COLLECT.format(step="training_step", hook="on_train_epoch_end"),
    "validation_epoch_end": _COLLECT.format(step="validation_step", hook="on_validation_epoch_end"),
    "test_epoch_end": _COLLECT.format(step="test_step", hook="on_test_epoch_end"),
    "predict_epoch_end": _COLLECT.format(step="predict_step", hook="on_predict_epoch_end"),
    "training_end": _COLLECT.format(step="training_step", hook="on_train_epoch_end"),
    "validation_end": _COLLECT.format(step="validation_step", hook="on_validation_epoch_end"),
    "test_end": _COLLECT.format(step="test_step", hook="on_test_epoch_end"),
    "training_step_end": _IN_STEP.format(step="training_step"),
    "validation_step_end": _IN_STEP.format(step="validation_step"),
    "test_step_end": _IN_STEP.format(step="test_step"),
    "on_epoch_start": "Use on_train_epoch_start, or on_validation_epoch_start.",
    "on_epoch_end": "Use on_train_epoch_end, or on_validation_epoch_end.",
    "on_batch_start": "Use on_train_batch_start.",
    "on_batch_end": "Use on_train_batch_end.",
    "on_pretrain_routine_start": "Use on_fit_start.",
    "on_pretrain_routine_end": "Use on_fit_start.",
    "on_before_accelerator_backend_setup": "Use setup.",
    "on_configure_sharded_model": "Use setup.",
    "configure_sharded_model": "Rename it to configure_model.",
    "on_init_start": "Use setup.",
    "on_init_end": "Use setup.",
    "on_keyboard_interrupt": "Use on_exception, and look whether it received a KeyboardInterrupt.",
    "on_train_dataloader": "Use setup.",
    "on_val_dataloader": "Use setup.",
    "on_test_dataloader": "Use setup.",
    "on_predict_dataloader": "Use setup.",
    "on_post_move_to_device": "Share the parameters in __init__ or configure_model.",
    "tbptt_split_batch": "Split the batch in training_step, with self.automatic_optimization = False.",
    "get_progress_bar_dict": "Log with prog_bar=True, or override get_metrics of the progress bar.",
    "tng_dataloader": "Use train_dataloader.",
    "on_tng_metrics": "Log in training_step.",
}
"""Name of a hook that is no more → what to use instead."""

_SAME = {
    **dict.fromkeys(["stop", "stopped", "finish", "finished", "ended"], "end"),
    **dict.fromkeys(["begin", "began", "begins", "started"], "start"),
    **dict.fromkeys(["train", "trn"], "training"),
    **dict.fromkeys(["val", "valid", "validate", "validating"], "validation"),
    **dict.fromkeys(["testing"], "test"),
    **dict.fromkeys(["prediction", "predicting", "predictions"], "predict"),
    "dataloaders": "dataloader",
    "optimizer": "optimizers",
    "optimiser": "optimizers",
    "optimisers": "optimizers",
    "epochs": "epoch",
}
"""Word → the word that stands for it when names are compared."""
_ONE_WORD = frozenset(["setup", "teardown"])
_SHORT = 4
"""Up to this length another letter makes another word: `best_step`, `text_step` are no `test_step`."""
_LONG = 8
"""From this length on a word may hold two mistakes."""


def nearest_hook(name: str, hooks: Sequence[str]) -> str | None:
    """Return the hook that a name was probably meant to be; None for an ordinary name."""
    return next((hook for hook in sorted(hooks) if _is_near(name, hook)), None)


def _is_near(name: str, hook: str) -> bool:
    bare, wanted = name.replace("_", "").lower(), hook.replace("_", "")
    if "_" not in hook and hook not in _ONE_WORD:
        return False
    if bare == wanted:
        return True
    words, hook_words = _words(name), _words(hook)
    if words == hook_words or words == ["on", *hook_words] or (len(words) > 2 and ["on", *words] == hook_words):
        return words[-1:] == hook_words[-1:]
    if len(words) != len(hook_words):
        return False
    pairs = zip(name.lower().split("_"), hook.split("_"), strict=True)
    wrong = [(word, meant) for word, meant in pairs if word != meant]
    return 0 < len(wrong) <= 2 and all(_is_typo(word, meant) for word, meant in wrong)


def _words(name: str) -> list[str]:
    return [_SAME.get(word, word) for word in name.lower().split("_")]


def _is_typo(word: str, meant: str) -> bool:
    if len(meant) <= _SHORT:
        swapped = len(word) == len(meant) and sorted(word) == sorted(meant)
        return len(meant) > 2 and (swapped or (abs(len(word) - len(meant)) == 1 and distance(word, meant) == 1))
    return distance(word, meant) <= (1 if len(meant) < _LONG else 2)


def distance(one: str, other: str) -> int:
    """Return how many letters have to be inserted, left out, replaced or swapped with their neighbour."""
    before: list[int] = []
    row = list(range(len(other) + 1))
    for i, letter in enumerate(one, 1):
        before, last, row = row, before, [i]
        for j, wanted in enumerate(other, 1):
            cost = min(before[j] + 1, row[j - 1] + 1, before[j - 1] + (letter != wanted))
            if i > 1 and j > 1 and letter == other[j - 2] and one[i - 2] == wanted:
                cost = min(cost, last[j - 2] + 1)
            row.append(cost)
    return row[-1]
