"""The checkpoints that come with the package, by name."""

from pathlib import Path

WEIGHTS = Path(__file__).parent / "weights"
DEFAULT = "accurate"


def shipped() -> dict[str, Path]:
    """Return the files of the checkpoints by the names that people choose them by."""
    return {path.stem: path for path in sorted(WEIGHTS.glob("*.safetensors"))}
