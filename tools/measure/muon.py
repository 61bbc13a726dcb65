"""Muon: a step that is as long in every direction of a matrix (a trial of the ablation).

A gradient of a matrix has a few strong directions and many weak ones, and a step along it learns
the strong ones first. Muon makes them equal: it takes the nearest matrix with orthogonal rows (or
columns). Sources: Jordan et al. 2024, "Muon: An optimizer for hidden layers in neural networks",
kellerjordan.github.io/posts/muon; Liu et al. 2025, "Muon is Scalable for LLM Training", arXiv
2502.16982, section 2.2 (how long a step is).

`torch.optim.Muon` does the same, for parameters of two dimensions and in bfloat16. On a CPU that
cannot compute in bfloat16 it takes longer than the network itself.
"""

import torch
from torch import Tensor, nn

from fashionlib.training import Recipe, make_optimizer

MOMENTUM = 0.95
STEP = 0.4  # times √(longer side): in units of AdamW's step, twice what Liu et al. take
# of a polynomial that takes all numbers from 0 to 1 near to 1 when it is repeated five times
COEFFICIENTS = (3.4445, -4.7750, 2.0315)


def orthogonalised(matrix: Tensor, rounds: int = 5) -> Tensor:
    """About the nearest matrix whose singular values are all 1: float [M, N] to float [M, N].

    Newton-Schulz iteration, with Jordan et al.'s coefficients: the singular values come out
    between 0.5 and 1.5 or so, which is near enough. A matrix of zeros stays one.
    """
    a, b, c = COEFFICIENTS
    wide = matrix.T if len(matrix) > matrix.shape[1] else matrix
    wide = wide / wide.norm().clamp(min=1e-7)
    for _ in range(rounds):
        square = wide @ wide.T
        wide = a * wide + (b * square + c * square @ square) @ wide
    return wide.T if len(matrix) > matrix.shape[1] else wide


class Muon(torch.optim.AdamW):
    """Muon for convolutions of 1×1, float [M, N, 1, 1], and AdamW for all other parameters."""

    @torch.no_grad()
    def step(self) -> None:
        """One step along the gradients; those of the 1×1 convolutions are gone after it."""
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.ndim == 4 and parameter.shape[2:] == (1, 1):
                    self._turn(parameter, group["lr"], group["weight_decay"])
        super().step()  # passes over what has no gradient

    def _turn(self, kernel: nn.Parameter, learning_rate: float, weight_decay: float) -> None:
        state = self.state[kernel]
        if "momentum" not in state:
            state["momentum"] = torch.zeros_like(kernel)
            state["step"] = torch.zeros(())  # AdamW looks for it when a state is loaded
        state["momentum"].lerp_(kernel.grad, 1 - MOMENTUM)
        gradient = kernel.grad.lerp(state["momentum"], MOMENTUM)  # as Nesterov does
        length = STEP * max(kernel.shape[:2]) ** 0.5
        kernel.mul_(1 - learning_rate * weight_decay)
        step = orthogonalised(gradient.flatten(1))
        kernel.sub_(step.reshape(kernel.shape), alpha=learning_rate * length)
        kernel.grad = None


def make_muon(model: nn.Module, recipe: Recipe) -> Muon:
    """Instead of `make_optimizer`, with the same groups: what decays there decays here."""
    return Muon(make_optimizer(model, recipe).param_groups)
