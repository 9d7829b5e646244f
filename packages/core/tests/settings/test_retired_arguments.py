"""Arguments of earlier versions, of other libraries, and misspelt ones: each is told what to write today."""

from __future__ import annotations

import pytest

from fulmen_core.settings import check_settings
from fulmen_interfaces import ConfigurationError


def problem_with(argument, value):
    with pytest.raises(ConfigurationError) as caught:
        check_settings(**{argument: value})
    (problem,) = caught.value.problems
    assert problem.argument == argument
    return problem


@pytest.mark.parametrize(
    ("argument", "value", "today"),
    [
        ("gpus", 2, "accelerator='gpu', devices=2"),
        ("gpus", "0,1", "accelerator='gpu', devices='0,1'"),
        ("gpus", -1, "accelerator='gpu', devices=-1"),
        ("gpus", 0, "accelerator='cpu'"),
        ("gpus", None, "Leave it out"),
        ("num_processes", 4, "accelerator='cpu', devices=4"),
        ("tpu_cores", 8, "accelerator='tpu', devices=8"),
        ("ipus", 8, "accelerator='ipu', devices=8"),
        ("auto_select_gpus", True, "devices='auto'"),
        ("resume_from_checkpoint", "a.ckpt", "trainer.fit(model, ckpt_path='a.ckpt')"),
        ("progress_bar_refresh_rate", 0, "enable_progress_bar=False"),
        ("progress_bar_refresh_rate", 20, "TQDMProgressBar(refresh_rate=20)"),
        ("weights_summary", None, "enable_model_summary=False"),
        ("weights_summary", "full", "ModelSummary(max_depth=-1)"),
        ("checkpoint_callback", False, "enable_checkpointing=False"),
        ("stochastic_weight_avg", True, "StochasticWeightAveraging"),
        ("flush_logs_every_n_steps", 10, "CSVLogger('logs', flush_logs_every_n_steps=10)"),
        ("terminate_on_nan", True, "EarlyStopping"),
        ("amp_backend", "apex", "precision='16-mixed'"),
        ("replace_sampler_ddp", False, "use_distributed_sampler=False"),
        ("move_metrics_to_cpu", True, "Leave it out"),
        ("track_grad_norm", 2, "grad_norm"),
        ("multiple_trainloader_mode", "min_size", "CombinedLoader(loaders, mode='min_size')"),
        ("distributed_backend", "ddp", "strategy='ddp'"),
        ("max_nb_epochs", 3, "max_epochs=3"),
        ("epochs", 3, "max_epochs=3"),
        ("lr", 1e-3, "configure_optimizers"),
        ("batch_size", 32, "DataLoader"),
        ("datamodule", None, "trainer.fit(model, datamodule=datamodule)"),
        ("max_epoch", 3, "Did you mean max_epochs?"),
        ("maxepochs", 3, "Did you mean max_epochs?"),
        ("accelerater", "cpu", "Did you mean accelerator?"),
        ("device_count", 1, "help(Trainer)"),
    ],
)
def test_the_replacement_is_named(argument, value, today):
    assert today in problem_with(argument, value).remedy


def test_replacements_of_arguments_are_arguments_that_exist():
    from fulmen_core.settings import TrainerSettings
    from fulmen_core.settings._retired import RETIRED, remedy_for_retired

    names = set(TrainerSettings.__dataclass_fields__)
    assert not names & set(RETIRED)
    for argument in RETIRED:
        for value in (None, 0, 1, "x", True):
            remedy = remedy_for_retired(argument, value)
            assert remedy.endswith(".")
            if remedy.startswith("Write ") and remedy.count("=") >= 1:
                assert remedy.removeprefix("Write ").partition("=")[0] in names or "trainer.fit" in remedy
