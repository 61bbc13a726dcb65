"""What every test of a person's mistake asks."""

from collections.abc import Callable

import pytest

from fashionlib.errors import FashionError


def complaint(call: Callable[[], object], *mentions: object) -> str:
    """The message `call` fails with: a FashionError of one line that names what it should."""
    with pytest.raises(FashionError) as caught:
        call()
    assert caught.type is FashionError
    message = str(caught.value)
    assert len(message.splitlines()) == 1
    for mention in mentions:
        assert str(mention) in message
    return message
