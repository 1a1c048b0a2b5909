"""Thumbnails of real pictures, one job a picture. Needs Pillow: ``pip install 'qtool[images]'``.

In one terminal, from the checkout::

    qtool worker -A examples.thumbnails

and in another, for the pictures of a directory (without one it paints a few itself)::

    python -m examples.thumbnails ~/Pictures
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from qtool import Discard, task

KINDS = {".jpg", ".jpeg", ".png", ".gif", ".webp", ".bmp"}


# The same picture is not worth doing twice at once; a decoder that hangs is stopped after a minute.
@task(unique=True, timeout=60, retries=1)
def thumbnail(source: str, target: str, width: int = 160) -> dict[str, object]:
    """Write a small copy of a picture; its size. A file that is no picture is discarded, not tried again."""
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(source) as image:
            small = image.convert("RGB")
            small.thumbnail((width, width))
    except UnidentifiedImageError:
        raise Discard(f"{source} is not a picture") from None
    small.save(target, "JPEG", quality=85)
    return {"file": target, "width": small.width, "height": small.height}


def paint(directory: Path, count: int = 6) -> None:
    """Pictures for whoever has none at hand."""
    from PIL import Image

    for number in range(count):
        gradient = Image.linear_gradient("L").resize((640, 400)).rotate(number * 360 / count)
        Image.merge("RGB", (gradient, gradient.transpose(Image.Transpose.FLIP_LEFT_RIGHT), gradient)).save(
            directory / f"painting-{number}.png"
        )


def main() -> None:
    """Enqueue one job a picture, and print each thumbnail as it is done."""
    target = Path(tempfile.mkdtemp(prefix="thumbnails-"))
    if len(sys.argv) > 1:
        source = Path(sys.argv[1]).expanduser().resolve()
    else:
        source = target / "originals"
        source.mkdir()
        paint(source)
    pictures = sorted(path for path in source.iterdir() if path.suffix.lower() in KINDS)
    batch = thumbnail.starmap((str(path), str(target / f"{path.stem}.jpg")) for path in pictures)
    for end in batch.results(timeout=300):
        print(f"{end['width']}x{end['height']}  {end['file']}")
    print(f"{len(batch)} thumbnails in {target}")


if __name__ == "__main__":
    main()
