"""Several processes that train one network, as `torchrun` starts them; alone, nothing here does anything."""

from collections.abc import Iterable

import torch
from torch import Tensor, distributed, nn


def start(device: str) -> str:
    """Join the other processes if `torchrun` started this one, and return the device to compute on.

    Args:
        device: `cpu`, `cuda` (then every process takes the GPU of its number) ...
    """
    if not distributed.is_torchelastic_launched():
        return device
    on_gpu = device.startswith("cuda")
    distributed.init_process_group("nccl" if on_gpu else "gloo")
    if not on_gpu:
        return device
    torch.cuda.set_device(distributed.get_node_local_rank())
    return f"cuda:{distributed.get_node_local_rank()}"


def refuse() -> None:
    """Stop several processes where one must train.

    Raises:
        ValueError: there are several.
    """
    if processes() > 1:
        raise ValueError("several processes train the preset paper only")


def end() -> None:
    """Part from the other processes."""
    if distributed.is_initialized():
        distributed.destroy_process_group()


def rank() -> int:
    """Return the number of this process; 0 is the one that writes."""
    return distributed.get_rank() if distributed.is_initialized() else 0


def processes() -> int:
    """Return how many train together."""
    return distributed.get_world_size() if distributed.is_initialized() else 1


def mean(value: Tensor) -> Tensor:
    """Return the mean of a tensor over all processes, without gradient."""
    value = value.detach().float()
    if processes() > 1:
        value = value.clone()
        distributed.all_reduce(value)
    return value / processes()


def share_weights(module: nn.Module) -> None:
    """Give every process the weights of the first."""
    if processes() > 1:
        for tensor in module.state_dict().values():
            distributed.broadcast(tensor, 0)


def average_gradients(parameters: Iterable[nn.Parameter]) -> None:
    """Give every process the mean of all gradients; where one has none, it counts as 0."""
    if processes() == 1:
        return
    chosen = list(parameters)
    gradients = [torch.zeros_like(p) if p.grad is None else p.grad for p in chosen]
    flat = torch.cat([gradient.flatten() for gradient in gradients])
    distributed.all_reduce(flat)
    flat /= processes()
    for parameter, part in zip(chosen, torch.split(flat, [p.numel() for p in chosen]), strict=True):
        parameter.grad = part.view_as(parameter)
