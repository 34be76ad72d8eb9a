"""Writes synthetic scenes as a data set of annotated photos, the same for the same seed.

    python -m model.training.scenes runs/scenes --count 500 --photos DATA/icdar2015/train.jsonl

The folder gets `train.jsonl` and the pictures. With photos, text-free cuts of them are the background of the
scenes; without, surfaces are drawn.
"""

import argparse
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image
from rich.progress import track

from model.charset import CHARSETS, LATIN
from model.evaluation.dataset import read_photos
from model.training.datasets import SceneSource, text_free_cuts
from model.training.lettering import WRITTEN, find_fonts
from model.training.synthetic import ENGLISH, load_words

CUTS = 60


def write_scenes(source: SceneSource, out: Path, count: int, seed: int) -> Iterator[int]:
    """Write scenes; yields how many words each shows."""
    (out / "images").mkdir(parents=True, exist_ok=True)
    with (out / "train.jsonl").open("w") as file:
        for number in range(count):
            view = source.draw(np.random.default_rng((seed, number)))
            name = f"images/{number:06}.jpg"
            Image.fromarray(view.image).save(out / name, quality=92)
            words = [
                {"quad": quad.round(2).tolist(), "text": text}
                for quad, text in zip(view.quads, view.texts, strict=True)
            ]
            file.write(json.dumps({"image": name, "words": words}, ensure_ascii=False) + "\n")
            yield len(words)


def main() -> None:
    """Write scenes from the command line."""
    parser = argparse.ArgumentParser(
        description="Write synthetic scenes.", formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    parser.add_argument("out", type=Path, help="folder to fill")
    parser.add_argument("--count", type=int, default=1000, help="number of scenes")
    parser.add_argument("--size", type=int, default=512, help="side in pixels")
    parser.add_argument("--seed", type=int, default=0, help="of everything")
    parser.add_argument("--photos", type=Path, help="JSON lines of photos for backgrounds")
    parser.add_argument("--words", type=Path, nargs="+", default=[ENGLISH])
    parser.add_argument("--fonts", type=Path, nargs="+", default=[Path("/usr/share/fonts")])
    parser.add_argument("--charset", choices=CHARSETS, default="latin", help="every font has to draw it")
    given = parser.parse_args()
    needed = WRITTEN + CHARSETS[given.charset].removeprefix(LATIN)
    try:
        photos = read_photos(given.photos) if given.photos else []
        cuts = text_free_cuts(photos, given.size // 2, given.seed, CUTS) if photos else []
        words, fonts = load_words(given.words), find_fonts(given.fonts, needed)
        if not words:
            parser.error("the files of --words have no word")
        if not fonts:
            parser.error(f"no font below the folders of --fonts draws all characters of {given.charset}")
        source = SceneSource(words, fonts, cuts, given.size)
        for _ in track(write_scenes(source, given.out, given.count, given.seed), "scenes", given.count):
            pass
    except (OSError, ValueError) as exc:
        parser.error(str(exc))


if __name__ == "__main__":
    main()
