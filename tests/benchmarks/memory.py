"""Peak memory of finding and reading text, beside RapidOCR, each system in a process of its own.

    python -m tests.benchmarks.memory FOLDER [--photos N] [--threads 2] [--json FILE]

A process loads one system alone, runs it on photos of the folder in batches of 16, and tells how much memory
it needed at most, libraries included. glyphseek is the network as its worker runs it, without the service.
"""

import argparse
import os
import subprocess
import sys
from pathlib import Path

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import numpy as np
from PIL import Image

from tests.benchmarks import rapid

BATCH = 16
SYSTEMS = {"glyphseek": "", "RapidOCR onnxruntime": "onnxruntime", "RapidOCR openvino": "openvino"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="photos")
    parser.add_argument("--photos", type=int, default=160, help="so many of them")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--json", type=Path, help="file to write the figures to")
    parser.add_argument("--alone", choices=SYSTEMS, help="run it here, and print MiB loaded and at most")
    options = parser.parse_args()
    paths = sorted(path for path in options.folder.iterdir() if path.is_file())[: options.photos]
    if not paths:
        parser.error(f"there are no photos in {options.folder}")
    if options.alone:
        sys.stdout.write(" ".join(map(str, _run(options.alone, paths, options.threads))) + "\n")
        return
    from tests.benchmarks import measuring  # it brings ours in, which would count for all

    rows = {}
    for name in SYSTEMS:
        command = [sys.executable, "-m", "tests.benchmarks.memory", *sys.argv[1:], "--alone", name]
        before, most = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout.split()
        rows[name] = {"loaded, MiB": float(before), "at most, MiB": float(most)}
    measuring.show(f"{len(paths)} photos, {options.threads} threads", rows, options.json)


def _run(name: str, paths: list[Path], threads: int) -> tuple[float, float]:
    """Return how many MiB a system needs when it is loaded, and at most."""
    system = rapid.reader(SYSTEMS[name], threads) if SYSTEMS[name] else _ours(threads)
    before = _peak_mib()
    for start in range(0, len(paths), BATCH):
        system([np.asarray(Image.open(path).convert("RGB")) for path in paths[start : start + BATCH]])
    return before, _peak_mib()


def _ours(threads: int) -> rapid.System:
    from model.encoder import Encoder

    return Encoder(device="cpu", threads=threads).encode_images


def _peak_mib() -> float:
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line.split()[1] for line in lines if line.startswith("VmHWM"))) / 1024


if __name__ == "__main__":
    main()
