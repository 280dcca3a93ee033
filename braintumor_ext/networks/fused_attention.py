"""Blended attention in training on a CPU: the same numbers as the modules', with fewer passes over the features."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.amp import custom_bwd, custom_fwd
from torch.autograd import Function
from torch.autograd.function import once_differentiable


def fused_attention(x: Tensor, alpha: Tensor, squeeze: Tensor, expand: Tensor, kernel: Tensor) -> Tensor:
    """Return ``torch.lerp(x, CBAM(x), alpha)``, to be differentiated once.

    Autograd makes a pass over the features for each operation and each of their gradients, and stores what it makes;
    here the backward pass is written out. Where several channels or pixels share a maximum, the gradient goes to the
    first of them, not to all alike.

    Args:
        x: (B, C, H, W) features on the CPU; fastest in ``channels_last``.
        alpha: how much of the attention is in effect, one number.
        squeeze: (C // reduction, C, 1, 1) first layer of the channel attention's MLP.
        expand: (C, C // reduction, 1, 1) its second layer.
        kernel: (1, 2, k, k) the spatial attention's convolution, k odd.
    """
    with torch.autocast("cpu", enabled=False):  # all is computed in the features' own type
        return _FusedAttention.apply(x, alpha, squeeze, expand, kernel)


class _FusedAttention(Function):
    """c: the channels' gate (B, C, 1, 1); s: the pixels' (B, 1, H, W); the output is x + alpha * (c * s * x - x).

    Autograd differentiates the small parts: from the pooled features to the gates.
    """

    @staticmethod
    @custom_fwd(device_type="cpu")
    def forward(ctx: Any, x: Tensor, alpha: Tensor, squeeze: Tensor, expand: Tensor, kernel: Tensor) -> Tensor:
        x = x.contiguous(memory_format=torch.channels_last)
        size = x.shape[2:]
        average = F.avg_pool2d(x, size)
        maximum, pixel = F.max_pool2d(x, size, return_indices=True)
        pooled = torch.cat([average, maximum]).requires_grad_()
        squeeze, expand, kernel = (w.detach().to(x.dtype).requires_grad_() for w in (squeeze, expand, kernel))
        with torch.enable_grad():
            hidden = F.relu(F.linear(pooled.flatten(1), squeeze.flatten(1)))
            c = torch.sigmoid(F.linear(hidden, expand.flatten(1)).unflatten(0, (2, -1)).sum(0))[:, :, None, None]
        y = x * c.detach()
        highest, channel = y.max(dim=1, keepdim=True)
        planes = torch.cat([y.sum(dim=1, keepdim=True) / x.shape[1], highest], dim=1).requires_grad_()
        with torch.enable_grad():
            s = torch.sigmoid(F.conv2d(planes, kernel, padding=kernel.shape[-1] // 2))
        ctx.save_for_backward(x, alpha, pixel, channel)
        ctx.small, ctx.c, ctx.s = (planes, squeeze, expand, pooled, kernel), c, s
        return torch.lerp(x, y.mul_(s.detach()), alpha.to(x.dtype))

    @staticmethod
    @once_differentiable
    @custom_bwd(device_type="cpu")
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, ...]:  # type: ignore[override]
        x, alpha, pixel, channel = ctx.saved_tensors
        c, s, b = ctx.c.detach(), ctx.s.detach(), float(alpha)
        batch, channels, height, width = x.shape
        pixels = height * width
        grad = grad.contiguous(memory_format=torch.channels_last)
        exact = torch.promote_types(x.dtype, torch.float32)  # what is added up is added up in at least float32
        product = grad * x
        by_pixel = torch.bmm(c.view(batch, 1, channels), product.flatten(2)).view_as(s)  # sum of c * x * grad
        grad_alpha = (by_pixel.to(exact) * s).sum() - product.sum(dtype=exact)
        planes, squeeze, expand, pooled, kernel = ctx.small
        grad_planes, grad_kernel = torch.autograd.grad(ctx.s, (planes, kernel), b * by_pixel, retain_graph=True)
        grad_mean, grad_highest = grad_planes.split(1, dim=1)
        # The gradient by y, but for its maximum over the channels: that is of one channel of each pixel.
        grad_y = torch.mul(grad, b * s).add_(grad_mean / channels)
        highest = torch.arange(batch * pixels).view_as(channel) * channels + channel  # in the memory of channels_last
        grad_c = F.avg_pool2d(torch.mul(x, grad_y, out=product), (height, width)).view(batch, channels) * pixels
        of_highest = x.permute(0, 2, 3, 1).take(highest) * grad_highest
        grad_c = grad_c.to(exact).scatter_add_(1, channel.flatten(1), of_highest.to(exact).flatten(1)).to(x.dtype)
        inputs = (pooled, squeeze, expand)
        grad_pooled, grad_squeeze, grad_expand = torch.autograd.grad(
            ctx.c, inputs, grad_c.view_as(c), retain_graph=True
        )
        grad_average, grad_maximum = grad_pooled.chunk(2)
        grad_x = grad_y.mul_(c).add_(grad_average / pixels).add_(grad, alpha=1 - b)
        memory = grad_x.permute(0, 2, 3, 1)
        memory.put_(highest, grad_highest * c.flatten(1).gather(1, channel.flatten(1)).view_as(s), accumulate=True)
        first = torch.arange(batch).view(-1, 1, 1, 1) * pixels
        of_maximum = (first + pixel) * channels + torch.arange(channels).view(1, -1, 1, 1)
        memory.put_(of_maximum, grad_maximum, accumulate=True)
        return grad_x, grad_alpha.to(alpha.dtype), grad_squeeze, grad_expand, grad_kernel
