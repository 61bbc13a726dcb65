"""One picture: every kind a person may bring, and every way one may be broken."""

import io
import os
import shlex
import struct
import subprocess
import sys
import time
import warnings
import zlib
from pathlib import Path

import numpy as np
import pytest
from complaints import complaint
from PIL import Image, ImageChops, PngImagePlugin, features

from fashionlib.catalog import pictures
from fashionlib.catalog.pictures import MOST_PIXELS, read_picture, read_square, to_square
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


def chunk(kind: bytes, content: bytes) -> bytes:
    """A part of a PNG."""
    body = kind + content
    return struct.pack(">I", len(content)) + body + struct.pack(">I", zlib.crc32(body))


def png(width: int, height: int, depth: int, colour: int, data: bytes, *more: bytes) -> bytes:
    """A PNG of these bytes, each row with a 0 before it, and of more chunks before them."""
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0))
    body = [header, *more, chunk(b"IDAT", zlib.compress(data)), chunk(b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(body)


def png_claiming(width: int, height: int) -> bytes:
    """A PNG of a few bytes whose header promises width × height pixels."""
    return png(width, height, 8, 2, b"\0" * 64)


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


XMP = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><r:D tiff:Orientation="6"/></x:xmpmeta>'


@pytest.mark.parametrize("suffix", ["JPEG", "WEBP", "PNG", "PNG by ImageMagick", "JPEG with EXIF"])
def test_a_turn_that_browsers_do_not_heed_is_not_made(suffix):
    """Only EXIF says which side is up: else the page that tries an encoder sees other squares."""
    buffer, exif = io.BytesIO(), Image.Exif()
    exif[0x0112] = 6
    note = PngImagePlugin.PngInfo()
    if suffix == "PNG":
        note.add_itxt("XML:com.adobe.xmp", XMP.decode())
    else:
        note.add_text("Raw profile type exif", f"\nexif\n      99\n{exif.tobytes().hex()}")
    other = Image.Exif()
    other[0x010F] = "a camera"
    options = {
        "JPEG": {"xmp": XMP, "quality": 95, "subsampling": 0},
        "WEBP": {"xmp": XMP, "lossless": True},
        "JPEG with EXIF": {"xmp": XMP, "quality": 95, "subsampling": 0, "exif": other},
    }
    corners().save(buffer, suffix.split()[0], **options.get(suffix, {"pnginfo": note}))
    assert Image.open(buffer).getexif().get(0x0112) == 6  # as Pillow would have it
    assert difference(read_picture(buffer.getvalue()), corners()) < 6


@pytest.mark.parametrize("suffix", ["JPEG", "WEBP", "PNG", "AVIF", "TIFF"])
def test_a_turn_is_heeded_whatever_the_format(suffix):
    if suffix == "AVIF" and not features.check("avif"):
        return
    buffer, exif = io.BytesIO(), Image.Exif()
    exif[0x0112] = 6
    corners().save(buffer, suffix, exif=exif, xmp=XMP.replace(b"6", b"3"), quality=95)
    turned = corners().transpose(Image.Transpose.ROTATE_270)
    assert difference(read_picture(buffer.getvalue()), turned) < 8


@pytest.mark.parametrize("clear", [None, 0])
def test_around_the_first_frame_of_a_gif_it_is_white(clear):
    """As in browsers; Pillow fills it with the first colour."""
    buffer, picture = io.BytesIO(), Image.new("P", (8, 8), 1)
    picture.putpalette([10, 200, 10, 200, 30, 30])
    picture.save(buffer, "GIF", **({} if clear is None else {"transparency": clear}))
    gif = bytearray(buffer.getvalue())
    frame = gif.index(b"," + struct.pack("<4H", 0, 0, 8, 8)) + 1
    gif[6:10] = struct.pack("<2H", 24, 16)
    gif[frame : frame + 4] = struct.pack("<2H", 12, 4)
    wanted = Image.new("RGB", (24, 16), "white")
    wanted.paste((200, 30, 30), (12, 4, 20, 12))
    assert difference(read_picture(bytes(gif)), wanted) == 0


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


def test_cmyk_tiff(tmp_path):
    path = tmp_path / "print.tif"
    corners().convert("CMYK").save(path)
    assert difference(read_picture(path), corners()) < 6


def test_gray_of_16_bits_is_scaled_not_clipped(tmp_path):
    path = tmp_path / "scan.png"
    Image.fromarray(np.array([[0, 16448, 32896, 65535]], np.uint16)).save(path)
    assert np.asarray(read_picture(path))[0].tolist() == [[0] * 3, [64] * 3, [128] * 3, [255] * 3]


@pytest.mark.parametrize("clear", [16448, 1])
def test_gray_of_16_bits_with_a_transparent_value(clear):
    """That value turns white, and nothing else does."""
    values = [0, 16448, 32896, 65535]
    trns = chunk(b"tRNS", struct.pack(">H", clear))
    picture = read_picture(png(4, 1, 16, 0, b"\0" + struct.pack(">4H", *values), trns))
    wanted = [255 if value == clear else value // 257 for value in values]
    assert np.asarray(picture)[0, :, 0].tolist() == wanted


def test_colour_of_16_bits_with_a_transparent_value():
    values = [0, 0, 0, 1000, 2000, 3000, 40000, 40000, 40000]
    trns = chunk(b"tRNS", struct.pack(">3H", 1000, 2000, 3000))
    picture = read_picture(png(3, 1, 16, 2, b"\0" + struct.pack(">9H", *values), trns))
    assert np.asarray(picture)[0].tolist() == [[0] * 3, [255] * 3, [156] * 3]


def test_colour_of_16_bits_with_a_small_transparent_value():
    trns = chunk(b"tRNS", struct.pack(">3H", 100, 100, 100))
    pixels = struct.pack(">6H", 100, 100, 100, 40000, 40000, 40000)
    picture = read_picture(png(2, 1, 16, 2, b"\0" + pixels, trns))
    assert np.asarray(picture)[0].tolist() == [[255] * 3, [156] * 3]


@pytest.mark.parametrize(("depth", "row"), [(1, b"\x40"), (2, b"\x1b"), (4, b"\x01\x23")])
def test_gray_of_few_bits_with_a_transparent_value(depth, row):
    """The value has the bits of the file, not those of Pillow."""
    count = min(2**depth, 4)
    trns = chunk(b"tRNS", struct.pack(">H", 1))
    picture = read_picture(png(count, 1, depth, 0, b"\0" + row, trns))
    step = 255 // (2**depth - 1)
    wanted = [255 if value == 1 else value * step for value in range(count)]
    assert np.asarray(picture)[0, :, 0].tolist() == wanted


@pytest.mark.parametrize(
    ("bits", "white", "row", "wanted"),
    [
        (16, 1, b"\0\0\xff\x80", [0, 128]),
        (16, 0, b"\0\0\xff\x80", [255, 127]),
        (12, 1, b"\x00\x08\xff", [0, 143]),
    ],
)
def test_deep_gray_of_a_tiff(bits, white, row, wanted):
    """12 bits came out all but black, and where 0 is white, as a negative."""
    assert np.asarray(read_picture(tiff(bits, white, row)))[0, :, 0].tolist() == wanted


def tiff(bits: int, kind: int, row: bytes, *more: tuple[int, int]) -> bytes:
    """A TIFF of two pixels: `kind` says what they mean, `more` are tags with a value each."""
    tags = [(256, 2), (257, 1), (258, bits), (259, 1), (262, kind), (273, 134 + 12 * len(more)),
            (277, 1), (278, 1), (279, len(row)), (284, 1), *more]  # fmt: skip
    parts = [struct.pack("<HHII", tag, 4 if tag in (273, 279) else 3, 1, v) for tag, v in tags]
    head = b"II*\0\x08\0\0\0" + struct.pack("<H", len(tags))
    return head + b"".join(parts) + b"\0\0\0\0" + row


def test_signed_gray_of_a_tiff_is_refused():
    """Black and white changed places."""
    assert read_picture(tiff(8, 1, b"\0\x80", (339, 1))).size == (2, 1)
    complaint(lambda: read_picture(tiff(8, 1, b"\0\x80", (339, 2))), "its pixels have a sign")
    complaint(lambda: read_picture(tiff(16, 1, b"\0\1\xff\xff", (339, 2))), "its pixels have")


@pytest.mark.parametrize("scale", [1, 257])
def test_a_palette_of_8_or_16_bits_in_a_tiff(scale):
    """The upper half of 8 bits in 16 is black."""
    buffer, picture = io.BytesIO(), Image.new("P", (2, 1), 1)
    picture.putpalette([10, 200, 10, 200, 30, 31])
    picture.save(buffer, "TIFF", tiffinfo={})
    with Image.open(buffer) as opened:
        colours = opened.tag_v2[320]
    content = buffer.getvalue()
    old = struct.pack(f"<{len(colours)}H", *colours)
    assert content.count(old) == 1
    new = struct.pack(f"<{len(colours)}H", *(value // 256 * scale for value in colours))
    read = read_picture(content.replace(old, new))
    assert np.asarray(read)[0].tolist() == [[200, 30, 31]] * 2


@pytest.mark.parametrize(
    ("pixels", "reason"),
    [
        (np.full((4, 4), 0.5, np.float32), "numbers with a point"),
        (np.full((4, 4), 2**30, np.int32), "more than 16 bits"),
        (np.full((4, 4), -1, np.int32), "more than 16 bits"),
        (np.full((4, 4), 200, np.int32), "more than 16 bits"),
    ],
)
def test_pixels_of_no_known_range_are_refused(tmp_path, pixels, reason):
    """Guessing made a black picture of them."""
    path = tmp_path / "measured.tif"
    Image.fromarray(pixels).save(path)
    complaint(lambda: read_picture(path), path, reason)


def without_adobe(jpeg: bytes) -> bytes:
    """The same JPEG without the marker of Adobe's programs, which count ink the other way."""
    start = jpeg.index(b"\xff\xee")
    length = 2 + int.from_bytes(jpeg[start + 2 : start + 4])
    return jpeg[:start] + jpeg[start + length :]


def test_cmyk_jpeg_of_other_programs(tmp_path):
    ink = io.BytesIO()
    ImageChops.invert(corners().convert("CMYK")).save(ink, "JPEG", quality=95, subsampling=0)
    assert difference(read_picture(without_adobe(ink.getvalue())), corners()) < 6


EXTRAS = {
    "a text that is too long": chunk(b"zTXt", b"k\0\0" + zlib.compress(b"x" * 3_000_000)),
    "a profile that is too long": chunk(b"iCCP", b"k\0\0" + zlib.compress(b"x" * 3_000_000)),
    "a short gamma": chunk(b"gAMA", b"\0"),
    "short chromaticities": chunk(b"cHRM", b"\0"),
    "a short size": chunk(b"pHYs", b"\0"),
    "an empty sRGB": chunk(b"sRGB", b""),
    "broken EXIF": chunk(b"eXIf", b"no exif at all"),
    "a wrong checksum": chunk(b"tEXt", b"a\0b")[:-4] + b"\0\0\0\0",
    "EXIF with a wrong checksum": chunk(b"eXIf", b"MM\0*\0\0\0\x08")[:-4] + b"\0\0\0\0",
    "a clear colour with a wrong checksum": chunk(b"tRNS", bytes(6))[:-4] + b"\0\0\0\0",
    "no clear colour": chunk(b"tRNS", b""),
    "half a clear colour": chunk(b"tRNS", b"\0\1"),
}


@pytest.mark.parametrize("extra", EXTRAS)
def test_a_png_is_read_whatever_is_beside_its_pixels(extra):
    """And turned, where its EXIF can be read."""
    buffer, exif, wanted = io.BytesIO(), Image.Exif(), corners()
    if "EXIF" not in extra:
        exif[0x0112] = 6
        wanted = wanted.transpose(Image.Transpose.ROTATE_270)
    corners().save(buffer, "PNG", exif=exif)
    whole = buffer.getvalue()
    for place in (33, len(whole) - 12):  # behind the header, and before the end
        mixed = whole[:place] + EXTRAS[extra] + whole[place:]
        assert difference(read_picture(mixed), wanted) == 0


def test_more_alphas_than_a_palette_has_colours():
    trns = chunk(b"tRNS", b"\xff" * 300)
    picture = read_picture(png(1, 1, 8, 3, b"\0\0", chunk(b"PLTE", b"\1\2\3"), trns))
    assert np.asarray(picture)[0].tolist() == [[1, 2, 3]]


def test_what_is_clear_stays_so_beside_broken_exif():
    trns = chunk(b"tRNS", struct.pack(">3H", 1, 2, 3))
    broken = EXTRAS["EXIF with a wrong checksum"]
    picture = read_picture(png(1, 1, 8, 2, b"\0\1\2\3", trns, broken))
    assert np.asarray(picture)[0].tolist() == [[255] * 3]


def test_a_turn_is_heeded_beside_exif_that_cannot_be_written_again():
    """`ImageOps.exif_transpose` writes all of EXIF anew, and fails on this one."""
    exif = Image.Exif()
    exif[0x0112] = 6
    exif[0x9286] = "comment"  # whose kind is changed below
    for suffix in ("JPEG", "WEBP", "PNG"):
        buffer = io.BytesIO()
        options = {} if suffix == "PNG" else {"quality": 95}
        corners().save(buffer, suffix, exif=exif.tobytes(), **options)
        picture = read_picture(buffer.getvalue())
        assert picture.size == (32, 48)
        assert difference(picture, corners().transpose(Image.Transpose.ROTATE_270)) < 6


@pytest.mark.parametrize("broken", [b"", b"II*\0", b"Exif\0\0MM\0*\xff\xff\xff\xff", b"x" * 99])
def test_broken_exif_does_not_cost_the_picture(broken):
    for suffix in ("JPEG", "WEBP"):
        buffer = io.BytesIO()
        corners().save(buffer, suffix, quality=95, exif=broken)
        assert difference(read_picture(buffer.getvalue()), corners()) < 6


SHORT = {
    "a profile": b"\xff\xe2\0\x0eICC_PROFILE\0",
    "a note of Adobe's": b"\xff\xee\0\x07Adobe",
    "a head": b"\xff\xe0\0\x06JFIF",
}


@pytest.mark.parametrize("short", SHORT)
def test_a_jpeg_is_read_whatever_is_beside_its_pixels(short):
    exif = Image.Exif()
    exif[0x0112] = 6
    turned = corners().transpose(Image.Transpose.ROTATE_270)
    for picture, wanted in ((corners(), turned), (corners().convert("CMYK"), turned)):
        buffer = io.BytesIO()
        picture.save(buffer, "JPEG", quality=95, subsampling=0, exif=exif, comment=b"\xff\xda")
        jpeg = buffer.getvalue()
        place = jpeg.index(b"\xff\xdb")
        mixed = jpeg[:2] + SHORT[short] + jpeg[2:place] + SHORT[short] + jpeg[place:]
        with pytest.raises((OSError, IndexError, struct.error)):
            Image.open(io.BytesIO(mixed)).load()
        assert difference(read_picture(mixed), wanted) < 6


def test_a_jpeg_of_endless_scans_is_refused_before_it_is_decoded():
    """288 kilobytes with 400 scans took 53 seconds."""
    buffer = io.BytesIO()
    corners().resize((640, 480)).save(buffer, "JPEG", progressive=True)
    jpeg = buffer.getvalue()
    assert read_picture(jpeg).size == (640, 480)
    scan = jpeg.index(b"\xff\xda")
    following = jpeg.index(b"\xff", scan + 2)
    endless = jpeg[:following] + jpeg[scan:following] * 400 + jpeg[following:]
    complaint(lambda: read_picture(endless), "more than 100 scans")


def test_the_most_scans_are_not_too_many(monkeypatch):
    buffer = io.BytesIO()
    corners().save(buffer, "JPEG", progressive=True)
    scans = buffer.getvalue().count(b"\xff\xda")
    monkeypatch.setattr(pictures, "MOST_SCANS", scans)
    assert read_picture(buffer.getvalue()).size == (48, 32)
    monkeypatch.setattr(pictures, "MOST_SCANS", scans - 1)
    complaint(lambda: read_picture(buffer.getvalue()), f"more than {scans - 1} scans")


@pytest.mark.parametrize("begin", [b"\xff\xe7", b"\xff\xe1"], ids=["a note", "EXIF"])
def test_only_scans_of_the_picture_itself_count(begin):
    """A phone puts a film behind a picture, and a preview into it, mostly into EXIF."""
    buffer = io.BytesIO()
    corners().save(buffer, "JPEG", progressive=True, quality=95, subsampling=0)
    jpeg, scans = buffer.getvalue(), b"\xff\xda\0\2" * 400
    preview = begin + struct.pack(">H", 8 + len(scans)) + b"Exif\0\0" + scans
    film = b"\0\0\0\x18ftypmp42" + scans
    assert difference(read_picture(jpeg[:2] + preview + jpeg[2:] + film), corners()) < 6


def test_a_pipe_that_nobody_writes_to_is_refused(tmp_path):
    path = tmp_path / "pipe.jpg"
    os.mkfifo(path)
    complaint(lambda: read_picture(path), path, "is no file")


def test_what_another_program_writes_is_read(tmp_path):
    path = tmp_path / "dress.png"
    corners().save(path)
    code = (
        "import sys; from fashionlib.catalog.pictures import read_picture; "
        "print(read_picture(sys.argv[1]).size)"
    )
    shell = f"{sys.executable} -c {shlex.quote(code)} <(cat {shlex.quote(str(path))})"
    done = subprocess.run(["bash", "-c", shell], capture_output=True, text=True, check=False)
    assert done.stdout == "(48, 32)\n", done.stderr


def test_a_stream_without_end_is_refused(monkeypatch):
    monkeypatch.setattr(pictures, "MOST_BYTES", 1_000_000)
    with subprocess.Popen(["yes"], stdout=subprocess.PIPE) as endless:
        complaint(lambda: read_picture(endless.stdout), "larger than 1 MB")
        endless.kill()


def test_a_stream_is_no_picture_of_a_folder():
    """Reading what a program has open waited for ever; a query may be such a one."""
    reader, writer = os.pipe()
    os.close(writer)  # so that this test does not
    try:
        complaint(lambda: read_square(Path("/dev/fd"), str(reader), 8), f"{reader} is no file")
    finally:
        os.close(reader)


@pytest.mark.parametrize("mode", ["1", "L"])
def test_gray_becomes_rgb(tmp_path, mode):
    path = tmp_path / "gray.png"
    Image.new(mode, (2, 2), 255).save(path)
    assert (np.asarray(read_picture(path)) == 255).all()


def test_what_is_wrong_with_a_file_is_said_in_full(tmp_path):
    none, text, empty, large = (tmp_path / f"{name}.jpg" for name in ("no", "text", "empty", "big"))
    text.write_text("not a picture\nat all\n")
    empty.touch()
    large.write_bytes(png_claiming(8001, 8000))
    unknown = "is not a picture we can read: use JPEG, PNG, WebP, GIF, BMP or TIFF."
    problems = {
        none: "does not exist: check the path.",
        tmp_path: "is a folder: give one picture file.",
        text: unknown,
        empty: unknown,
        large: "has more than 64 megapixels: save a smaller copy.",
    }
    for path, problem in problems.items():
        assert complaint(lambda path=path: read_picture(path)) == f"{path} {problem}"


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


def test_the_most_pixels_are_not_too_many(monkeypatch):
    buffer = io.BytesIO()
    corners().save(buffer, "PNG")
    monkeypatch.setattr(pictures, "MOST_PIXELS", 48 * 32)
    assert difference(read_picture(buffer.getvalue()), corners()) == 0
    monkeypatch.setattr(pictures, "MOST_PIXELS", 48 * 32 - 1)
    complaint(lambda: read_picture(buffer.getvalue()), "megapixels")


def test_pillows_remarks_are_not_ours(tmp_path):
    """Of 90 megapixels, which we refuse in one line, and of EXIF that we can do without."""
    large, odd = tmp_path / "large.png", tmp_path / "odd.jpg"
    large.write_bytes(png_claiming(10_000, 9_500))
    corners().save(odd, exif=b"Exif\0\0MM\0*\0\0\0\x08\0\x05\x01\x12\0\x03\0\0\0\x01")
    code = (
        "import sys; from fashionlib.catalog.pictures import read_picture\n"
        "from fashionlib.errors import FashionError\n"
        "for path in sys.argv[1:]:\n"
        "    try: print(read_picture(path).mode)\n"
        "    except FashionError as error: print(error)"
    )
    command = [sys.executable, "-c", code, str(large), str(odd)]
    said = subprocess.run(command, capture_output=True, text=True, check=True)
    assert said.stderr == ""
    refused, mode = said.stdout.splitlines()
    assert "megapixels" in refused
    assert mode == "RGB"


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (ValueError("first\nsecond"), "first"),
        (EOFError(), "EOFError"),
        (OSError(5, "I/O"), "[Errno 5] I/O"),
    ],
)
def test_a_decoder_may_fail_with_many_words_or_none(monkeypatch, error, reason):
    def fails(*_: object) -> None:
        raise error

    monkeypatch.setattr(pictures, "_decode", fails)
    said = f"the picture cannot be read ({reason}): save it again or leave it out."
    assert complaint(lambda: read_picture(b"a picture")) == said


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


def bicubic(old: int, new: int) -> np.ndarray:
    """Keys's cubic with a = -0.5, stretched over what a new pixel covers: [new, old], rows of 1.

    Written from the paper (Keys 1981), so that another filter in `to_square` is told from it.
    """
    scale = old / new
    places = (np.arange(new)[:, None] + 0.5) * scale - 0.5
    x = np.abs(np.arange(old)[None, :] - places) / max(scale, 1.0)
    near, far = 1.5 * x**3 - 2.5 * x**2 + 1, -0.5 * x**3 + 2.5 * x**2 - 4 * x + 2
    weights = np.where(x < 1, near, np.where(x < 2, far, 0.0))
    return weights / weights.sum(axis=1, keepdims=True)


@pytest.mark.parametrize(("height", "width"), [(48, 40), (33, 17), (8, 11)])
def test_square_is_made_by_the_bicubic_filter_and_no_other(height, width):
    """Within a level or two of 255, made smaller and larger: other filters are tens of them off."""
    picture = np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)
    square = to_square(Image.fromarray(picture), 16).astype(float)
    passes = {"ow,hwc->hoc": bicubic(width, 16), "ph,hoc->poc": bicubic(height, 16)}
    gaps = []
    for order in (passes, dict(reversed(passes.items()))):  # Pillow begins with either
        found = picture.astype(float)
        for axes, weights in order.items():
            found = np.clip(np.einsum(axes, weights, found), 0, 255).round()
        gaps.append(np.abs(square - found.transpose(2, 0, 1)).max())
    assert min(gaps) <= 2


@pytest.mark.skipif(not features.check("avif"), reason="this Pillow was built without AVIF")
def test_avif_is_read(tmp_path):
    path = tmp_path / "phone.avif"
    corners().save(path, quality=95)
    assert path.read_bytes()[4:12] == b"ftypavif"
    assert difference(read_picture(path), corners()) < 6
    path.write_bytes(path.read_bytes()[:200])
    complaint(lambda: read_picture(path), path)


def test_a_bitmap_is_read(tmp_path):
    path = tmp_path / "scan.bmp"
    corners().save(path)
    assert difference(read_picture(path), corners()) == 0


def test_large_jpeg_is_decoded_smaller_with_the_same_result(tmp_path):
    path = save_large_jpeg(tmp_path / "camera.jpg", 2400, 3200)
    whole, small = read_picture(path), read_picture(path, 64)
    assert whole.size == (2400, 3200)
    assert 256 <= min(small.size) < 600
    gap = np.abs(to_square(whole, 64).astype(int) - to_square(small, 64).astype(int))
    assert gap.mean() < 1
    assert gap.any()
    # a catalog's square, to the last bit, is that of a query
    assert (read_square(tmp_path, path.name, 64) == to_square(small, 64)).all()
    smaller = read_picture(save_large_jpeg(tmp_path / "screen.jpg", 800, 1100), 64)
    assert smaller.size == (400, 550)  # a quarter would be below four times 64


def test_small_jpeg_is_decoded_whole_whatever_the_size(tmp_path):
    path = save_large_jpeg(tmp_path / "photo.jpg", 400, 533)
    assert read_picture(path, 160).size == (400, 533)
