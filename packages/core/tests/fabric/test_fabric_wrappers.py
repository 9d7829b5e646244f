"""What Fabric hands out behaves like what it was given."""

from __future__ import annotations

import copy
import gc
import pickle
import weakref
from typing import Any

import pytest
import torch
from fabric_cases import Net, cpu, differences, loader, samples, sgd
from torch import Tensor, nn
from torch.utils.data import DataLoader, DistributedSampler

from fulmen_core import CombinedLoader, Fabric
from fulmen_core.fabric import FabricDataLoader, FabricModule, FabricOptimizer, is_wrapped
from fulmen_interfaces import ConfigurationError, ModuleError
from fulmen_testing import FakeLogger


class Talking(Net):
    """Has methods and attributes of its own."""

    scale = 2.0

    def __init__(self) -> None:
        super().__init__()
        self.dropout = nn.Dropout(0.5)
        self.modes: list[torch.dtype] = []

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        loss = super().training_step(batch, batch_idx)
        self.log("loss", loss)
        self.log("quiet", loss, logger=False)
        return loss

    def doubled(self, x: Tensor) -> Tensor:
        """Twice the output."""
        self.modes.append((torch.ones(1, 1) @ torch.ones(1, 1)).dtype)
        return self.scale * self(x)


def test_the_model_shows_the_users_module() -> None:
    module = Talking()
    model, optimizer = cpu().setup(module, sgd(module))
    assert isinstance(model, FabricModule)
    assert isinstance(optimizer, FabricOptimizer)
    assert isinstance(optimizer, torch.optim.Optimizer)
    assert model.module is module
    assert model.scale == 2.0
    assert [name for name, _ in model.named_parameters()] == [name for name, _ in module.named_parameters()]
    assert [id(one) for one in model.parameters()] == [id(one) for one in module.parameters()]
    assert [name for name, _ in model.named_modules()] == [name for name, _ in module.named_modules()]
    assert list(model.children()) == list(module.children())
    assert model.state_dict().keys() == module.state_dict().keys()
    assert model.get_submodule("body") is module.body
    assert "Linear" in repr(model)
    model.scale = 3.0
    assert module.scale == 3.0
    with pytest.raises(AttributeError, match="nonsense"):
        _ = model.nonsense


def test_a_copy_is_a_plain_module() -> None:
    module = Net()
    model, optimizer = cpu().setup(module, sgd(module))
    model(torch.randn(1, 3)).sum().backward()
    for twin in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        assert type(twin) is Net
        assert twin is not module
        assert differences(twin, module) == []
    average = torch.optim.swa_utils.AveragedModel(model)
    optimizer.step()
    average.update_parameters(model)
    assert torch.equal(average.module.body.weight, module.body.weight)


def test_a_model_that_nobody_uses_any_more_is_let_go() -> None:
    fabric = cpu()

    def fold() -> Any:
        module = Net()
        model, optimizer = fabric.setup(module, sgd(module))
        fabric.backward(model(torch.randn(1, 3)).sum())
        optimizer.step()
        return weakref.ref(module)

    gone = fold()
    gc.collect()
    assert gone() is None
    module = Net()
    model, _ = fabric.setup(module, sgd(module))
    fabric.backward(nn.functional.mse_loss(model.body(torch.randn(1, 3)), torch.zeros(1, 8)))
    assert module.body.weight.grad is not None


def test_modes_are_the_users_modules() -> None:
    module = Talking()
    model = cpu().setup_module(module)
    assert model.eval() is model
    assert (model.training, module.training, module.dropout.training) == (False, False, False)
    module.train()
    assert model.training
    assert model.requires_grad_(False) is model
    assert not any(one.requires_grad for one in module.parameters())
    model.double()
    assert module.body.weight.dtype is torch.float64


def test_hooks_on_the_users_module_run() -> None:
    module, seen = Net(), []
    module.register_forward_hook(lambda *_: seen.append("inside"))
    model = cpu().setup_module(module)
    model.register_forward_hook(lambda *_: seen.append("outside"))
    model(torch.randn(1, 3))
    assert seen == ["inside", "outside"]


def test_only_marked_methods_run_in_the_precision() -> None:
    module = Talking()
    model = cpu(precision="bf16-mixed").setup_module(module)
    x = torch.randn(1, 3)
    model.doubled(x)
    model.mark_forward_method("doubled")
    assert model.doubled(x).dtype is torch.float32
    assert model.doubled.__doc__ == "Twice the output."
    assert module.modes == [torch.float32, torch.bfloat16]


