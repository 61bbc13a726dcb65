"""Reading one picture, and the one way it is made square for a network."""

import io
import re
import warnings
import zlib
from pathlib import Path
from typing import IO

import numpy as np
from PIL import ExifTags, Image, ImageChops, TiffImagePlugin

from fashionlib.errors import FashionError, printable

PNG, JPEG = b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff"

# A 64-megapixel picture takes 200 MB as RGB: no camera phone's everyday photo is larger, and a
# file of a few kilobytes that claims more is a trap.
MOST_PIXELS = 64_000_000
MOST_BYTES = 300_000_000  # of what another program writes, perhaps without end
# A progressive JPEG has about ten scans, and each costs as much as a whole picture.
MOST_SCANS = 100
# What begins a part of a JPEG, with its length behind it
MARKER = re.compile(rb"\xff[^\x00\x01\xd0-\xd8\xff]", re.DOTALL)

# Pillow's remarks on a file, two lines each: what matters of them, we say in one
warnings.filterwarnings("ignore", module=r"PIL\.")

# Named, since Pillow would otherwise also try formats that start another program (EPS).
Image.init()
FORMATS = tuple(
    name
    for name in ("JPEG", "MPO", "PNG", "WEBP", "GIF", "BMP", "TIFF", "AVIF")
    if name in Image.OPEN
)
SUFFIXES = sorted(end for end, name in Image.registered_extensions().items() if name in FORMATS)

# Part of every cache key: raise it when `read_picture` or `to_square` changes what comes out.
PREPROCESSING = 4


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
    try:
        if isinstance(source, str | Path):
            name = str(source)
            check_is_file(Path(source))
            with open(source, "rb") as file:
                return _from_file(file, size)
        return _from_file(source, size)
    except FashionError:
        raise
    except Exception as error:  # a decoder may fail with anything on the bytes of a stranger
        raise FashionError(f"{name} {_complaint(error)}") from error


def check_is_file(path: Path, or_stream: bool = True) -> None:
    """Make sure that a path leads to a file, or to what the shell puts in the place of one.

    Raises:
        FashionError: it is a folder, or a pipe that nobody may ever write to.
    """
    if path.is_dir():
        raise FashionError(f"{path} is a folder: give one picture file.")
    shell = path == Path("/dev/stdin") or path.parent.resolve() == Path("/dev/fd").resolve()
    if path.exists() and not path.is_file() and not (shell and or_stream):
        raise FashionError(f"{path} is no file: give a picture file.")


def _from_file(file: IO[bytes], size: int | None) -> Image.Image:
    if not file.seekable():  # what another program writes, as in `--query <(curl …)`
        content = file.read(MOST_BYTES + 1)
        if len(content) > MOST_BYTES:
            raise ValueError(f"it is larger than {MOST_BYTES // 1_000_000} MB")
        file = io.BytesIO(content)
    try:
        return _decode(file, size)
    except Image.DecompressionBombError:  # it has as many pixels without extras
        raise
    except Exception:
        file.seek(0)
        content = file.read(len(PNG))
        if not content.startswith((PNG, JPEG)):
            raise
        content += file.read()
        if content.startswith(JPEG):
            return _decode(io.BytesIO(bare_jpeg(content)), size)
        try:
            return _decode(io.BytesIO(bare_png(content)), size)
        except Exception:  # which colour is clear may be told wrongly
            return _decode(io.BytesIO(bare_png(content, (b"eXIf",))), size)


def _decode(file: IO[bytes], size: int | None) -> Image.Image:
    with Image.open(file, formats=FORMATS) as picture:
        if 0 in picture.size:
            raise ValueError("it has no pixels")
        if picture.width * picture.height > MOST_PIXELS:
            raise Image.DecompressionBombError  # Pillow raises it too, but later than we do
        if picture.info.get("progressive"):
            file.seek(0)
            if _scans(file.read()) > MOST_SCANS:
                raise ValueError(f"it has more than {MOST_SCANS} scans")
        if size is not None:
            picture.draft(None, (4 * size, 4 * size))
        return _upright(_to_rgb(picture), picture)


def _scans(jpeg: bytes) -> int:
    """How many scans a JPEG has: none of a preview in it, nor of a film behind its end."""
    place = scans = 0
    while (marker := MARKER.search(jpeg, place)) and marker[0] != b"\xff\xd9":
        scans += marker[0] == b"\xff\xda"
        place = marker.end() + int.from_bytes(jpeg[marker.end() : marker.end() + 2])
    return scans


