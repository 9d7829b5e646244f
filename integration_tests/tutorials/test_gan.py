"""Two optimizers: by hand, and in the manner of 1.x."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import torch.nn.functional as F


def test_a_gan_under_manual_optimisation_trains_both_parts(load, rows) -> None:
    ran = load("gan").main()
    steps = rows("logs/gan/version_0")
    assert {"g_loss", "d_loss_step", "d_real_step", "d_fake_step"} <= set(steps[0])
    first, last = ([row for row in steps if "d_loss_epoch" in row][at] for at in (0, -1))
    assert last["d_loss_epoch"] < first["d_loss_epoch"]
    assert ran.steps == 2 * 3 * 6  # each optimizer counts
    assert ran.rate == pytest.approx(2e-3 * 0.9**3)  # the step's own scheduler stepped once per epoch
    assert ran.bar == [
        "d_fake_epoch",
        "d_fake_step",
        "d_loss_epoch",
        "d_loss_step",
        "d_real_epoch",
        "d_real_step",
        "g_loss",
    ]


def test_its_example_images_are_there_and_parameters_are_free_again(load) -> None:
    ran = load("gan").main()
    folder = Path("logs/gan/version_0")
    assert sorted(one.name for one in folder.glob("images_*.pt")) == ["images_0.pt", "images_1.pt", "images_2.pt"]
    pictures = torch.load(folder / "images_2.pt")
    ran.model.eval()
    with torch.no_grad():  # the last epoch's pictures come from the weights it ended with
        torch.testing.assert_close(pictures, ran.model(ran.model.validation_z))
    assert all(parameter.requires_grad for parameter in ran.model.parameters())


def test_a_loaded_gan_has_its_hyperparameters(load) -> None:
    program = load("gan")
    ran = program.main()
    path = ran.trainer.checkpoint_callback.best_model_path
    loaded = program.GAN.load_from_checkpoint(path)
    assert dict(loaded.hparams) == {
        "channels": 1, "width": 8, "height": 8, "latent_dim": 8, "lr": 2e-3, "b1": 0.5, "note": "kept",
    }  # fmt: skip
    for name, value in loaded.state_dict().items():
        assert torch.equal(value, ran.weights[name])


def test_one_step_per_optimizer_equals_a_loop_written_by_hand(load) -> None:
    program = load("gan_one_step_per_optimizer")
    ran = program.main()

    torch.manual_seed(11)
    model = program.GAN()
    opt_g, opt_d = model.configure_optimizers()[0]
    for _ in range(2):
        for (imgs,) in torch.utils.data.DataLoader(program.crosses(), batch_size=16):
            real, made = torch.ones(len(imgs), 1), torch.zeros(len(imgs), 1)
            z = torch.randn(len(imgs), 8)
            opt_g.zero_grad()
            g_loss = F.binary_cross_entropy_with_logits(model.discriminator(model(z)), real)
            g_loss.backward()
            opt_g.step()
            z = torch.randn(len(imgs), 8)
            opt_d.zero_grad()
            real_loss = F.binary_cross_entropy_with_logits(model.discriminator(imgs), real)
            fake_loss = F.binary_cross_entropy_with_logits(model.discriminator(model(z).detach()), made)
            d_loss = (real_loss + fake_loss) / 2
            d_loss.backward()
            opt_d.step()

    for name, value in model.state_dict().items():
        assert torch.equal(value, ran.model.state_dict()[name]), name
    metrics = ran.trainer.callback_metrics
    assert (metrics["g_loss"], metrics["d_loss"]) == (g_loss, d_loss)
    assert ran.trainer.global_step == 2 * 2 * 4


def test_optimizers_that_took_turns_by_frequency_are_refused_with_the_replacement(load) -> None:
    program = load("gan_one_step_per_optimizer")

    class Wasserstein(program.GAN):
        def configure_optimizers(self):
            (opt_g, opt_d), _ = super().configure_optimizers()
            return {"optimizer": opt_g, "frequency": 1}, {"optimizer": opt_d, "frequency": 5}

    trainer = program.L.Trainer(max_epochs=1, logger=False, enable_checkpointing=False)
    with pytest.raises(program.L.FulmenError, match=r"automatic_optimization = False.*batch_idx % 5"):
        trainer.fit(Wasserstein(), torch.utils.data.DataLoader(program.crosses(), batch_size=16))
