"""Streams without a length, steps instead of epochs, and pieces of sequences."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch


def test_a_stream_is_trained_for_so_many_steps(load, rows) -> None:
    program = load("language_model")
    ran = program.main()
    per_epoch = sum(1 for _ in torch.utils.data.DataLoader(program.Stream(), batch_size=4))
    assert (ran.steps, ran.epochs) == (60, 60 // per_epoch)
    assert ran.trainer.num_training_batches == float("inf")
    table = rows("logs/text/version_0")
    losses = [row["train_loss"] for row in table if "train_loss" in row]
    assert len(losses) == 60 // 5
    assert losses[-1] < losses[0] / 1.5
    first = next(row for row in table if "perplexity" in row)
    assert first["perplexity"] == pytest.approx(torch.tensor(first["train_loss"]).exp().item(), rel=1e-5)


def test_validation_comes_every_so_many_batches_across_epochs(load, rows) -> None:
    load("language_model").main()
    steps = [row["step"] for row in rows("logs/text/version_0") if "val_loss" in row]
    assert steps == [14, 29, 44, 59]


def test_checkpoints_come_every_so_many_steps_and_generate_the_same_text(load) -> None:
    program = load("language_model")
    ran = program.main()
    assert sorted(file.name for file in Path("checkpoints").iterdir()) == [
        "step=20.ckpt",
        "step=40.ckpt",
        "step=60.ckpt",
    ]
    model = program.Transformer.load_from_checkpoint("checkpoints/step=60.ckpt").eval()
    assert "mask" not in torch.load("checkpoints/step=60.ckpt", weights_only=True)["state_dict"]
    assert model.generate("the quick", 20) == ran.text


def test_a_run_that_was_cut_goes_on_within_the_stream(load) -> None:
    program = load("language_model")
    ran = program.main()
    program.L.seed_everything(100)
    model = program.Transformer()
    trainer = program.L.Trainer(
        max_steps=60,
        val_check_interval=15,
        check_val_every_n_epoch=None,
        gradient_clip_val=1.0,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
    )
    loaders = [torch.utils.data.DataLoader(data, batch_size=4) for data in (program.Stream(), program.Held())]
    trainer.fit(model, *loaders, ckpt_path="checkpoints/step=40.ckpt")
    assert all(torch.equal(value, ran.weights[name]) for name, value in model.state_dict().items())


def test_a_share_of_a_stream_is_refused_with_what_would_work(load) -> None:
    program = load("language_model")
    trainer = program.L.Trainer(max_epochs=1, val_check_interval=0.5, logger=False, enable_checkpointing=False)
    loaders = [torch.utils.data.DataLoader(data, batch_size=4) for data in (program.Stream(), program.Held())]
    with pytest.raises(program.L.ConfigurationError, match=r"val_check_interval=500"):
        trainer.fit(program.Transformer(), *loaders)


def test_an_rnn_learns_from_pieces_of_sequences_like_a_loop_by_hand(load, rows) -> None:
    program = load("language_model")
    ran = program.truncated()

    torch.manual_seed(9)
    model = program.RNN()
    optimizer = model.configure_optimizers()
    for _ in range(8):
        for x, y in zip(*(part.split(8) for part in program.waves()), strict=True):
            hidden = None
            for part, wanted in zip(x.chunk(4, 1), y.chunk(4, 1), strict=True):
                output, hidden = model.rnn(part, hidden)
                hidden = hidden.detach()
                optimizer.zero_grad()
                torch.nn.functional.mse_loss(model.out(output), wanted).backward()
                torch.nn.utils.clip_grad_norm_(model.parameters(), 0.5)
                optimizer.step()

    assert ran.steps == 8 * 2 * 4
    assert all(torch.equal(value, ran.weights[name]) for name, value in model.state_dict().items())
    losses = [row["loss_epoch"] for row in rows("logs/waves/version_0") if "loss_epoch" in row]
    assert len(losses) == 8
    assert losses[-1] < losses[0] / 2
