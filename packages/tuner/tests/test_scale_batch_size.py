"""The search for a batch size: which sizes are tried, what counts as lack of memory, and what is left as it was."""

from __future__ import annotations

import pytest
import torch
from tuner_cases import LOG, Data, Limited, Loaded, loader, out_of_memory, pairs, same_state, seeded, trainer

from fulmen_core import CombinedLoader
from fulmen_interfaces import ConfigurationError, ModuleError
from fulmen_tuner import Tuner


@pytest.fixture(autouse=True)
def _empty_log():
    LOG.clear()


def scale(model, *, arguments=None, **options):
    return Tuner(trainer(**(arguments or {}))).scale_batch_size(model, **options)


def sizes_tried():
    return list(dict.fromkeys(LOG))


def test_power_doubles_while_memory_suffices():
    model = seeded(Limited)
    assert scale(model) == model.batch_size == model.hparams.batch_size == 16
    assert LOG == [2, 2, 2, 4, 4, 4, 8, 8, 8, 16, 16, 16, 32]


def test_binsearch_finds_the_limit():
    assert scale(seeded(Limited), mode="binsearch", margin=0) == 20
    assert sizes_tried() == [2, 4, 8, 16, 32, 24, 20, 22, 21]


def test_binsearch_leaves_a_margin():
    assert scale(seeded(Limited), mode="binsearch", margin=0.1) == 18
    assert scale(seeded(Limited, limit=1), mode="binsearch", margin=0.9) == 1


@pytest.mark.parametrize("mode", ["power", "binsearch"])
def test_there_is_no_use_in_more_than_all_samples(mode):
    class Few(Limited):
        samples = 13

    assert scale(seeded(Few), mode=mode) == 13
    assert sizes_tried() == [2, 4, 8, 5, 13]  # 5 is the last batch of 13 by 8
    assert scale(seeded(Few), mode=mode, init_val=16) == 13


def test_sizes_and_trials_are_bounded():
    assert scale(seeded(Limited, limit=100), max_val=50) == 50
    assert scale(seeded(Limited, limit=100), max_trials=3) == 8


def test_a_first_size_that_is_too_large_is_halved():
    assert scale(seeded(Limited), init_val=100) == 12
    assert sizes_tried() == [100, 50, 25, 12]
    assert scale(seeded(Limited), init_val=100, mode="binsearch", margin=0) == 20


def test_that_nothing_fits_is_told():
    model = seeded(Limited, limit=0)
    with pytest.raises(ModuleError, match="no batch size for which memory suffices"):
        scale(model)
    assert sizes_tried() == [2, 1]
    assert model.batch_size == 4


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB."),
        RuntimeError("cuDNN error: CUDNN_STATUS_NOT_SUPPORTED. This error may appear if you passed in ..."),
        RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
        RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate 1 bytes"),
        MemoryError(),
    ],
)
def test_lack_of_memory_has_many_names(error):
    def raised():
        return error

    model = seeded(Limited)
    model.error = raised
    assert scale(model) == 16


def test_lack_of_memory_may_be_the_cause_of_another_error():
    class Wrapped(Limited):
        def step(self, batch):
            try:
                super().step(batch)
            except torch.OutOfMemoryError as error:
                raise ValueError("A layer failed.") from error

    assert scale(seeded(Wrapped)) == 16


def test_real_lack_of_host_memory_is_recognised():
    class Hungry(Limited):
        def step(self, batch):
            super().step(batch)
            if len(batch[0]) > 8:
                torch.empty(2**60, dtype=torch.uint8)

    assert scale(seeded(Hungry)) == 8


def test_other_errors_are_raised():
    model = seeded(Limited)
    model.error = lambda: RuntimeError("mat1 and mat2 shapes cannot be multiplied")
    with pytest.raises(RuntimeError, match="shapes"):
        scale(model)
    assert model.batch_size == 4


def test_an_accelerator_knows_its_own_errors(monkeypatch):
    from fulmen_accelerator_cpu import CPUAccelerator

    freed = []
    monkeypatch.setattr(
        CPUAccelerator, "is_out_of_memory", lambda self, error: "heap is full" in str(error), raising=False
    )
    monkeypatch.setattr(CPUAccelerator, "free_memory", lambda self: freed.append(True), raising=False)
    model = seeded(Limited)
    model.error = lambda: OSError("The chip's heap is full.")
    assert scale(model) == 16
    assert len(freed) == 5


def test_validation_must_fit_too():
    class Wide(Loaded):
        def validation_step(self, batch, batch_idx):
            if len(batch[0]) > 5:
                raise out_of_memory()

    assert scale(seeded(Wide)) == 4
    assert scale(seeded(Wide), arguments={"limit_val_batches": 0}) == 16


