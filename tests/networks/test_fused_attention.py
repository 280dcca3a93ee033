"""The short way through attention in training against the modules' own operations, one by one."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from braintumor_ext.networks import CBAM, BrainTumorNet, ReZeroAttention


def plainly(module: ReZeroAttention, x: Tensor) -> Tensor:
    """The blended attention as it is written in the paper and in ReZero, for autograd to differentiate."""
    mlp, conv = module.attention.channel.mlp, module.attention.spatial.conv
    c = torch.sigmoid(mlp(x.mean((2, 3), keepdim=True)) + mlp(x.amax((2, 3), keepdim=True)))
    y = x * c
    s = torch.sigmoid(conv(torch.cat([y.mean(1, keepdim=True), y.amax(1, keepdim=True)], 1)))
    return torch.lerp(x, y * s, module.alpha.to(x.dtype))


def with_gradients(call, module: nn.Module, x: Tensor, upstream: Tensor) -> dict[str, Tensor]:
    """Return a call's output and the gradients by its input and the module's parameters."""
    module.zero_grad()
    x = x.clone().requires_grad_()
    out = call(x)
    out.backward(upstream)
    found = {"out": out.detach(), "x": x.grad}
    return found | {name: parameter.grad.clone() for name, parameter in module.named_parameters()}


@pytest.mark.parametrize("layout", [torch.channels_last, torch.contiguous_format])
@pytest.mark.parametrize(
    ("shape", "blend", "options"),
    [
        ((3, 32, 7, 9), 0.0, {}),
        ((2, 64, 8, 8), 0.4, {"reduction": 4}),
        ((1, 16, 5, 3), 1.0, {"kernel_size": 3}),
        ((4, 48, 1, 1), -0.7, {"reduction": 64}),
    ],
)
def test_it_equals_the_plain_operations_and_their_gradients(shape, blend, options, layout):
    torch.manual_seed(0)
    module = ReZeroAttention(CBAM(shape[1], **options), blend).train()
    x, upstream = torch.randn(shape).to(memory_format=layout), torch.randn(shape)
    ours = with_gradients(module, module, x, upstream)
    assert with_gradients(lambda x: plainly(module, x), module, x, upstream).keys() == ours.keys()
    for dtype, tolerance in ((torch.float32, 1e-5), (torch.float64, 1e-12)):
        module, x, upstream = module.to(dtype), x.to(dtype), upstream.to(dtype)
        ours = with_gradients(module, module, x, upstream)
        theirs = with_gradients(lambda x, m=module: plainly(m, x), module, x, upstream)
        for name, value in theirs.items():
            scale = value.abs().max().clamp(min=1)
            torch.testing.assert_close(ours[name] / scale, value / scale, rtol=0, atol=tolerance, msg=name)


def test_its_gradients_are_those_of_finite_differences():
    torch.manual_seed(0)
    module = ReZeroAttention(CBAM(6, reduction=2, kernel_size=3), 0.3).double().train()
    x = torch.randn(2, 6, 4, 3, dtype=torch.float64, requires_grad=True)
    names, parameters = zip(*module.named_parameters(), strict=True)

    def call(x, *values):
        return torch.func.functional_call(module, dict(zip(names, values, strict=True)), (x,))

    assert torch.autograd.gradcheck(call, (x, *parameters))


def test_training_and_evaluation_give_the_same():
    torch.manual_seed(0)
    module, x = ReZeroAttention(CBAM(32), 0.5), torch.randn(2, 32, 8, 8)
    torch.testing.assert_close(module.train()(x), module.eval()(x))
    with torch.no_grad():
        torch.testing.assert_close(module.train()(x), module.eval()(x))


def test_a_graph_that_is_kept_is_gone_back_through_again():
    module, x = ReZeroAttention(CBAM(8), 0.5).train(), torch.randn(2, 8, 4, 4, requires_grad=True)
    out = module(x).sum()
    out.backward(retain_graph=True)
    once = x.grad.clone()
    out.backward()
    torch.testing.assert_close(x.grad, 2 * once)


class LargestFloat32(TorchDispatchMode):
    """Remembers the size of the largest float32 tensor that an operation made."""

    largest = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        for value in out if isinstance(out, tuple | list) else (out,):
            if isinstance(value, Tensor) and value.dtype == torch.float32:
                self.largest = max(self.largest, value.numel())
        return out


@pytest.mark.parametrize("training", [True, False])
def test_in_bfloat16_features_stay_in_bfloat16_and_numbers_near_those_of_float32(training):
    torch.manual_seed(0)
    module = ReZeroAttention(CBAM(64), 0.5).train(training)
    x, upstream = (torch.randn(4, 64, 32, 32).bfloat16() for _ in range(2))
    with torch.autocast("cpu", torch.bfloat16), LargestFloat32() as seen:
        found = with_gradients(module, module, x.to(memory_format=torch.channels_last), upstream)
    assert found["out"].dtype == found["x"].dtype == torch.bfloat16
    assert seen.largest < (x.numel() // 4 if training else x.numel() * 2)
    exact = with_gradients(lambda x: plainly(module, x), module, x.float(), upstream.float())
    for name, value in exact.items():
        error = (found[name].float() - value).norm() / value.norm()
        assert error < 0.03, f"{name}: {error:.3f}"


def test_parameters_have_the_names_that_checkpoints_have():
    with torch.device("meta"):
        names = [name for name in BrainTumorNet().state_dict() if name.startswith("encoder.attention3.")]
    inner = ["channel.mlp.0.weight", "channel.mlp.2.weight", "spatial.conv.weight"]
    assert names == ["encoder.attention3.alpha", *(f"encoder.attention3.attention.{name}" for name in inner)]