def bare_png(content: bytes, extras: tuple[bytes, ...] = (b"tRNS", b"eXIf")) -> bytes:
    """A PNG without what does not change its pixels: texts, profiles, sizes in millimetres.

    Pillow refuses a file where one of these is damaged or too long; browsers show it. `extras`,
    what is clear and which side is up, stay if their checksums are right.
    """
    kept, place = [content[: len(PNG)]], len(PNG)
    while place < len(content):
        end = place + 12 + int.from_bytes(content[place : place + 4])
        kind = content[place + 4 : place + 8]
        is_whole = zlib.crc32(content[place + 4 : end - 4]).to_bytes(4) == content[end - 4 : end]
        if kind[:1].isupper() or (kind in extras and is_whole):  # upper case: must be understood
            kept.append(content[place:end])
        place = end
    return b"".join(kept)


def bare_jpeg(content: bytes) -> bytes:
    """As `bare_png`: a JPEG without notes of programs, but with EXIF and what colours depend on."""
    kept, place = [content[:2]], 2
    while (marker := MARKER.search(content, place)) and marker[0] != b"\xff\xda":
        place = marker.end() + int.from_bytes(content[marker.end() : marker.end() + 2])
        body = content[marker.end() + 2 : place]
        matters = len(body) >= 12 and body.startswith((b"JFIF\0", b"Exif\0\0", b"Adobe"))
        if matters or not (b"\xe0" <= marker[0][1:] <= b"\xef" or marker[0] == b"\xff\xfe"):
            kept.append(content[marker.start() : place])
    return b"".join([*kept, content[place:]])


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
        check_is_file(path, or_stream=False)
        return to_square(read_picture(path, size), size)
    except FashionError as error:
        raise FashionError(name + str(error).removeprefix(printable(str(path)))) from error


def is_readable(root: Path, name: str, size: int) -> bool:
    """Whether a picture below a folder can be read, now."""
    try:
        read_square(root, name, size)
    except FashionError:
        return False
    return True


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
    if picture.mode == "F":
        raise ValueError("its pixels are numbers with a point, of unknown range")
    if picture.mode.startswith("I"):
        return _gray_of_16_bits(picture)
    tags = getattr(picture, "tag_v2", {})  # of a TIFF
    if 2 in tags.get(TiffImagePlugin.SAMPLEFORMAT, ()):  # Pillow would take the sign for 128
        raise ValueError("its pixels have a sign")
    if picture.palette and max(colours := tags.get(TiffImagePlugin.COLORMAP, (256,))) < 256:
        picture.putpalette(bytes(colours), "RGB;L")  # of 8 bits: the upper 8 of 16 are all black
    if picture.format == "GIF" and (box := picture.tile[0][1]) != (0, 0, *picture.size):
        frame, picture = picture.crop(box).convert("RGBA"), Image.new("RGBA", picture.size)
        picture.paste(frame, box)  # all around it is clear
    if picture.has_transparency_data:
        if picture.format == "PNG" and (clear := picture.info.get("transparency")) is not None:
            kind = picture.tile[0][3]  # the clear colour has the bits that pixels had in the file
            if kind == "RGB;16B":
                picture.info["transparency"] = tuple(value >> 8 for value in clear)
            elif kind in ("L;2", "L;4"):
                picture.info["transparency"] = clear * {"L;2": 85, "L;4": 17}[kind]
        picture = picture.convert("RGBA")
        white = Image.new("RGB", picture.size, "white")
        white.paste(picture, mask=picture.getchannel("A"))
        return white
    if picture.mode == "CMYK" and picture.format in ("JPEG", "MPO") and "adobe" not in picture.info:
        # Pillow takes the ink for counted from full to none, which only Adobe's programs do
        picture = ImageChops.invert(picture)
    return picture.convert("RGB")


def _gray_of_16_bits(picture: Image.Image) -> Image.Image:
    """Its upper eight, as browsers take them, where Pillow clips at 255: all but black is white."""
    deep = np.asarray(picture)
    tags = getattr(picture, "tag_v2", {})  # of a TIFF
    bits = max(tags.get(TiffImagePlugin.BITSPERSAMPLE, (16,)))
    if deep.min() < 0 or bits > 16:
        raise ValueError("its pixels have more than 16 bits")
    if tags.get(TiffImagePlugin.PHOTOMETRIC_INTERPRETATION) == 0:  # white is 0
        deep = 2**bits - 1 - deep
    gray = (deep >> bits - 8).astype(np.uint8)
    if isinstance(clear := picture.info.get("transparency"), int):  # white, as all that is clear
        gray[deep == clear] = 255
    return Image.fromarray(gray).convert("RGB")


TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def _upright(rgb: Image.Image, opened: Image.Image) -> Image.Image:
    """Turned as the EXIF of the file says.

    Not by `ImageOps.exif_transpose`, which writes all of EXIF anew and fails where it cannot; nor
    by `getexif`, which also heeds XMP and texts, as browsers do not.
    """
    exif = Image.Exif()
    try:
        exif.load(opened.info.get("exif") or b"")
        orientation = exif.get(ExifTags.Base.Orientation)  # a TIFF is turned by Pillow itself
    except Exception:  # broken: the pixels are not
        orientation = None
    return rgb.transpose(TURNS[orientation]) if orientation in TURNS else rgb
