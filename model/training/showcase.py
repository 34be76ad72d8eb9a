"""Paints the sample gallery, the same every time, and writes down every word in it.

    python -m model.training.showcase app/gallery --fonts /usr/share/fonts node_modules/@fontsource

The folder gets the pictures and `index.jsonl`, one line a picture: {"image", "width", "height",
"words": [{"quad", "box", "text", "ignore"}]}, in pixels of the picture.
"""

import argparse
import json
from collections.abc import Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageFilter

from model.training import textures
from model.training.gallery_print import INDOORS, PRINT
from model.training.gallery_streets import SHOPS, STREETS, WARNINGS
from model.training.lettering import FONT_SUFFIXES, Word
from model.training.scenery import Kit

SCENES = [*SHOPS, *STREETS, *WARNINGS, *PRINT, *INDOORS]
# The looks that the painters ask for, by the font file's name without its ending.
LOOKS = {
    "sans": "Lato-Bold",
    "heavy": "Lato-Black",
    "block": "anton-latin-400-normal",
    "condensed": "oswald-latin-600-normal",
    "slab": "RobotoSlab-Bold",
    "serif": "playfair-display-latin-700-normal",
    "fat": "abril-fatface-latin-400-normal",
    "garamond": "EBGaramond12-Regular",
    "script": "pacifico-latin-400-normal",
    "lobster": "lobster",
    "dance": "DancingScript-Bold",
    "marker": "permanent-marker-latin-400-normal",
    "hand": "caveat-latin-700-normal",
    "sketch": "CabinSketch-Bold",
    "typewriter": "special-elite-latin-400-normal",
    "mono": "Inconsolata",
    "western": "rye-latin-400-normal",
    "deco": "limelight-latin-400-normal",
    "round": "Comfortaa-Bold",
    "retro": "righteous-latin-400-normal",
    "stencil": "black-ops-one-latin-400-normal",
    "tubes": "Quicksand-Bold",
    "spartan": "LeagueSpartan-Bold",
    "plain": "OpenSans-Bold",
}
# Pictures are painted at twice their size and shrunk: smooth edges for the price of one resize.
OVERSAMPLING = 2


def find_looks(folders: Iterable[Path]) -> dict[str, Path]:
    """Return the font file of every look.

    Raises:
        ValueError: a font is in none of the folders.
    """
    files = {
        path.stem: path
        for folder in folders
        for path in sorted(Path(folder).rglob("*"))
        if path.suffix in FONT_SUFFIXES
    }
    missing = [name for name in LOOKS.values() if name not in files]
    if missing:
        raise ValueError(f"fonts not found: {', '.join(missing)}")
    return {look: files[name] for look, name in LOOKS.items()}


def photograph(rng: np.random.Generator, painting: Image.Image, size: tuple[int, int]) -> Image.Image:
    """Return the painting (RGB) as a camera takes it: light, a little blur and noise, and its final size."""
    picture = textures.light(rng, painting.resize(size, Image.Resampling.LANCZOS), rng.uniform(0.2, 0.6))
    picture = picture.filter(ImageFilter.GaussianBlur(float(rng.choice([0.0, 0.0, 0.4, 0.6, 0.9]))))
    return textures.grain(rng, picture, rng.uniform(0.6, 2.0))


def paint(number: int, fonts: Mapping[str, Path], seed: int = 2026) -> tuple[Image.Image, list[Word]]:
    """Return scene `number` of the gallery, RGB, with its words in pixels of the picture."""
    scene = SCENES[number]
    rng = np.random.default_rng([seed, number])
    width, height = scene.size
    sheet = scene.painter(Kit(rng, fonts, width * OVERSAMPLING, height * OVERSAMPLING))
    words = [Word(word.text, (word.quad / OVERSAMPLING).astype(np.float32)) for word in sheet.words]
    return photograph(rng, sheet.image.convert("RGB"), scene.size), words


def describe(name: str, size: tuple[int, int], words: list[Word]) -> dict[str, Any]:
    """Return the index line of a picture of (width, height); words mostly outside it are to be ignored."""
    entries = []
    for word in words:
        quad = np.clip(word.quad, 0, size)
        spread = np.prod(np.ptp(quad, axis=0)) / max(1e-6, float(np.prod(np.ptp(word.quad, axis=0))))
        box = [*quad.min(0), *quad.max(0)]
        entries.append(
            {
                "quad": [[round(float(x), 1), round(float(y), 1)] for x, y in quad],
                "box": [round(float(value), 1) for value in box],
                "text": word.text,
                "ignore": bool(spread < 0.9),
            }
        )
    return {"image": name, "width": size[0], "height": size[1], "words": entries}


def write_gallery(folder: Path, fonts: Mapping[str, Path]) -> None:
    """Paint every scene into `folder` and write its index."""
    folder.mkdir(parents=True, exist_ok=True)
    lines = []
    for number, scene in enumerate(SCENES):
        picture, words = paint(number, fonts)
        save = {
            ".jpg": partial(picture.save, quality=63, optimize=True),
            ".webp": partial(picture.save, quality=76, method=6),
            ".png": partial(picture.quantize(160).save, optimize=True),
        }
        path = folder / scene.name
        save[path.suffix](path)
        lines.append(json.dumps(describe(scene.name, scene.size, words), ensure_ascii=False))
    (folder / "index.jsonl").write_text("\n".join(lines) + "\n", "utf-8")


def main(words: list[str] | None = None) -> None:
    """Read the command line (or `words` in its place) and write the gallery."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path, help="where the pictures go")
    parser.add_argument("--fonts", type=Path, nargs="+", required=True, help="folders with the fonts")
    arguments = parser.parse_args(words)
    try:
        fonts = find_looks(arguments.fonts)
    except ValueError as error:
        parser.error(str(error))
    write_gallery(arguments.folder, fonts)


if __name__ == "__main__":
    main()