@pytest.mark.parametrize("method", ["validate", "test", "predict"])
def test_other_stages_have_limits_of_their_own(method):
    class Trainless(Loaded):
        def training_step(self, batch, batch_idx):
            raise AssertionError

    model = seeded(Trainless)
    assert scale(model, method=method, steps_per_trial=2) == model.batch_size == 16
    assert LOG == [2, 2, 4, 4, 8, 8, 16, 16, 32]


def test_the_data_module_is_told():
    class Plain(Limited):
        def __init__(self):
            super().__init__()
            del self.batch_size
            self.hparams.pop("batch_size")

    model, data = seeded(Plain), Data(samples=200)
    assert scale(model, datamodule=data) == data.batch_size == data.hparams.batch_size == 16
    assert not hasattr(model, "batch_size")
    assert scale(seeded(Plain), train_dataloaders=Data(samples=200)) == 16


def test_a_dotted_name_leads_deeper():
    class Nested(Limited):
        def __init__(self):
            super().__init__()
            self.settings = {"data": {"size": 1}}

        def train_dataloader(self):
            return loader(self.samples, self.settings["data"]["size"])

    model = seeded(Nested)
    assert scale(model, batch_arg_name="settings.data.size") == model.settings["data"]["size"] == 16
    assert model.batch_size == 4


def test_several_loaders_are_looked_at():
    class Several(Limited):
        samples = 10

        def train_dataloader(self):
            return CombinedLoader({"a": loader(10, self.batch_size), "b": [loader(10, self.batch_size)]}, "min_size")

        def training_step(self, batch, batch_idx):
            return super().training_step(batch["a"], batch_idx)

    assert scale(seeded(Several)) == 10


def test_a_fit_goes_as_it_would_have_gone_without():
    def train(search):
        model, runner = seeded(Limited), trainer()
        data = Data()
        if search:
            Tuner(runner).scale_batch_size(model, datamodule=data, max_trials=2)
            model.batch_size = model.hparams["batch_size"] = data.batch_size = data.hparams["batch_size"] = 4
        runner.fit(model, datamodule=data)
        return model

    plain, searched = train(False), train(True)
    assert same_state(plain, searched)
    assert plain.seen == searched.seen


def test_only_the_size_differs_afterwards():
    by_search, by_hand = seeded(Limited), seeded(Limited)
    state = torch.get_rng_state()
    scale(by_search)
    assert torch.equal(state, torch.get_rng_state())
    by_hand.batch_size = by_hand.hparams["batch_size"] = 16
    for model in (by_search, by_hand):
        seeded()  # seeds everything
        trainer().fit(model)
    assert same_state(by_search, by_hand)


def test_loaders_that_were_made_already_are_refused():
    with pytest.raises(ConfigurationError, match="cannot be changed"):
        scale(seeded(Limited), train_dataloaders=loader())
    with pytest.raises(ConfigurationError, match="cannot be changed"):
        scale(seeded(Limited), method="test", dataloaders=loader())


def test_a_loader_that_takes_no_notice_is_told():
    class Deaf(Limited):
        def train_dataloader(self):
            return loader(200, 8)

    with pytest.raises(ConfigurationError, match="was set to 2, but the loader of `fit` has batches of 8"):
        scale(seeded(Deaf))


def test_a_missing_attribute_is_told():
    with pytest.raises(ConfigurationError, match="no `size` that can be set"):
        scale(seeded(Limited), batch_arg_name="size")


def test_wrong_arguments_are_told_at_once():
    with pytest.raises(ConfigurationError) as caught:
        scale(seeded(Limited), method="train", mode="linear", margin=1.5, init_val=0, max_trials=0, steps_per_trial=0)
    assert {problem.argument for problem in caught.value.problems} == {
        *("method", "mode", "margin", "init_val", "max_trials", "steps_per_trial")
    }


def test_a_trial_run_of_a_few_batches_finds_nothing():
    with pytest.warns(UserWarning, match="fast_dev_run"):
        assert scale(seeded(Limited), arguments={"fast_dev_run": True}) is None
    assert LOG == []


def test_accumulation_and_schedulers_do_not_matter():
    class Scheduled(Limited):
        def configure_optimizers(self):
            optimizer = torch.optim.SGD(self.parameters(), lr=0.1)
            plateau = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer)
            return {"optimizer": optimizer, "lr_scheduler": {"scheduler": plateau, "monitor": "val_loss"}}

    assert scale(seeded(Scheduled), arguments={"accumulate_grad_batches": 8, "val_check_interval": 50}) == 16


def test_data_without_a_length_is_no_bound():
    class Stream(torch.utils.data.IterableDataset):
        def __iter__(self):
            return iter([pairs()[0]] * 500)

    class Endless(Limited):
        def train_dataloader(self):
            return torch.utils.data.DataLoader(Stream(), batch_size=self.batch_size)

    assert scale(seeded(Endless)) == 16
