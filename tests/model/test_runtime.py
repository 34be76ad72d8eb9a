import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from torch import nn

from model import runtime


@pytest.mark.parametrize("device", ["tpu", "", "cudaX"])
def test_unknown_devices_are_refused(device: str) -> None:
    with pytest.raises(ValueError, match="not one of auto, cpu"):
        runtime.choose(device)


def test_a_missing_gpu_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ValueError, match="no CUDA device"):
        runtime.choose("cuda")
    assert runtime.choose("auto") == (torch.device("cpu"), "openvino")


class Both(nn.Module):
    """Two outputs, so that tuples are tested too."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(4, 3)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        y = self.layer(x)
        return y, y.sum(1)


def test_openvino_and_torch_agree_at_sizes_never_seen() -> None:
    module = Both().eval().requires_grad_(False)
    compiled = runtime.Compiled(
        module, [torch.zeros(1, 4)], device=torch.device("cpu"), engine="openvino", threads=1, half=False
    )
    for rows in (1, 5, 2):
        x = torch.randn(rows, 4)
        for ours, theirs in zip(compiled(x), module(x), strict=True):
            assert torch.allclose(ours, theirs, atol=1e-5)


FIRST_CALLS = """
import os, sys, threading
import torch
from model import runtime
module = torch.nn.Linear(4, 3).eval().requires_grad_(False)
ready = runtime.Compiled(
    module, [torch.zeros(1, 4)], device=torch.device("cpu"), engine="openvino", threads=4, streams=4,
    ready={ready!r}
)
sys.setswitchinterval(1e-6)
barrier = threading.Barrier(4)
threads = [
    threading.Thread(target=lambda: (barrier.wait(), ready(torch.ones(2, 4))), daemon=True) for _ in range(4)
]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join(20)
os._exit(any(thread.is_alive() for thread in threads))
"""


def test_first_calls_at_once_do_not_wait_for_each_other(tmp_path: Path) -> None:
    module = nn.Linear(4, 3).eval().requires_grad_(False)
    network = runtime.convert(module, [torch.zeros(1, 4)])
    runtime._keep(network, tmp_path / "kept")
    ready = tuple((tmp_path / "kept" / f"network.{kind}").read_bytes() for kind in ("xml", "bin"))
    for _ in range(3):  # without care most of them never end
        command = [sys.executable, "-c", FIRST_CALLS.format(ready=ready)]
        assert subprocess.run(command, timeout=100, check=False).returncode == 0


def test_calls_at_once_do_not_mix_their_results() -> None:
    module = nn.Linear(300, 300).eval().requires_grad_(False)
    compiled = runtime.Compiled(
        module,
        [torch.zeros(1, 300)],
        device=torch.device("cpu"),
        engine="openvino",
        threads=3,
        streams=3,
        half=False,
    )
    crew = runtime.Crew("openvino", threads=3)

    def differs(number: int) -> bool:
        x = torch.full((50, 300), float(number))
        with compiled.lend(x) as lent:
            time.sleep(0.001)  # another call may come meanwhile
            return not torch.allclose(lent, module(x), atol=1e-3)

    assert crew.map(differs, range(60)) == [False] * 60


def test_a_crew_keeps_the_order_and_hands_on_errors() -> None:
    crew = runtime.Crew("openvino", threads=2)
    assert crew.map(lambda x: (time.sleep(0.01 * (x == 0)), x)[1], range(6)) == list(range(6))
    with pytest.raises(ZeroDivisionError):
        crew.map(lambda x: 1 / x, [1, 0, 2])
    assert crew.map(str, []) == []


@pytest.mark.parametrize(
    ("engine", "threads", "size"), [("openvino", 2, 2), ("openvino", 64, 4), ("torch", 8, 1)]
)
def test_the_size_of_a_crew(engine: runtime.Engine, threads: int, size: int) -> None:
    assert runtime.Crew(engine, threads).size == size


def test_results_outlive_the_next_call() -> None:
    module = nn.Linear(2, 2).eval().requires_grad_(False)
    compiled = runtime.Compiled(
        module, [torch.zeros(1, 2)], device=torch.device("cpu"), engine="openvino", threads=1, half=False
    )
    first = compiled(torch.ones(1, 2))
    kept = first.clone()
    compiled(torch.zeros(1, 2))
    assert torch.equal(first, kept)


def test_a_cached_conversion_is_used_and_a_broken_one_replaced(tmp_path: Path) -> None:
    module = nn.Linear(2, 2).eval().requires_grad_(False)
    cache = tmp_path / "cache" / "linear"

    def compiled(layer: nn.Module) -> runtime.Compiled:
        device = torch.device("cpu")
        return runtime.Compiled(
            layer, [torch.zeros(1, 2)], device=device, engine="openvino", threads=1, half=False, cache=cache
        )

    x = torch.randn(3, 2)
    first = compiled(module)(x)
    other = nn.Linear(2, 2).eval().requires_grad_(False)
    assert torch.equal(compiled(other)(x), first)  # what was kept, not what is given
    (cache / "network.xml").write_text("broken")
    assert torch.allclose(compiled(other)(x), other(x), atol=1e-5)
    assert torch.allclose(compiled(module)(x), other(x), atol=1e-5)  # kept anew