@pytest.mark.parametrize("method", ["forward", "absent", 3])
def test_what_cannot_be_marked_is_refused(method: Any) -> None:
    model = cpu().setup_module(Net())
    with pytest.raises(ConfigurationError, match="method"):
        model.mark_forward_method(method)


def test_a_forgotten_backward_is_told_where_it_would_train_wrongly() -> None:
    x = torch.randn(1, 3)
    model = cpu(precision="16-mixed").setup_module(Net())
    (gradient,) = torch.autograd.grad(model(x).sum(), [model.head.bias])  # this is no training
    assert gradient.isfinite().all()
    with pytest.raises(ModuleError, match=r"Call `fabric\.backward\(loss\)` instead"):
        model(x).sum().backward()
    plain = cpu().setup_module(Net())
    plain(x).sum().backward()
    assert plain.head.bias.grad is not None


def test_the_optimizer_shows_the_users() -> None:
    module = Net()
    own = sgd(module)
    model, optimizer = cpu().setup(module, own)
    assert optimizer.optimizer is own
    assert optimizer.param_groups is own.param_groups
    assert optimizer.defaults is own.defaults
    model(torch.randn(1, 3)).sum().backward()
    steps: list[int] = []
    optimizer.register_step_post_hook(lambda *_: steps.append(1))
    optimizer.step()
    assert optimizer.state is own.state
    assert steps == [1]
    assert optimizer.state_dict()["state"].keys() == own.state_dict()["state"].keys() != set()
    other_module = Net()
    _, other = cpu().setup(other_module, sgd(other_module, lr=5.0))
    other.load_state_dict(optimizer.state_dict())
    assert other.param_groups[0]["lr"] == 0.1
    assert torch.equal(
        other.state[other_module.head.bias]["momentum_buffer"], own.state[module.head.bias]["momentum_buffer"]
    )
    optimizer.zero_grad()
    assert all(one.grad is None for one in module.parameters())


def test_an_optimizer_with_state_goes_on_with_it() -> None:
    module = Net()
    own = sgd(module)
    module(torch.randn(1, 3)).sum().backward()
    own.step()
    momentum = own.state[module.head.bias]["momentum_buffer"].clone()
    _, optimizer = cpu().setup(module, own)
    assert torch.equal(optimizer.state[module.head.bias]["momentum_buffer"], momentum)


def test_a_lightning_module_logs_and_optimises_by_hand() -> None:
    logger = FakeLogger()
    fabric, module = cpu(loggers=logger), Talking()
    module.automatic_optimization = False
    model, optimizer = fabric.setup(module, sgd(module))
    loss = model.training_step(next(iter(loader())), 0)
    module.manual_backward(loss)
    assert module.optimizers() is optimizer
    module.clip_gradients(optimizer, 0.1)
    norm = torch.stack([one.grad.norm() for one in module.parameters() if one.grad is not None]).norm()
    assert norm.item() == pytest.approx(0.1, rel=1e-4)
    assert logger.metrics == [(None, {"loss": pytest.approx(loss.item())})]
    assert (module.current_epoch, module.global_rank, module.device) == (0, 0, torch.device("cpu"))
    assert list(module.loggers) == [logger]
    assert module.fabric is fabric
    assert Talking().fabric is None
    with pytest.raises(AttributeError, match="there is no Trainer"):
        _ = module.trainer.max_epochs


def test_values_go_to_all_loggers() -> None:
    loggers = [FakeLogger(), FakeLogger()]
    fabric = cpu(loggers=loggers)
    fabric.log("a", torch.tensor(0.5), step=3)
    fabric.log_dict({"b": 1, "c": 2.0})
    for logger in loggers:
        assert logger.metrics == [(3, {"a": 0.5}), (None, {"b": 1.0, "c": 2.0})]
    assert fabric.logger is loggers[0]
    assert fabric.loggers == loggers
    assert cpu().logger is None


class Set(list[int]):
    """A data set that is told the epoch."""

    epoch = -1

    def set_epoch(self, epoch: int) -> None:
        self.epoch = epoch


def test_the_loader_tells_epochs_and_shows_the_users() -> None:
    data = Set(range(5))
    own: DataLoader[Any] = DataLoader(data, batch_size=2)  # type: ignore[arg-type]
    ready = cpu().setup_dataloaders(own)
    assert isinstance(ready, FabricDataLoader)
    assert len(ready) == 3
    assert ready.batch_size == 2
    assert ready.dataset is data
    assert ready.device == torch.device("cpu")
    assert cpu().setup_dataloaders(own, move_to_device=False).device is None
    epochs = []
    for _ in range(2):
        assert [batch.tolist() for batch in ready] == [[0, 1], [2, 3], [4]]
        epochs.append(data.epoch)
    ready.set_epoch(7)
    list(ready)
    assert [*epochs, data.epoch] == [0, 1, 7]


