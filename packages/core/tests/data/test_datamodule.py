import pickle
import warnings
from pathlib import Path

import pytest
import torch
from torch.utils.data import DataLoader, Dataset, IterableDataset, RandomSampler, SequentialSampler

from fulmen_core.batches import DataHooks
from fulmen_core.batches._data_hooks import overrides_data_hook
from fulmen_core.checkpoint import TorchCheckpointIO
from fulmen_core.data import LightningDataModule
from fulmen_core.hparams import DATAMODULE_KEYS, dump_hyperparameters
from fulmen_interfaces import CheckpointError, DataError

LOADER_HOOKS = ["train_dataloader", "val_dataloader", "test_dataloader", "predict_dataloader"]


class Numbers(Dataset):
    def __init__(self, count=8):
        self.count = count

    def __len__(self):
        return self.count

    def __getitem__(self, index):
        return torch.tensor(float(index))


class Stream(IterableDataset):
    def __iter__(self):
        return iter(range(5))


class Sized:
    """A dataset that derives from nothing of torch's."""

    def __len__(self):
        return 3

    def __getitem__(self, index):
        return index

    def __iter__(self):
        return iter(range(3))


class Digits(LightningDataModule):
    def __init__(self, root, batch_size=2):
        super().__init__()
        self.save_hyperparameters()
        self.position = 0

    def state_dict(self):
        return {"position": self.position}

    def load_state_dict(self, state_dict):
        self.position = state_dict["position"]


def read(loader):
    return [batch.tolist() for batch in loader]


@pytest.mark.parametrize("hook", LOADER_HOOKS)
def test_a_loader_hook_that_is_not_defined_says_so(hook):
    with pytest.raises(DataError, match=rf"Digits\.{hook}\(\) was called.*Define `{hook}\(self\)`"):
        getattr(Digits("r"), hook)()


def test_other_hooks_do_nothing_and_batches_pass():
    data = LightningDataModule()
    batch = {"x": torch.ones(2)}
    data.prepare_data()
    data.setup("fit")
    data.teardown("fit")
    data.on_exception(ValueError())
    data.load_state_dict(data.state_dict())
    assert data.on_before_batch_transfer(batch, 0) is batch
    assert data.on_after_batch_transfer(batch, 0) is batch
    assert data.state_dict() == {}
    assert data.trainer is None
    assert data.prepare_data_per_node


def test_a_batch_is_transferred_to_the_device():
    moved = LightningDataModule().transfer_batch_to_device([torch.ones(2), "a"], torch.device("meta"), 0)
    assert moved[0].device.type == "meta"
    assert moved[1] == "a"


def test_hooks_that_a_class_defines_or_an_object_is_given_are_known():
    class Defining(DataHooks):
        def train_dataloader(self):
            return [1]

    data = Defining()
    data.val_dataloader = lambda: [2]
    assert [overrides_data_hook(data, hook) for hook in LOADER_HOOKS] == [True, True, False, False]
    assert not overrides_data_hook(data, "setup")


def test_datasets_become_loaders_and_only_training_is_shuffled():
    data = LightningDataModule.from_datasets(Numbers(), Numbers(4), batch_size=2)
    assert isinstance(data.train_dataloader().sampler, RandomSampler)
    assert sorted(number for batch in read(data.train_dataloader()) for number in batch) == list(range(8))
    assert isinstance(data.val_dataloader().sampler, SequentialSampler)
    assert read(data.val_dataloader()) == [[0, 1], [2, 3]]
    assert [overrides_data_hook(data, hook) for hook in LOADER_HOOKS] == [True, True, False, False]


def test_streams_and_foreign_datasets_are_single_datasets():
    data = LightningDataModule.from_datasets(Stream(), predict_dataset=Sized(), batch_size=5)
    assert read(data.train_dataloader()) == [[0, 1, 2, 3, 4]]
    assert read(data.predict_dataloader()) == [[0, 1, 2]]


