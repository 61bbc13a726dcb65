"""Checkers for the exercises, one module each: they call an answer and judge what it does.

A checker such as `checks.mining.semi_hard(answer)` prints one line where the answer is right, and
raises `NotYet` where it is not: its message is one sentence that says what to look at. It never
reads the answer's source.
"""

import math
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from types import ModuleType
from typing import Any

import torch
from torch import Tensor

from fashionlib.errors import FashionError

MODULES = ("more_classes", "backbones", "losses", "export_and_faiss", "mining")


def __getattr__(name: str) -> ModuleType:
    """`checks.mining` without an import of its own; an exercise loads no other one's packages."""
    if name in MODULES:
        return import_module(f"{__name__}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


class NotYet(FashionError):
    """An answer that is not right yet. The message is one sentence that helps to go on.

    What went wrong inside the reader's own code, if anything, is the `__cause__`.
    """

    def _render_traceback_(self) -> list[str]:
        """Called by IPython: the sentence alone, nothing of our insides."""
        return [str(self)]


@dataclass(frozen=True)
class Task:
    """One task of an exercise: `wanted` ends the sentence "Task 1 is still to do: …".

    Each method but `done` raises `NotYet`, with the number of the task and one sentence, where
    the answer is not what the method asks for.
    """

    number: int
    wanted: str

    def value(self, answer: Any) -> Any:
        """The answer itself; `...` or None means that nobody has written it yet."""
        if answer is None or answer is Ellipsis:
            raise NotYet(f"Task {self.number} is still to do: {self.wanted.rstrip('.')}.")
        return answer

    def call(self, function: Callable, *arguments: Any, **named: Any) -> Any:
        """What the reader's function returns; what it raised is the `__cause__` of `NotYet`."""
        if not callable(self.value(function)):
            raise NotYet(f"Task {self.number}: pass the function itself, not what it returned.")
        try:
            result = function(*arguments, **named)
        except Exception as error:
            raise NotYet(f"Task {self.number}: {_raised(error)}") from error
        return self.value(result)

    def need(self, right: object, sentence: str) -> None:
        """Go on if `right`, which may be a tensor of one bool, else say the sentence."""
        if not right:
            raise NotYet(f"Task {self.number}: {sentence}")

    def rule_out(self, mistakes: Mapping[str, object]) -> None:
        """Go on if no mistake was made, else say the sentence of the first one that was."""
        for sentence, made in mistakes.items():
            self.need(not made, sentence)

    def compare(
        self,
        found: Tensor,
        right: Tensor,
        mistakes: Mapping[str, Tensor | Sequence[Tensor]],
        otherwise: str = "on an example the answer is off by up to {:.2g}.",
    ) -> None:
        """Go on if `found` is `right`, but for rounding, else say which mistake gives just that.

        `mistakes` has a sentence for each, and what it gives, or the several things that it may
        give. Where it is none of them `otherwise` is said; {} in it is the largest difference.
        """
        if close(found, right):
            return
        for sentence, given in mistakes.items():
            values = [given] if isinstance(given, Tensor) else given
            self.need(not any(close(found, value) for value in values), sentence)
        self.need(False, otherwise.format(float((found - right).detach().abs().max())))

    def several(self, result: Any, count: int, sentence: str) -> None:
        """Go on if the result is a tuple or list of `count`, else say the sentence."""
        self.need(isinstance(result, tuple | list) and len(result) == count, sentence)

    def tensor(self, result: Any, shape: tuple[int, ...], what: str = "your function") -> Tensor:
        """The result as it is, known to be a tensor of this shape and of finite numbers.

        Where it is not, `what` begins the sentence.
        """
        kind = type(result).__name__
        self.need(isinstance(result, Tensor), f"{what} gives a {kind}, a torch tensor is needed.")
        sizes = f"the shape {list(result.shape)}, {list(shape)} is needed."
        self.need(tuple(result.shape) == shape, f"{what} gives {sizes}")
        self.need(torch.isfinite(result).all(), f"{what} gives nan or inf among the numbers.")
        return result

    def one_number(self, result: Any) -> float:
        """The result as a finite number."""
        try:
            number = math.nan if isinstance(result, str) else float(result)
        except (TypeError, ValueError):
            number = math.nan
        self.need(math.isfinite(number), "the answer has to be one finite number.")
        return number

    def done(self, what: str) -> None:
        """Print the line that says the task is solved."""
        print(f"task {self.number} ✓ {what}")


def _raised(error: Exception) -> str:
    """What the reader's function raised, and the line of it that was being run."""
    message = (str(error).strip().splitlines() or [""])[0]
    sentence = f"your function raised {type(error).__name__}" + (f": {message}" if message else "")
    frames = traceback.extract_tb(error.__traceback__)[1:]  # the first is the call above
    line = frames[0].line if frames else ""
    return f"{sentence.rstrip('.')}" + (f", at `{line}`." if line else ".")


def random(*shape: int, seed: int) -> Tensor:
    """The same normal numbers each time: float32 of this shape."""
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def close(first: Tensor, second: Tensor, tolerance: float = 1e-4) -> bool:
    """Whether two results are equal, but for rounding."""
    same_shape = first.shape == second.shape
    return same_shape and torch.allclose(first.float(), second.float(), 1e-4, tolerance)
