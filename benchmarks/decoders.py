"""JPEG decoders side by side, and `mmpkd prepare` against the limit that they share.

Run: python benchmarks/decoders.py [--images 6] [--size 224] [--repeats 5]

Files as in `loading.py`, grey and in colour (4:2:0); CPU time per image in one process. `PIL` decodes everything, converts to
RGB and resizes. All other variants return grey values, at 1/4 where the decoder can do so. The limit is to decode at 1/8: what
remains is the entropy decoding, which no lower resolution shortens, and one value of each block of 8 x 8 pixels. simplejpeg
and torchcodec are measured if they are installed. `cut` says what happens to a file without its last 2,000 bytes.
"""

import argparse
import importlib.util
import tempfile
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import torch
from loading import pil, radiograph
from PIL import Image
from timing import Bar, measure, ratio, show, show_bars
from torchvision.io import ImageReadMode, decode_jpeg

from data_modules.images.preparation import Preparation
from data_modules.images.prepare import CHUNK, prepare_images

WANTED = 0.30
CUT = 2000
Decoder = Callable[[Path], np.ndarray]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=6)
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    torch.set_num_threads(1)
    cv2.setNumThreads(0)
    for kind in ("grey", "colour"):
        with tempfile.TemporaryDirectory() as folder:
            files = write(Path(folder), kind, options.images)
            megabytes = np.mean([path.stat().st_size for path in files]) / 1e6
            print(f"\n{kind}, {megabytes:.2f} MB each")
            run(Path(folder), files, options.size, options.repeats)


def run(root: Path, files: list[Path], size: int, repeats: int) -> None:
    """Measure all variants on the same files, and print."""
    cut = root / "cut.jpg"
    cut.write_bytes(files[0].read_bytes()[:-CUT])
    expected = reduced(files[0], 4)
    for name, decode in decoders().items():
        print(
            f"{name:22s} cut: {outcome(decode, cut):10s} pixels as Pillow's: {np.array_equal(decode(files[0]), expected)}"
        )
    variants: dict[str, Callable[[], object]] = {
        "PIL": lambda: [pil(path, size) for path in files],
        "limit": lambda: [reduced(path, 8) for path in files],
        "prepare": lambda: prepare(root, files, size),
    }
    variants |= {name: lambda decode=decode: [decode(path) for path in files] for name, decode in decoders().items()}
    count = {"prepare": CHUNK}
    measured = measure(variants, repeats).items()
    times = {name: [t / count.get(name, len(files)) for t in own] for name, own in measured}
    show(times, "PIL")
    show({name: times[name] for name in ("limit", "prepare")}, "limit")
    show_bars([Bar("prepare / PIL", ratio(times, "prepare", "PIL"), WANTED)])


def decoders() -> dict[str, Decoder]:
    """Return decoders to grey values, at 1/4 where they can."""
    found: dict[str, Decoder] = {
        "Pillow, 1/4": lambda path: reduced(path, 4),
        "OpenCV, 1/4": lambda path: cv2.imread(str(path), cv2.IMREAD_REDUCED_GRAYSCALE_4),
        "torchvision": lambda path: decode_jpeg(content(path), ImageReadMode.GRAY)[0].numpy(),
    }
    if importlib.util.find_spec("simplejpeg"):
        import simplejpeg

        found["simplejpeg, 1/4"] = lambda path: simplejpeg.decode_jpeg(
            path.read_bytes(), "GRAY", min_height=700, min_width=600, min_factor=1
        )[..., 0]
    if importlib.util.find_spec("torchcodec"):
        from torchcodec.decoders import decode_image

        found["torchcodec"] = lambda path: decode_image(content(path), mode="GRAY")[0].numpy()
    return found


def reduced(path: Path, factor: int) -> np.ndarray:
    """Decode a file with Pillow at a fraction of its size."""
    with Image.open(path) as image:
        image.draft("L", (image.width // factor, image.height // factor))
        return np.asarray(image)


def content(path: Path) -> torch.Tensor:
    """Return the bytes of a file."""
    return torch.from_numpy(np.fromfile(path, np.uint8))


def outcome(decode: Decoder, path: Path) -> str:
    """Return whether a decoder refuses a file."""
    try:
        decode(path)
    except (OSError, RuntimeError, ValueError):
        return "refused"
    return "ACCEPTED"


def prepare(root: Path, files: list[Path], size: int) -> None:
    """Prepare as many images as a process gets at once."""
    names = np.array([str(i) for i in range(CHUNK)])
    paths = [files[i % len(files)] for i in range(CHUNK)]
    prepare_images(Path(tempfile.mkdtemp(dir=root)), Preparation(size, "pad"), names, paths, num_workers=0)


def write(root: Path, kind: str, number: int) -> list[Path]:
    """Write radiographs, grey, or with channels that differ."""
    rng = np.random.default_rng(0)
    files = [root / f"{i}.jpg" for i in range(number)]
    for path in files:
        pixels = radiograph(rng)
        if kind == "colour":
            pixels = np.stack([pixels, np.roll(pixels, 3, axis=1), pixels], axis=-1)
        Image.fromarray(pixels).save(path, quality=95, subsampling="4:2:0")
    return files


if __name__ == "__main__":
    main()
