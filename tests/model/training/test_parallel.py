import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

from model.training import parallel

SCRIPT = """
import json, sys
from pathlib import Path
import torch
from model.training import parallel

device = parallel.start("cpu")
torch.manual_seed(parallel.rank())
module = torch.nn.Linear(2, 1)
parallel.share_weights(module)
used = torch.nn.Parameter(torch.ones(2))
unused = torch.nn.Parameter(torch.ones(1))
if parallel.rank() == 0:
    (used * torch.tensor([1.0, 2.0])).sum().backward()
    unused.sum().backward()
else:
    (used * torch.tensor([3.0, 6.0])).sum().backward()
parallel.average_gradients([used, unused])
found = {
    "device": device,
    "processes": parallel.processes(),
    "weights": module.weight.tolist(),
    "mean": parallel.mean(torch.tensor([1.0, 4.0]) * parallel.rank()).tolist(),
    "gradients": [used.grad.tolist(), unused.grad.tolist()],
}
(Path(sys.argv[1]) / f"{parallel.rank()}.json").write_text(json.dumps(found))
parallel.end()
"""


def test_two_processes_agree(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[3]), "OMP_NUM_THREADS": "1"}
    subprocess.run([*command, str(script), str(tmp_path)], env=environment, check=True, timeout=300)
    first, second = (json.loads((tmp_path / f"{rank}.json").read_text()) for rank in range(2))
    assert first == second
    assert (first["device"], first["processes"]) == ("cpu", 2)
    assert first["mean"] == [0.5, 2]
    assert first["gradients"] == [[2, 4], [0.5]]


def test_alone_nothing_happens() -> None:
    assert parallel.start("cpu") == "cpu"
    assert (parallel.rank(), parallel.processes()) == (0, 1)
    module = nn.Linear(2, 1)
    before = module.weight.detach().clone()
    parallel.share_weights(module)
    parallel.average_gradients(module.parameters())
    assert module.weight.grad is None
    torch.testing.assert_close(module.weight.detach(), before)
    value = torch.ones(2, requires_grad=True)
    assert parallel.mean(value).tolist() == pytest.approx([1, 1])
    assert not parallel.mean(value).requires_grad
    parallel.end()
