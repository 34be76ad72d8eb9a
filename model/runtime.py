"""Runs a module through torch (CUDA or CPU) or OpenVINO (CPU) behind one call."""

import logging
import os
import queue
import shutil
import tempfile
import warnings
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any, Literal, TypeVar

import openvino as ov
import torch
from torch import Tensor, nn

logger = logging.getLogger(__name__)

Engine = Literal["torch", "openvino"]
Lend = Callable[..., AbstractContextManager[Any]]
Converted = tuple[bytes, bytes]  # description and weights of a network, as OpenVINO writes them
Item = TypeVar("Item")
Result = TypeVar("Result")
MOST_STREAMS = 4  # each takes the room of a photo at work; more threads work on one photo together
_CACHED = "network.xml"
# The first call makes a table; threads that want it at once would wait for each other and hold Python's lock.
ov.Type.f32.to_dtype()


def choose(device: str) -> tuple[torch.device, Engine]:
    """Return where and with what to compute.

    Args:
        device: `auto` (CUDA if any, else OpenVINO), `cpu` (OpenVINO), `cpu-torch`, `cuda` or `cuda:N`.

    Raises:
        ValueError: the name is unknown, or there is no such device here.
    """
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    if device == "cpu":
        return torch.device("cpu"), "openvino"
    if device == "cpu-torch":
        return torch.device("cpu"), "torch"
    if device.split(":")[0] != "cuda":
        raise ValueError(f"device {device!r} is not one of auto, cpu, cpu-torch, cuda, cuda:N")
    if not torch.cuda.is_available():
        raise ValueError(f"device {device!r} was asked for, but torch finds no CUDA device")
    return torch.device(device), "torch"


def default_threads() -> int:
    """Return the number of processor cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class Crew:
    """Runs a function on many items, several at once, each with its share of the processor's threads.

    Photos beside each other keep all cores busy, also where one photo alone would not; and what is not the
    network's work gets its share of them.
    """

    def __init__(self, engine: Engine, threads: int) -> None:
        """Hire nobody yet.

        Args:
            engine: What computes; with torch, which has its own threads, one item comes after another.
            threads: Processor threads.
        """
        self.size = min(threads, MOST_STREAMS) if engine == "openvino" else 1
        self._pool = ThreadPoolExecutor(
            self.size, "crew", initializer=torch.set_num_threads, initargs=(threads // self.size,)
        )

    def map(self, function: Callable[[Item], Result], items: Sequence[Item]) -> list[Result]:
        """Return what the function gives for each item, in their order; its first error is raised."""
        if self.size == 1 or len(items) < 2:
            return [function(item) for item in items]
        return list(self._pool.map(function, items))


class Compiled:
    """A module ready to run; called with tensors, returns a tensor or a tuple of tensors."""

    def __init__(
        self,
        module: nn.Module,
        examples: Sequence[Tensor],
        *,
        device: torch.device,
        engine: Engine,
        threads: int,
        streams: int = 1,
        half: bool = True,
        ready: Converted | None = None,
        cache: Path | None = None,
    ) -> None:
        """Prepare a module.

        Args:
            module: Network in evaluation mode.
            examples: Inputs of the right types; every dimension may differ in later calls.
            device: Where torch computes.
            engine: What computes.
            threads: Processor threads for OpenVINO.
            streams: So many calls may run at once, and share the threads.
            half: Let OpenVINO compute in bfloat16 where the processor is made for it.
            ready: The module as OpenVINO's already, in eight bits.
            cache: Folder to keep the converted module in, of this module alone; converting takes seconds.
        """
        self._device = device
        if engine == "torch":
            self._lend = _lend_torch(module.to(device))
        else:
            network = ov.Core().read_model(*ready) if ready else _cached(module, examples, cache)
            self._lend = _compile(network, threads, streams, half)

    def __call__(self, *inputs: Tensor) -> Any:
        """Run the module; results stay on its device."""
        with self.lend(*inputs) as outputs:
            return outputs.clone() if isinstance(outputs, Tensor) else tuple(x.clone() for x in outputs)

    def lend(self, *inputs: Tensor) -> AbstractContextManager[Any]:
        """Run the module without copying its results: they may be used within the context only."""
        return self._lend(*(tensor.to(self._device) for tensor in inputs))


def convert(module: nn.Module, examples: Sequence[Tensor]) -> ov.Model:
    """Return a module as OpenVINO's, every dimension of its inputs open."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the tracer warns of constants that are constant here
        converted = ov.convert_model(module, example_input=tuple(examples))
    for parameter in converted.inputs:
        shape = parameter.get_partial_shape()
        parameter.get_node().set_partial_shape(ov.PartialShape([-1] * shape.rank.get_length()))
    converted.validate_nodes_and_infer_types()
    return converted


def _cached(module: nn.Module, examples: Sequence[Tensor], cache: Path | None) -> ov.Model:
    """Return the module as OpenVINO's; from the cache if it is there."""
    if cache is not None and (cache / _CACHED).exists():
        try:
            return ov.Core().read_model(cache / _CACHED)
        except RuntimeError as exc:
            logger.warning("cached network not used: %s", exc, extra={"action": "convert"})
            shutil.rmtree(cache, ignore_errors=True)
    converted = convert(module, examples)
    if cache is not None:
        _keep(converted, cache)
    return converted


def _keep(converted: ov.Model, cache: Path) -> None:
    """Write to a folder of another name, then rename it: what is in the cache is whole."""
    try:
        cache.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(dir=cache.parent))
        ov.save_model(converted, temporary / _CACHED, compress_to_fp16=False)
        temporary.rename(cache)
    except (OSError, RuntimeError) as exc:  # no space, or another process was faster
        logger.warning("converted network not kept: %s", exc, extra={"action": "convert"})


def _compile(converted: ov.Model, threads: int, streams: int, half: bool) -> Lend:
    core = ov.Core()
    half = half and "BF16" in core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    options = {
        "INFERENCE_NUM_THREADS": threads,
        "NUM_STREAMS": streams,
        "INFERENCE_PRECISION_HINT": "bf16" if half else "f32",
        # It pins to the first cores: processes that share a machine would all sit on the same ones.
        "ENABLE_CPU_PINNING": threads >= default_threads(),
    }
    compiled = core.compile_model(converted, "CPU", options)
    requests: queue.SimpleQueue[ov.InferRequest] = queue.SimpleQueue()
    for _ in range(streams):
        requests.put(compiled.create_infer_request())

    @contextmanager
    def lend(*inputs: Tensor) -> Iterator[Any]:
        request = requests.get()
        try:
            arrays = [tensor.numpy() for tensor in inputs]
            outputs = request.infer(arrays, share_inputs=True, share_outputs=True)
            tensors = tuple(torch.from_numpy(value) for value in outputs.values())
            yield tensors[0] if len(tensors) == 1 else tensors
        finally:
            requests.put(request)

    return lend


def _lend_torch(module: nn.Module) -> Lend:
    @contextmanager
    def lend(*inputs: Tensor) -> Iterator[Any]:
        with torch.inference_mode():
            outputs = module(*inputs)
        yield outputs

    return lend
