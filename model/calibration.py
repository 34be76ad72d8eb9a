"""From which similarity on a region likely shows the word, as `model.evaluation.calibrate` measured it.

Chosen so that of the pairs of a word and a photo that reach it nine in ten are right. Short words look like
many things, so it depends on the length.
"""

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path

PATH = Path(__file__).parent / "weights" / "calibration.json"


@dataclass(frozen=True)
class Calibration:
    """Similarities from which a match is likely right.

    Attributes:
        cuts: For words of one letter, of two, and so on; the last also for all longer ones.
    """

    cuts: tuple[float, ...]

    def cut(self, word: str) -> float:
        """Return the least similarity, in [-1, 1], that is likely right for a folded word."""
        return self.cuts[min(len(word), len(self.cuts)) - 1]


# Of a network that nobody calibrated: rather too few photos than wrong ones.
UNKNOWN = Calibration((0.94, 0.94, 0.94, 0.87))


def read(path: Path = PATH) -> dict[str, Calibration]:
    """Return what is known, by model version; nothing if there is no file."""
    if not path.exists():
        return {}
    return {
        version: Calibration(tuple(entry["cuts"])) for version, entry in json.loads(path.read_text()).items()
    }


@cache
def of_version(version: str) -> Calibration:
    """Return the calibration of a model version, a careful one if it was not calibrated."""
    return read().get(version, UNKNOWN)
