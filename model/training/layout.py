"""How a network is laid out to learn fast on a processor."""

from functools import partial
from itertools import product
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from model.training.settings import Settings


def lay_out(network: nn.Module, settings: Settings) -> None:
    """Have a network compute fast in bfloat16, if the settings say so; its numbers stay the same.

    Channels go last, and a processor makes the gradient of large depthwise kernels out of small ones.
    """
    if not settings.bf16:
        return
    network.to(memory_format=torch.channels_last)
    layers = [module for module in network.modules() if isinstance(module, nn.Conv2d)]
    for layer in layers if settings.device == "cpu" else []:
        if layer.groups > 1 and layer.kernel_size == (5, 5):
            layer.forward = partial(_depthwise, layer)  # type: ignore[method-assign]


def _depthwise(layer: nn.Conv2d, x: Tensor) -> Tensor:
    dtype = torch.bfloat16 if torch.is_autocast_enabled("cpu") else x.dtype
    result: Tensor = Depthwise.apply(x.to(dtype), layer.weight.to(dtype))
    return result


class Depthwise(torch.autograd.Function):
    """Depthwise convolution by kernels of 5 x 5 that keeps the size, with a quick gradient of the weights.

    oneDNN takes 30 times as long for it as for kernels of 3 x 3 (200 ms and 8 for 4 x 96 x 160 x 160, one
    core, PyTorch 2.14), so four of those cover the 5 x 5, for as many pixels at once as a cache holds.
    """

    PIXELS = 160 * 160

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor) -> Tensor:
        """Convolve x (B, C, H, W) with one kernel a channel (C, 1, 5, 5)."""
        ctx.save_for_backward(x, weight)
        return F.conv2d(x, weight, padding=2, groups=len(weight))

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor]:
        """Return the gradients of x and of the kernels."""
        x, weight = ctx.saved_tensors
        gradient = gradients[0].contiguous(memory_format=torch.channels_last)
        wanted = _convolved_back(gradient, x, weight, padding=2, wanted=(True, False, False))[0]
        kernels = weight.new_zeros(weight.shape, dtype=torch.float32)
        small = weight[:, :, :3, :3]
        height, width = x.shape[2] + 2, x.shape[3] + 2
        padded = F.pad(x, (2, 2, 2, 2))
        count = max(1, Depthwise.PIXELS // (height * width))
        for some, shown in zip(torch.split(gradient, count), torch.split(padded, count), strict=True):
            for top, left in product((0, 2), repeat=2):
                part = shown[:, :, top : top + height, left : left + width]
                part = part.contiguous(memory_format=torch.channels_last)
                found = _convolved_back(some, part, small, padding=0, wanted=(False, True, False))[1]
                kernels[:, :, top : top + 3, left : left + 3] += found
        # The middle row and column were counted twice.
        kernels[:, :, 2] /= 2
        kernels[:, :, :, 2] /= 2
        return wanted, kernels.to(weight.dtype)


def _convolved_back(
    gradient: Tensor, x: Tensor, weight: Tensor, *, padding: int, wanted: tuple[bool, bool, bool]
) -> tuple[Tensor, Tensor, Tensor]:
    result: tuple[Tensor, Tensor, Tensor] = torch.ops.aten.convolution_backward(
        gradient, x, weight, None, (1, 1), (padding, padding), (1, 1), False, (0, 0), len(weight), wanted
    )
    return result