def test_several_loaders_come_back_as_a_list_and_any_iterable_will_do() -> None:
    one, two, three = cpu().setup_dataloaders(loader(), [1, 2], CombinedLoader([[1], [2]], "min_size"))
    assert len(one) == 6
    assert list(two) == [1, 2]
    assert len(list(three)) == 1


def test_a_distributed_sampler_is_told_the_epoch() -> None:
    sampler: DistributedSampler[Any] = DistributedSampler(samples(), num_replicas=2, rank=1, shuffle=True)
    ready = cpu().setup_dataloaders(DataLoader(samples(), sampler=sampler))
    first, second = ([x.tolist() for x, _ in ready] for _ in range(2))
    assert first != second
    assert sampler.epoch == 1


def test_what_was_set_up_can_be_told() -> None:
    fabric, module = cpu(), Net()
    own = sgd(module)
    model, optimizer = fabric.setup(module, own)
    assert all(map(is_wrapped, (model, optimizer, fabric.setup_dataloaders(loader()))))
    assert not any(map(is_wrapped, (module, own, loader())))


class Watching:
    """A callback of no base class."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, Any]] = []

    def on_after_setup(self, fabric: Fabric, module: nn.Module) -> None:
        self.calls.append(("setup", module))

    def on_after_optimizer_step(self, strategy: Any, optimizer: Any) -> None:
        self.calls.append(("step", optimizer))

    def of_mine(self, *args: Any, word: str = "") -> None:
        self.calls.append((word, args))


def test_callbacks_are_called_by_name() -> None:
    watching, module = Watching(), Net()
    fabric = cpu(callbacks=[object(), watching])
    model, optimizer = fabric.setup(module, sgd(module))
    optimizer.step()
    fabric.call("of_mine", 1, 2, word="hello")
    fabric.call("nobody_has_this")
    assert watching.calls == [("setup", model), ("step", optimizer), ("hello", (1, 2))]
    assert len(cpu(callbacks=watching)._parts.callbacks) == 1


def test_one_process_reduces_and_gathers_alone(capsys: pytest.CaptureFixture[str]) -> None:
    fabric = cpu()
    assert fabric.all_gather({"a": torch.ones(2), "b": 3})["a"].shape == (1, 2)
    assert fabric.all_reduce([torch.tensor(2.0), 4.0], reduce_op="sum") == [torch.tensor(2.0), torch.tensor(4.0)]
    assert fabric.broadcast("word") == "word"
    fabric.barrier()
    with fabric.rank_zero_first():
        fabric.print("hello", end="!")
    assert capsys.readouterr().out == "hello!"
    assert (fabric.world_size, fabric.global_rank, fabric.local_rank, fabric.node_rank) == (1, 0, 0, 0)
    assert fabric.is_global_zero
    assert fabric.device == torch.device("cpu")
    moved = fabric.to_device({"x": torch.ones(1), "m": nn.Linear(1, 1)})
    assert moved["x"].device == fabric.device
    assert fabric.strategy.spec.name == "single_device"
    assert fabric.accelerator.spec.name == "cpu"


def test_seeding_is_that_of_the_core() -> None:
    assert Fabric.seed_everything(11, verbose=False) == 11
    first = torch.rand(1)
    assert cpu().seed_everything(11, workers=True, verbose=False) == 11
    assert torch.equal(first, torch.rand(1))


class Work(Fabric):
    """A program as a class."""

    def run(self, start: int, *, factor: int = 1) -> int:
        return self.broadcast(start * factor)


def test_a_subclass_runs_when_it_is_called() -> None:
    work = Work(accelerator="cpu", devices=1)
    assert work.run(3, factor=2) == 6
    assert work.run(4) == 4
    with pytest.raises(NotImplementedError, match="Define `run"):
        cpu().run()


def test_a_function_is_launched_with_the_fabric_first() -> None:
    fabric = cpu()
    assert fabric.launch(lambda own, *args, **kwargs: (own is fabric, args, kwargs), 1, b=2) == (True, (1,), {"b": 2})
    assert fabric.launch() is None
    fabric.close()
    assert fabric.launch(lambda own: own.all_gather(1).tolist()) == [1]
