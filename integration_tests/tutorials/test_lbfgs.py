"""LBFGS evaluates its closure as often as it does without a Trainer."""

from __future__ import annotations

import torch


def test_it_finds_the_line_and_equals_plain_torch(load) -> None:
    program = load("lbfgs")
    ran = program.main()

    torch.manual_seed(2)
    model = torch.nn.Linear(4, 1)
    optimizer = torch.optim.LBFGS(model.parameters(), lr=0.8, max_iter=6, history_size=4)
    evaluations = 0
    for _ in range(3):
        for x, y in zip(*(part.split(20) for part in program.table()), strict=True):

            def closure():
                nonlocal evaluations
                evaluations += 1
                optimizer.zero_grad()
                loss = torch.nn.functional.mse_loss(model(x), y)  # noqa: B023 - called at once
                loss.backward()
                return loss

            optimizer.step(closure)

    assert ran.steps == 6
    assert ran.evaluations == evaluations > 6
    assert torch.equal(ran.model.model.weight, model.weight)
    assert torch.equal(ran.model.model.bias, model.bias)
    torch.testing.assert_close(model.weight, torch.tensor([[1.0, -2.0, 0.5, 3.0]]), atol=1e-2, rtol=0)
