"""A device of type `cuda` on a machine without one: tensors that say they are there.

Their values are computed on the CPU, so everything runs as it is: what depends on data (miners,
`nonzero`, `float(loss)`), gradients, optimizers, and the branches that only CUDA takes. What
counts as on the device is remembered by storage. An operation on tensors of both devices fails as
on a GPU, and so does an array made of a tensor on the device.

PyTorch's own `FakeTensorMode` knows devices too, but has no values: without a GPU it can run
neither a backward pass on `cuda`, nor anything that asks for a value.

What it cannot see: an operation that CUDA lacks or computes otherwise, precision, memory, time,
and Python code inside torch's own functions that looks at a device.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.multiprocessing.reductions import StorageWeakRef
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

CUDA, CPU = torch.device("cuda", 0), torch.device("cpu")
ACROSS = ("aten::copy_",)  # from one device to another; what `to` does is done by `_Move`
INDEXING = ("aten::index", "aten::index_put", "aten::index_put_", "aten::_index_put_impl_")

# By address. A weak reference keeps the address from being used again, and no data alive
_there: dict[int, StorageWeakRef] = {}


def on_device(tensor: Tensor) -> bool:
    """Whether it counts as being on the device."""
    return tensor.untyped_storage()._cdata in _there


def put(tensor: Tensor) -> Tensor:
    """Count a tensor, and all that share its storage, as being on the device."""
    storage = tensor.untyped_storage()
    _there[storage._cdata] = StorageWeakRef(storage)
    return tensor


class WrongDevice(RuntimeError):
    """What a GPU would have failed with."""


class _Operations(TorchDispatchMode):
    """Lets no operation mix devices, and remembers where its results are."""

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple = (), kwargs: dict | None = None
    ) -> Any:
        kwargs, name = kwargs or {}, func._schema.name
        asked = args if name not in INDEXING or not on_device(args[0]) else (args[0], *args[2:])
        given = [leaf for leaf in tree_leaves((asked, kwargs)) if isinstance(leaf, Tensor)]
        places = {on_device(tensor) for tensor in given if tensor.ndim or on_device(tensor)}
        if len(places) > 1 and name not in ACROSS:
            shapes = ", ".join(f"{list(t.shape)} on {place_of(t)}" for t in given)
            raise WrongDevice(f"{name}: tensors on different devices: {shapes}")
        found = func(*args, **kwargs)
        # torch makes tensors of its own on the way, as `one_hot` does: where what it was given is
        there = any(places) if given else _Calls.asked_there
        if there and name not in ACROSS:
            for leaf in tree_leaves(found):
                if isinstance(leaf, Tensor):
                    put(leaf)
        return found


def place_of(tensor: Tensor) -> torch.device:
    """What `tensor.device` is to say."""
    return CUDA if on_device(tensor) else CPU


class _Move(torch.autograd.Function):
    """A copy on the other device; its gradient goes back."""

    @staticmethod
    def forward(ctx: Any, tensor: Tensor, there: bool) -> Tensor:
        with torch.utils._python_dispatch._disable_current_modes():
            moved = tensor.clone()
        ctx.there = there
        return put(moved) if there else moved

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        return _Move.apply(gradient, not ctx.there), None


GETTERS: dict[Any, Callable[[Tensor], Any]] = {
    Tensor.device.__get__: place_of,
    Tensor.is_cuda.__get__: on_device,
    Tensor.is_cpu.__get__: lambda tensor: not on_device(tensor),
    Tensor.get_device: lambda tensor: 0 if on_device(tensor) else -1,
}
ARRAYS = (Tensor.numpy, Tensor.__array__)


class _Calls(TorchFunctionMode):
    """Answers what is asked about devices, and moves tensors."""

    asked_there = False  # whether the call that torch is at was given a tensor on the device

    def __torch_function__(
        self, func: Any, types: Any, args: tuple = (), kwargs: dict | None = None
    ) -> Any:
        kwargs = dict(kwargs or {})
        if func in GETTERS:
            return GETTERS[func](args[0])
        if func in (Tensor.to, Tensor.cpu, Tensor.cuda):
            return self._moved(func, *args, **kwargs)
        if func in ARRAYS and on_device(args[0]):
            raise WrongDevice("can't convert a tensor on cuda to numpy: use .cpu() first")
        if func is Tensor.__deepcopy__ and on_device(args[0]):
            return put(func(*args, **kwargs))
        wanted = kwargs.get("device")
        if wanted is not None and torch.device(wanted).type == "cuda":
            found = func(*args, **kwargs | {"device": CPU})
            return put(found)
        given = (leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, Tensor))
        before, _Calls.asked_there = _Calls.asked_there, any(map(on_device, given))
        try:
            return func(*args, **kwargs)
        finally:
            _Calls.asked_there = before

    @staticmethod
    def _moved(func: Any, tensor: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        wanted = {Tensor.cpu: CPU, Tensor.cuda: CUDA}.get(func, kwargs.pop("device", None))
        kept = []  # but for where to and how fast, what `to` is asked for: a type
        for value in args:
            if isinstance(value, Tensor):  # be where that is, and of its type
                wanted = place_of(value)
                kept.append(value.dtype)
            elif isinstance(value, torch.device | str):
                wanted = value
            elif isinstance(value, torch.dtype):
                kept.append(value)
        there = on_device(tensor) if wanted is None else torch.device(wanted).type == "cuda"
        if there != on_device(tensor):
            tensor = _Move.apply(tensor, there)
        return tensor.to(*kept, **kwargs) if kept or kwargs else tensor


@contextmanager
def pretend_cuda() -> Iterator[None]:
    """While the block lasts, tensors can be on `cuda`. Starts with all on the CPU."""
    _there.clear()
    with _Operations(), _Calls():
        yield
    _there.clear()
