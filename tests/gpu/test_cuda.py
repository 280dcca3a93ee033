"""What needs CUDA: mixed precision with loss scaling, clipping under it, resuming it, and agreement with the CPU."""

from __future__ import annotations

import math

import pytest
import torch
from ignite.engine import Events
from monai.engines import SupervisedTrainer
from monai.engines.utils import IterationEvents

from braintumor_ext.engines import GradientClipping, MixedPrecisionInferer, mixed_precision_supported
from braintumor_ext.explain import Explainer
from braintumor_ext.losses import JointLoss
from braintumor_ext.networks import BrainTumorNet
from tests.bundle.test_evaluation import evaluate
from tests.bundle.workflows import Interruption, make_workflow, places, read_table, run_until_interrupted, train
from tests.engines.trainers import Weigh

pytestmark = [pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")]

CUDA = "cuda:0"
AMP = {"device": CUDA, "amp": True}


@pytest.fixture(autouse=True)
def _full_float32():
    """Compare in float32 itself, not in TensorFloat-32."""
    before = torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    yield
    torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32 = before


def sample(batch=4, size=96):
    generator = torch.Generator().manual_seed(0)
    image = torch.randn(batch, 3, size, size, generator=generator)
    label = torch.zeros(batch, 1, size, size)
    label[:2, :, 20:50, 30:60] = 1
    label[3] = -1  # unknown
    return image, {"class": torch.tensor([0, 1, 3, -1]), "label": label}


def on(device, network, image, target):
    """Loss, outputs and gradients of one step, on the CPU."""
    network = network.to(device)
    network.zero_grad()
    out = network(image.to(device))
    loss = JointLoss()(out, {key: value.to(device) for key, value in target.items()})
    loss.backward()
    gradients = {name: p.grad.cpu() for name, p in network.named_parameters() if p.grad is not None}
    return loss.item(), {key: value.detach().cpu() for key, value in out.items()}, gradients


# --- CPU and GPU


def test_cpu_and_gpu_give_the_same_outputs_loss_and_gradients():
    torch.manual_seed(0)
    network = BrainTumorNet().eval()  # without dropout, which draws from each device's own generator
    image, target = sample()
    (loss, out, gradients), (loss_, out_, gradients_) = (on(device, network, image, target) for device in ("cpu", CUDA))
    assert loss_ == pytest.approx(loss, rel=1e-3)
    for name in out:
        torch.testing.assert_close(out_[name], out[name], rtol=1e-3, atol=1e-3)
    assert gradients.keys() == gradients_.keys()
    for name, gradient in gradients.items():
        scale = float(gradient.abs().max())
        torch.testing.assert_close(gradients_[name], gradient, rtol=1e-2, atol=1e-2 * scale + 1e-7)


def test_an_evaluation_on_the_gpu_equals_one_on_the_cpu(phantom_dataset, big_folder):
    train(phantom_dataset, big_folder, epochs=1, device=CUDA, amp=False)
    tables = []
    for device in ("cpu", CUDA):
        evaluate(phantom_dataset, big_folder / "models", big_folder / device[:4], device=device)
        tables.append(read_table(big_folder / device[:4] / "per_image.csv"))
    for one, other in zip(*tables, strict=True):
        assert one["image"] == other["image"]
        for name in ("p_glioma", "p_meningioma", "p_pituitary", "p_no_tumor"):
            assert float(one[name]) == pytest.approx(float(other[name]), abs=1e-3)
        # a pixel on the edge may fall to either side
        assert int(one["pred_area_px"]) == pytest.approx(int(other["pred_area_px"]), abs=20)


# --- mixed precision


def test_mixed_precision_is_on_by_default_on_cuda_and_runs_in_float16(phantom_dataset, tmp_path):
    assert mixed_precision_supported(CUDA)
    overrides = {"epochs": 1, "device": CUDA, "amp": {"_target_": "braintumor_ext.engines.mixed_precision_supported"}}
    overrides["amp"]["device"] = "@device"
    workflow = make_workflow("train", **{**places(phantom_dataset, tmp_path), **overrides})
    workflow.initialize()
    assert workflow.trainer.amp
    seen = []
    workflow.network_def.classifier[2].register_forward_hook(lambda _, inputs, output: seen.append(output.dtype))

    @workflow.trainer.on(Events.ITERATION_COMPLETED)
    def stop(engine):
        assert engine.scaler.is_enabled()
        raise Interruption

    run_until_interrupted(workflow)
    assert seen == [torch.float16]


def test_the_bfloat16_of_the_cpu_is_left_out_on_cuda():
    network, image = BrainTumorNet().eval().to(CUDA), sample()[0].to(CUDA)
    with torch.no_grad():
        outs = [MixedPrecisionInferer(enabled=enabled)(image, network) for enabled in (True, False)]
    assert torch.equal(outs[0]["mask"], outs[1]["mask"])


def test_outputs_in_float16_are_close_to_those_in_float32():
    torch.manual_seed(0)
    network, image = BrainTumorNet().eval().to(CUDA), sample()[0].to(CUDA)
    with torch.no_grad():
        exact = network(image)
        with torch.autocast("cuda"):
            mixed = network(image)
    for name, value in exact.items():
        spread = float(value.std())
        assert float((mixed[name].float() - value).abs().max()) < 0.1 * spread + 0.02


@pytest.mark.parametrize("amp", [False, True])
def test_training_on_cuda_gives_numbers_and_changes_all_weights(phantom_dataset, big_folder, amp):
    torch.manual_seed(0)
    workflow = train(phantom_dataset, big_folder, epochs=2, device=CUDA, amp=amp)
    rows = read_table(big_folder / "out" / "history.csv")
    assert all(math.isfinite(float(row[name])) for row in rows for name in ("train_loss", "val_loss", "val_score"))
    weights = torch.load(big_folder / "models" / "model.pt", weights_only=True)
    assert all(value.device.type == "cpu" and value.isfinite().all() for value in weights.values())
    assert (workflow.trainer.scaler is not None) == amp


@pytest.mark.parametrize(("row", "expected"), [((30.0, 40.0), (0.6, 0.8)), ((0.3, 0.4), (0.3, 0.4))])
def test_gradients_are_clipped_after_they_are_unscaled(row, expected):
    network = Weigh()
    trainer = SupervisedTrainer(
        device=torch.device(CUDA),
        max_epochs=1,
        train_data_loader=[{"image": torch.tensor([row]), "label": torch.zeros(1)}],
        network=network.to(CUDA),
        optimizer=torch.optim.SGD(network.parameters(), lr=1.0),
        loss_function=lambda prediction, target: prediction.float().mean(),
        train_handlers=[GradientClipping(1.0)],
        decollate=False,
        amp=True,
    )

    @trainer.on(Events.STARTED)
    def scale(engine):
        # the default scale of 65536 would take a gradient of 50 beyond float16; that step would be left out
        engine.scaler = torch.amp.GradScaler("cuda", init_scale=256.0)

    trainer.run()
    # the row itself passes through float16, which has 11 significant bits
    assert network.weight.grad.tolist() == pytest.approx(list(expected), rel=2e-3)
    assert network.weight.tolist() == pytest.approx([-v for v in expected], rel=2e-3)


def test_under_mixed_precision_the_norm_never_passes_one(phantom_dataset, tmp_path):
    workflow = make_workflow("train", epochs=3, val_interval=4, **{**places(phantom_dataset, tmp_path), **AMP})
    workflow.initialize()
    parameters, squares, before, after = list(workflow.network_def.parameters()), [], [], []
    for parameter in parameters:  # such a hook sees the scaled gradient, before any handler of the trainer
        parameter.register_post_accumulate_grad_hook(lambda p: squares.append(p.grad.double().square().sum()))

    @workflow.trainer.on(IterationEvents.LOSS_COMPLETED)
    def forget(engine):
        squares.clear()

    @workflow.trainer.on(IterationEvents.BACKWARD_COMPLETED)  # attached, and so called, after the clipping
    def look(engine):
        clipped = [p.grad.double().square().sum() for p in parameters if p.grad is not None]
        before.append(float(torch.stack(squares).sum().sqrt()) / engine.scaler.get_scale())
        after.append(float(torch.stack(clipped).sum().sqrt()))
        if engine.state.iteration == 5:
            raise Interruption

    run_until_interrupted(workflow)
    # a scale that was too large at first gives infinities, and no step
    finite = [
        (unclipped, clipped) for unclipped, clipped in zip(before, after, strict=True) if math.isfinite(unclipped)
    ]
    assert finite
    for unclipped, clipped in finite:
        assert clipped == pytest.approx(min(unclipped, 1.0), rel=2e-2)


# --- options


def test_no_step_waits_for_the_gpu(phantom_dataset, big_folder):
    options = {**places(phantom_dataset, big_folder), **AMP, "epochs": 1, "batch_size": 4, "ema_decay": 0.9}
    workflow = make_workflow("train", **options)
    workflow.initialize()

    def forbid(engine):
        if engine.state.iteration == 2:  # the first allocates
            torch.cuda.set_sync_debug_mode("error")

    def allow(engine):
        torch.cuda.set_sync_debug_mode("default")

    # from the prepared batch on: copies from memory that is not pinned do wait
    workflow.trainer.add_event_handler(IterationEvents.FORWARD_COMPLETED, forbid)
    workflow.trainer.add_event_handler(Events.GET_BATCH_STARTED, allow)
    workflow.trainer.add_event_handler(Events.EPOCH_COMPLETED, allow)
    try:
        workflow.run()
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert workflow.trainer.state.iteration > 2


@pytest.mark.parametrize(
    "options",
    [
        {"amp_dtype": "bfloat16"},
        {"amp": False, "tf32": True},
        {"cudnn_benchmark": True},
        {"compile": True},
        {"compile": True, "compile_mode": "reduce-overhead"},
        {"ema_decay": 0.9, "weight_decay_on": "matrices"},
    ],
)
def test_each_option_trains_and_its_weights_load_on_the_cpu(phantom_dataset, big_folder, options):
    train(phantom_dataset, big_folder, **{**AMP, "epochs": 2, **options})
    rows = read_table(big_folder / "out" / "history.csv")
    assert all(math.isfinite(float(row[name])) for row in rows for name in ("train_loss", "val_loss", "val_score"))
    weights = torch.load(big_folder / "models" / "model.pt", weights_only=True)
    assert all(value.device.type == "cpu" and value.isfinite().all() for value in weights.values())


def test_the_average_of_the_weights_stays_on_the_gpu_and_is_saved_from_it(phantom_dataset, big_folder):
    workflow = train(phantom_dataset, big_folder, epochs=1, ema_decay=0.9, **AMP)
    average = workflow.evaluator.network
    assert next(average.parameters()).is_cuda
    saved = torch.load(big_folder / "models" / "model.pt", weights_only=True)
    assert all(torch.equal(value.cpu(), saved[name]) for name, value in average.state_dict().items())


# --- resuming


def test_a_resumed_training_goes_on_with_scale_optimizer_and_weights(phantom_dataset, big_folder):
    through, parts = big_folder / "through", big_folder / "parts"
    options = {"epochs": 3, "patience": 0, **AMP}
    train(phantom_dataset, through, **options)
    workflow = make_workflow("train", **{**places(phantom_dataset, parts), **options})
    workflow.initialize()

    @workflow.trainer.on(Events.ITERATION_COMPLETED(once=3))
    def kill(engine):
        raise Interruption

    run_until_interrupted(workflow)
    train(phantom_dataset, parts, resume=True, **options)
    one, other = (torch.load(folder / "models" / "last.pt", weights_only=True) for folder in (through, parts))
    assert one["scaler"] == other["scaler"]
    assert one["scaler"]["scale"] > 0
    assert one["epoch"] == other["epoch"] == 3
    assert one["lr_scheduler"] == other["lr_scheduler"]
    steps = [{float(entry["step"]) for entry in state["optimizer"]["state"].values()} for state in (one, other)]
    assert steps[0] == steps[1]
    # some CUDA kernels add in an order of their own
    for name, value in one["network"].items():
        torch.testing.assert_close(other["network"][name], value, rtol=1e-2, atol=1e-2, msg=name)


def test_a_training_of_the_gpu_is_resumed_on_the_cpu(phantom_dataset, big_folder):
    train(phantom_dataset, big_folder, epochs=1, **AMP)
    train(phantom_dataset, big_folder, epochs=2, resume=True, device="cpu", amp=False)
    assert [row["epoch"] for row in read_table(big_folder / "out" / "history.csv")] == ["1", "2"]


# --- heat maps


@pytest.mark.parametrize("method", ["gradcam", "gradcam++", "smoothgrad", "attention"])
def test_heat_maps_on_the_gpu_are_those_of_the_cpu_also_under_autocast(method):
    torch.manual_seed(0)
    network = BrainTumorNet().eval()
    image, _ = sample()
    classes = [0, 1, 2, 3]
    reference = CUDA if method == "smoothgrad" else "cpu"  # each device draws noise of its own
    expected = Explainer(network.to(reference), method, n_samples=2)(image.to(reference), classes).maps
    network.to(CUDA)
    with torch.no_grad(), torch.autocast("cuda", dtype=torch.float16):
        found = Explainer(network, method, n_samples=2)(image.to(CUDA), classes).maps
    assert found.dtype == torch.float32
    torch.testing.assert_close(found.cpu(), expected.cpu(), rtol=0, atol=5e-3)
