"""One picture: every kind a person may bring, and every way one may be broken."""

import io
import struct
import time
import warnings
import zlib
from pathlib import Path

import numpy as np
import pytest
from complaints import complaint
from PIL import Image

from fashionlib.catalog.pictures import MOST_PIXELS, read_picture, to_square
from fashionlib.errors import FashionError


def corners() -> Image.Image:
    """48×32 with a different colour in each quarter: any turn or flip shows."""
    picture = Image.new("RGB", (48, 32), "white")
    picture.paste((200, 30, 30), (0, 0, 24, 16))
    picture.paste((30, 160, 30), (24, 0, 48, 16))
    picture.paste((30, 30, 200), (0, 16, 24, 32))
    return picture


def difference(a: Image.Image, b: Image.Image) -> float:
    assert (a.mode, a.size) == (b.mode, b.size)
    return float(np.abs(np.asarray(a, np.float64) - np.asarray(b, np.float64)).mean())


def save_large_jpeg(path: Path, width: int, height: int) -> Path:
    y, x = np.mgrid[:height, :width] / 100
    waves = [128 + 100 * np.sin(x * k + y) for k in (1, 2, 3)]
    Image.fromarray(np.stack(waves, -1).astype(np.uint8)).save(path, quality=90)
    return path


def png_claiming(width: int, height: int) -> bytes:
    """A PNG of a few bytes whose header promises width × height pixels."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        body = kind + content
        return struct.pack(">I", len(content)) + body + struct.pack(">I", zlib.crc32(body))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    data = chunk(b"IDAT", zlib.compress(b"\0" * 64))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + data + chunk(b"IEND", b"")


def test_path_text_bytes_and_open_file_give_the_same(tmp_path):
    path = tmp_path / "Kleid grün.png"
    corners().save(path)
    with open(path, "rb") as file:
        pictures = [read_picture(x) for x in (path, str(path), path.read_bytes(), file)]
        assert not file.closed
    for picture in pictures:
        assert difference(picture, corners()) == 0


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_rotation_is_applied(tmp_path, orientation):
    turn = Image.Transpose
    # what a camera stores for each value, so that turning it as EXIF says gives `corners()`
    stored_as = {
        2: turn.FLIP_LEFT_RIGHT,
        3: turn.ROTATE_180,
        4: turn.FLIP_TOP_BOTTOM,
        5: turn.TRANSPOSE,
        6: turn.ROTATE_90,
        7: turn.TRANSVERSE,
        8: turn.ROTATE_270,
    }
    picture = corners()
    if orientation > 1:
        picture = picture.transpose(stored_as[orientation])
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = tmp_path / "phone.jpg"
    picture.save(path, quality=95, subsampling=0, exif=exif)
    assert difference(read_picture(path), corners()) < 4


def test_palette_with_a_transparent_entry_lies_on_white(tmp_path):
    picture = Image.new("P", (4, 2), 0)
    picture.putpalette([10, 20, 30, 200, 100, 50])
    picture.paste(1, (2, 0, 4, 2))
    path = tmp_path / "palette.png"
    picture.save(path, transparency=0)
    pixels = np.asarray(read_picture(path))
    assert (pixels[:, :2] == 255).all()
    assert (pixels[:, 2:] == (200, 100, 50)).all()


@pytest.mark.parametrize("mode", ["RGBA", "LA"])
def test_half_transparent_pixels_are_mixed_with_white(tmp_path, mode):
    path = tmp_path / "alpha.png"
    Image.new("RGBA", (3, 3), (100, 100, 100, 128)).convert(mode).save(path)
    assert np.abs(np.asarray(read_picture(path), np.float64) - 177).max() <= 1


def test_cmyk_jpeg(tmp_path):
    path = tmp_path / "print.jpg"
    picture = corners().convert("CMYK")
    picture.save(path, quality=95, subsampling=0)
    assert difference(read_picture(path), corners()) < 6


def test_gray_of_16_bits_is_scaled_not_clipped(tmp_path):
    path = tmp_path / "scan.png"
    Image.fromarray(np.array([[0, 16448, 32896, 65535]], np.uint16)).save(path)
    assert np.asarray(read_picture(path))[0].tolist() == [[0] * 3, [64] * 3, [128] * 3, [255] * 3]


@pytest.mark.parametrize("mode", ["1", "L"])
def test_gray_becomes_rgb(tmp_path, mode):
    path = tmp_path / "gray.png"
    Image.new(mode, (2, 2), 255).save(path)
    assert (np.asarray(read_picture(path)) == 255).all()


def test_missing_file(tmp_path):
    path = tmp_path / "dress.jpg"
    complaint(lambda: read_picture(path), path, "does not exist")


def test_folder(tmp_path):
    complaint(lambda: read_picture(tmp_path), tmp_path, "is a folder")


def test_text_named_jpg(tmp_path):
    path = tmp_path / "notes.jpg"
    path.write_text("not a picture\nat all\n")
    complaint(lambda: read_picture(path), path, "not a picture")


def test_empty_file(tmp_path):
    path = tmp_path / "empty.jpg"
    path.touch()
    complaint(lambda: read_picture(path), path, "not a picture")


def test_postscript_is_not_run(tmp_path):
    # Pillow would hand it to Ghostscript
    path = tmp_path / "script.jpg"
    path.write_text("%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n%%EndComments\n")
    complaint(lambda: read_picture(path), path, "not a picture")


@pytest.mark.parametrize("suffix", ["jpg", "png", "webp", "gif", "bmp", "tif"])
def test_truncated_file(tmp_path, suffix):
    path = tmp_path / f"half.{suffix}"
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    Image.fromarray(noise).save(path)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    complaint(lambda: read_picture(path), path)


def test_damaged_bytes_never_escape_as_another_error(tmp_path):
    rng = np.random.default_rng(0)
    for suffix in ("jpg", "png", "webp", "gif", "tif"):
        path = tmp_path / f"damaged.{suffix}"
        corners().save(path)
        good = np.frombuffer(path.read_bytes(), np.uint8)
        for _ in range(60):
            bad = good.copy()
            bad[rng.integers(0, len(bad), 4)] = rng.integers(0, 256, 4)
            message = "one line"
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # Pillow's remarks on odd metadata
                try:
                    assert read_picture(bad.tobytes()).mode == "RGB"
                except FashionError as error:
                    message = str(error)
            assert len(message.splitlines()) == 1


@pytest.mark.parametrize("side", [8001, 100_000])  # below and above Pillow's own limit
@pytest.mark.clock
def test_decompression_bomb_is_refused_from_its_header(tmp_path, side):
    path = tmp_path / "bomb.png"
    path.write_bytes(png_claiming(side, side))
    started = time.perf_counter()
    complaint(lambda: read_picture(path), path, f"{MOST_PIXELS // 1_000_000} megapixels")
    assert time.perf_counter() - started < 0.5


def test_no_pixels(tmp_path):
    path = tmp_path / "nothing.gif"
    path.write_bytes(b"GIF89a" + struct.pack("<HHBBB", 0, 0, 0, 0, 0) + b";")
    complaint(lambda: read_picture(path), path)
    complaint(lambda: read_picture(png_claiming(0, 5)), "the picture")


def test_name_of_an_open_file_is_in_the_message(tmp_path):
    path = tmp_path / "upload.jpg"
    path.write_text("text")
    with open(path, "rb") as file:
        complaint(lambda: read_picture(file), path)
    complaint(lambda: read_picture(io.BytesIO(b"text")), "the picture")


def test_square_is_channels_first_and_keeps_colours():
    square = to_square(Image.new("RGB", (30, 50), (10, 20, 30)), 16)
    assert (square.shape, square.dtype, square.flags.c_contiguous) == ((3, 16, 16), np.uint8, True)
    assert (square == np.array([10, 20, 30]).reshape(3, 1, 1)).all()


def test_square_keeps_the_whole_garment_in_view():
    tall = Image.new("RGB", (100, 400), "white")
    tall.paste((200, 0, 0), (0, 0, 100, 40))  # the straps
    tall.paste((0, 0, 200), (0, 360, 100, 400))  # the hem
    square = to_square(tall, 20)
    assert np.abs(square[:, 0].mean(1) - (200, 0, 0)).max() < 3
    assert np.abs(square[:, -1].mean(1) - (0, 0, 200)).max() < 3


def test_square_smooths_what_it_cannot_show():
    fine = (np.indices((320, 320)).sum(0) % 2 * 255).astype(np.uint8)
    square = to_square(Image.fromarray(fine).convert("RGB"), 16)
    assert np.abs(square.astype(int) - 127).max() < 4  # picking every 20th pixel gives 0 or 255


def test_large_jpeg_is_decoded_smaller_with_the_same_result(tmp_path):
    path = save_large_jpeg(tmp_path / "camera.jpg", 2400, 3200)
    whole, small = read_picture(path), read_picture(path, 64)
    assert whole.size == (2400, 3200)
    assert 256 <= min(small.size) < 600
    gap = np.abs(to_square(whole, 64).astype(int) - to_square(small, 64).astype(int))
    assert gap.mean() < 1


def test_small_jpeg_is_decoded_whole_whatever_the_size(tmp_path):
    path = save_large_jpeg(tmp_path / "photo.jpg", 400, 533)
    assert read_picture(path, 160).size == (400, 533)
