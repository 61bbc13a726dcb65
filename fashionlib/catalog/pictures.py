"""Reading one picture, and the one way it is made square for a network."""

import io
from pathlib import Path
from typing import IO

import numpy as np
from PIL import Image, ImageOps

from fashionlib.errors import FashionError

# A 64-megapixel picture takes 200 MB as RGB: no camera phone's everyday photo is larger, and a
# file of a few kilobytes that claims more is a trap.
MOST_PIXELS = 64_000_000

# Named, since Pillow would otherwise also try formats that start another program (EPS).
Image.init()
FORMATS = tuple(
    name
    for name in ("JPEG", "MPO", "PNG", "WEBP", "GIF", "BMP", "TIFF", "AVIF")
    if name in Image.OPEN
)

# Part of every cache key: raise it when `read_picture` or `to_square` changes what comes out.
PREPROCESSING = 1


def read_picture(source: Path | str | bytes | IO[bytes], size: int | None = None) -> Image.Image:
    """Open one picture: RGB, upright, whole.

    Rotates as EXIF says, lays transparency on white, and turns palettes, gray of 8 or 16 bits
    and CMYK into RGB. Of an animation the first frame counts.

    Args:
        source: a path, the bytes of a file, or an open binary file.
        size: the side in pixels that `to_square` will be asked for. A large JPEG is then
            decoded at a half, a quarter or an eighth of its size, never below four times
            `size`, where the difference is too small to see and the time a tenth.

    Raises:
        FashionError: missing, a folder, not a picture, broken, empty, or over 64 megapixels
            (found in the header, before anything is decoded).
    """
    name = getattr(source, "name", "the picture")
    if isinstance(source, bytes):
        source = io.BytesIO(source)
    elif isinstance(source, str | Path):
        name = str(source)
        if Path(source).is_dir():
            raise FashionError(f"{name} is a folder: give one picture file.")
    try:
        with Image.open(source, formats=FORMATS) as picture:
            if 0 in picture.size:
                raise ValueError("it has no pixels")
            if picture.width * picture.height > MOST_PIXELS:
                raise Image.DecompressionBombError  # Pillow raises it too, but later than we do
            if size is not None:
                picture.draft(None, (4 * size, 4 * size))
            return _to_rgb(ImageOps.exif_transpose(picture))
    except Exception as error:  # a decoder may fail with anything on the bytes of a stranger
        raise FashionError(f"{name} {_complaint(error)}") from error


def to_square(picture: Image.Image, size: int) -> np.ndarray:
    """Squash an RGB picture to uint8 [3, size, size], bicubic with antialiasing.

    The only preprocessing: catalogs, queries and the page in the browser all do just this. The
    whole garment stays in view, where a centre crop would cut hems and sleeves off tall photos.
    The price is the aspect: a tall dress becomes a wider one, the same way every time, so a
    network can learn with it.
    """
    square = picture.resize((size, size), Image.Resampling.BICUBIC)
    return np.ascontiguousarray(np.asarray(square).transpose(2, 0, 1))


def read_square(root: Path, name: str, size: int) -> np.ndarray:
    """A picture below a folder as uint8 [3, size, size]; the FashionError begins with its name."""
    path = root / name
    try:
        return to_square(read_picture(path, size), size)
    except FashionError as error:
        raise FashionError(name + str(error).removeprefix(str(path))) from error


def _complaint(error: Exception) -> str:
    if isinstance(error, FileNotFoundError):
        return "does not exist: check the path."
    if isinstance(error, Image.UnidentifiedImageError):
        return "is not a picture we can read: use JPEG, PNG, WebP, GIF, BMP or TIFF."
    if isinstance(error, Image.DecompressionBombError):
        return f"has more than {MOST_PIXELS // 1_000_000} megapixels: save a smaller copy."
    reason = (str(error).splitlines() or [type(error).__name__])[0]
    return f"cannot be read ({reason}): save it again or leave it out."


def _to_rgb(picture: Image.Image) -> Image.Image:
    if picture.has_transparency_data:
        picture = picture.convert("RGBA")
        white = Image.new("RGBA", picture.size, "white")
        return Image.alpha_composite(white, picture).convert("RGB")
    if picture.mode.startswith("I"):
        # Pillow clips 16-bit gray to 255 instead of scaling it: nearly all would come out white
        gray = np.clip(np.asarray(picture, dtype=np.float64) / 257, 0, 255).round()
        picture = Image.fromarray(gray.astype(np.uint8))
    return picture.convert("RGB")