def test_several_datasets_become_several_loaders_each_time():
    one, other = Numbers(1), Numbers(2)
    data = LightningDataModule.from_datasets({"a": one, "b": other}, [one, other], (one,), iter([one, other]))
    assert {name: loader.dataset for name, loader in data.train_dataloader().items()} == {"a": one, "b": other}
    assert [loader.dataset for loader in data.val_dataloader()] == [one, other]
    assert [loader.dataset for loader in data.test_dataloader()] == [one]
    for _ in range(2):
        assert [loader.dataset for loader in data.predict_dataloader()] == [one, other]


def test_from_datasets_makes_the_class_it_is_called_on_with_its_arguments():
    data = Digits.from_datasets(Numbers(), batch_size=4, root="r", num_workers=0)
    assert type(data) is Digits
    assert data.hparams.root == "r"
    assert read(data.train_dataloader())[0] != []
    with pytest.raises(TypeError, match="nonsense"):
        Digits.from_datasets(root="r", nonsense=1)


def test_what_from_datasets_returns_can_be_sent_to_another_process():
    data = pickle.loads(pickle.dumps(LightningDataModule.from_datasets(val_dataset=Numbers(2), batch_size=2)))
    assert read(data.val_dataloader()) == [[0, 1]]


@pytest.mark.skipif(torch.accelerator.is_available(), reason="needs a machine without accelerator")
def test_loaders_of_a_machine_without_accelerator_do_not_warn_about_pinned_memory():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        read(LightningDataModule.from_datasets(Numbers()).train_dataloader())


def test_it_is_made_again_from_a_checkpoint(tmp_path):
    data = Digits(Path("root"), 7)
    data.position = 4
    file = tmp_path / "a.ckpt"
    entries = {Digits.__qualname__: data.state_dict(), **dump_hyperparameters(data, DATAMODULE_KEYS)}
    TorchCheckpointIO().save(entries, str(file))
    again = Digits.load_from_checkpoint(file)
    assert type(again) is Digits
    assert (again.hparams, again.position) == ({"root": Path("root"), "batch_size": 7}, 4)
    assert Digits.load_from_checkpoint(str(file), batch_size=1).hparams.batch_size == 1
    with pytest.raises(TypeError, match=r"Write `new = Digits\.load_from_checkpoint"):
        data.load_from_checkpoint(file)


def test_arguments_that_no_checkpoint_holds_are_asked_for(tmp_path):
    file = str(tmp_path / "a.ckpt")
    TorchCheckpointIO().save({"state_dict": {}}, file)
    with pytest.raises(CheckpointError, match=r"'root': the checkpoint does not hold it.*root=\.\.\."):
        Digits.load_from_checkpoint(file)
    assert type(LightningDataModule.load_from_checkpoint(file)) is LightningDataModule


def test_a_checkpoint_of_lightning_is_read(tmp_path):
    file = tmp_path / "a.ckpt"
    torch.save(
        {
            "pytorch-lightning_version": "2.6.6",
            "state_dict": {},
            "datamodule_hparams_name": "kwargs",
            "datamodule_hyper_parameters": {"root": "r", "batch_size": 3},
            "Digits": {"position": 2},
        },
        file,
    )
    again = Digits.load_from_checkpoint(file)
    assert (again.hparams, again.position) == ({"root": "r", "batch_size": 3}, 2)


def test_the_keys_are_those_of_lightning():
    names = ("CHECKPOINT_HYPER_PARAMS_KEY", "CHECKPOINT_HYPER_PARAMS_NAME", "CHECKPOINT_HYPER_PARAMS_TYPE")
    assert [getattr(LightningDataModule, name) for name in names] == [
        "datamodule_hyper_parameters",
        "datamodule_hparams_name",
        "datamodule_hparams_type",
    ]


def test_a_loader_of_a_subclass_is_used_as_it_is():
    class Own(LightningDataModule):
        def train_dataloader(self):
            return DataLoader(Numbers(3), batch_size=3)

    assert read(Own().train_dataloader()) == [[0, 1, 2]]
