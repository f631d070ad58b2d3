"""Models: all clients of a round trained together, and the same as each by itself."""

from __future__ import annotations

import copy
import functools
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from types import SimpleNamespace

import numpy as np
import pytest

pytest.importorskip("sklearn")

import robustagg as ra
from robustagg.simulation import Settings
from robustagg.simulation.models import Training, check, model
from robustagg.simulation.models.base import batches
from robustagg.simulation.models.inputs import Compressed, Dense, Sparse
from robustagg.simulation.models.mlp import MLP
from robustagg.simulation.models.network import TOGETHER, exact, resnet18
from robustagg.simulation.tasks import arrays, load


def clients(sizes=(70, 33, 5), features=20, density=1.0, seed=0):
    rng = np.random.default_rng(seed)
    made = []
    for size in sizes:
        x = rng.normal(size=(size, features)) * (rng.random((size, features)) < density)
        made.append((x.astype(np.float32), rng.integers(0, 3, size)))
    return made


@pytest.mark.parametrize("density", [1.0, 0.05])
@pytest.mark.parametrize("hidden", [(), (8,), (16, 8)])
def test_together_is_as_each_by_itself_for_any_number_of_threads(hidden, density):
    network = MLP((20, *hidden, 3), Training(0.1, 16), dropout=0.5)
    start, held = network.initial(0), clients(density=density)
    epochs, seeds = (2, 3, 1), [[0, k] for k in range(3)]
    try:
        found = []
        for threads in (1, 2, 3):
            ra.set_num_threads(threads)
            found.append(network.updates(start, held, epochs, seeds))
    finally:
        ra.set_num_threads(None)
    for rows in found[1:]:
        np.testing.assert_array_equal(rows, found[0])
    if not hidden:  # no dropout: widths of batches aside, one client alone is trained as among others
        alone = network.updates(start, held[1:2], epochs[1:2], seeds[1:2])
        np.testing.assert_allclose(alone[0], found[0][1], rtol=1e-4, atol=1e-6)


def test_the_gradient_is_that_of_the_loss():
    """One step over all samples, beside differences of the negative log-likelihood."""
    x, y = clients(sizes=(12,), features=4)[0]
    network = MLP((4, 5, 3), Training(1.0, 100))
    start = network.initial(3) + np.float32(0.05)
    step = network.updates(start, [(x, y)], [1], [[0]])[0]

    def loss(parameters):
        return -network.scores(parameters, x).astype(np.float64)[np.arange(12), y].mean()

    for k in range(0, len(start), 3):
        nudge = np.zeros_like(start)
        nudge[k] = 1e-2
        assert -step[k] == pytest.approx((loss(start + nudge) - loss(start - nudge)) / 2e-2, abs=2e-3)


def test_momentum_goes_on_in_the_direction():
    x, y = clients(sizes=(16,))[0]
    plain, heavy = (MLP((20, 3), Training(0.01, 16, momentum)) for momentum in (0.0, 0.9))
    start = plain.initial(0)
    steps = [np.linalg.norm(network.updates(start, [(x, y)], [10], [[0]])) for network in (plain, heavy)]
    assert steps[1] > 3 * steps[0]


def test_sparse_products_are_the_dense_ones():
    held = [x for x, _ in clients(sizes=(30, 20), features=50, density=0.05)]
    chosen = np.array([[3, 4, 5], [0, 19, 2]])
    weights, delta = (np.random.default_rng(k).normal(size=shape).astype(np.float32) for k, shape in enumerate(SHAPES))
    kinds = [Dense(held), Compressed().inputs(held)]
    assert isinstance(kinds[1], Sparse)
    for inputs in kinds:
        inputs.take(chosen)
    np.testing.assert_allclose(kinds[0].times(weights), kinds[1].times(weights), rtol=1e-5, atol=1e-6)
    products = [inputs.transposed_times(delta) for inputs in kinds]
    np.testing.assert_allclose(*products, rtol=1e-5, atol=1e-6)


SHAPES = ((2, 50, 7), (2, 3, 7))


def test_every_sample_is_in_one_batch_of_an_epoch():
    order = batches(10, 4, 6, 3, np.random.default_rng(0))
    assert order.shape == (9, 6)
    for epoch in order.reshape(3, -1):
        assert sorted(epoch[epoch >= 0]) == list(range(10))


def test_digits_are_learnt_and_divergence_is_nan():
    task = load("digits", 0)
    network = model("mlp", task, Training(0.2, 32))
    start = network.initial(0)
    assert (start.dtype, start.shape) == (np.float32, (64 * 32 + 32 + 32 * 10 + 10,))
    step = network.updates(start, [task.train], [3], [[0]])[0]
    x, y = task.test
    assert (network.scores(start + step, x).argmax(axis=1) == y).mean() > 0.8
    assert np.isnan(network.updates(np.full_like(start, 1e38), [task.train], [1], [[0]])).all()


@pytest.mark.parametrize("name", ["mlp:", "mlp:0", "mlp:4-", "resnet50", ""])
def test_a_model_that_there_is_not(name):
    with pytest.raises(ValueError, match="the model must be one of 'softmax'"):
        check(name)


def test_networks_of_images_need_images():
    with pytest.raises(ValueError, match="learns images"):
        model("cnn", arrays(np.zeros((20, 4)), [0, 1] * 10), Training(0.1, 8))


def pictures(*sizes):
    """Clients' images of 8 x 8, the second class redder."""
    rng, made = np.random.default_rng(0), []
    for size in sizes:
        y = np.arange(size) % 2
        x = rng.random((size, 3, 8, 8), np.float32)
        x[y == 1, 0] += 1
        made.append((x.reshape(size, -1), y))
    return made


def image_model(name="cnn", momentum=0.9, device="cpu"):
    x, y = pictures(4)[0]
    return model(name, arrays(x, y, test=(x, y), image=(3, 8, 8)), Training(0.05, 8, momentum), device)


def descended(network, start, samples, epochs, seed):
    """What torch's own optimizer makes of one client."""
    torch = network.torch
    module = network.build()
    torch.nn.utils.vector_to_parameters(torch.tensor(start), module.parameters())
    training = network.training
    descent = torch.optim.SGD(module.parameters(), training.learning_rate, training.momentum)
    for chosen in batches(len(samples[1]), training.batch, training.batch, epochs, np.random.default_rng(seed)):
        x, y = (torch.tensor(part[chosen[chosen >= 0]]) for part in samples)
        descent.zero_grad()
        torch.nn.functional.cross_entropy(module(x.reshape(-1, 3, 8, 8)), y).backward()
        descent.step()
    return torch.nn.utils.parameters_to_vector(module.parameters()).detach().numpy() - start


@pytest.mark.parametrize(("name", "momentum"), [("cnn", 0.9), ("cnn", 0.0), ("resnet18", 0.0)])
@pytest.mark.parametrize("together", [2, 16])  # three clients: one of them by itself, all
def test_networks_of_torch_are_trained_together_as_each_by_torch_itself(monkeypatch, name, momentum, together):
    pytest.importorskip("torch")
    monkeypatch.setitem(TOGETHER, "cpu", together)
    network, held = image_model(name, momentum), pictures(5, 19, 8)
    start, epochs, seeds = network.initial(0), (1, 1, 2), [[0, k] for k in range(3)]
    rows = network.updates(start, held, epochs, seeds)
    for row, samples, passes, seed in zip(rows, held, epochs, seeds, strict=True):
        alone = descended(network, start, samples, passes, seed)
        np.testing.assert_allclose(row, alone, rtol=1e-3, atol=1e-3 * np.abs(alone).max())


@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_networks_of_torch(device):
    torch = pytest.importorskip("torch")
    if device == "cuda" and not torch.cuda.is_available():
        pytest.skip("torch finds no GPU")
    network, samples = image_model(device=device), pictures(24)[0]
    start, twice = network.initial(0), [samples, samples]
    np.testing.assert_array_equal(start, network.initial(0))
    rows = network.updates(start, twice, [6, 6], [[0], [1]])
    np.testing.assert_array_equal(rows, network.updates(start, twice, [6, 6], [[0], [1]]))
    assert rows.shape == (2, len(start))
    assert (rows[0] != rows[1]).any()
    by_itself = image_model().updates(start, twice, [6, 6], [[0], [1]])
    np.testing.assert_allclose(rows, by_itself, atol=0.02 * np.abs(by_itself).max())
    after = network.scores(start + rows[0], samples[0])
    assert (after.argmax(axis=1) == samples[1]).mean() > 0.9
    np.testing.assert_allclose(np.exp(after).sum(axis=1), 1, rtol=1e-5)


SET_BEFORE = (  # of torch's flags, by a user; the newer kind, from fp32_precision on, contradicts the older kind
    ("cudnn.benchmark", True),
    ("cuda.matmul.allow_tf32", True),
    ("cudnn.allow_tf32", False),
    ("cudnn.allow_tf32", True),
    ("fp32_precision", "tf32"),
    ("cudnn.conv.fp32_precision", "ieee"),
    ("cudnn.fp32_precision", "tf32"),
    ("cuda.matmul.fp32_precision", "tf32"),
)


def test_a_gpu_does_not_round_to_tf32_whatever_a_process_has_set_and_it_stays_set():
    pytest.importorskip("torch")
    with ProcessPoolExecutor(1, get_context("spawn")) as pool:  # which ends with what was set
        found = pool.submit(precisions_around_a_training).result()
    for before, within, after in found:
        assert set(within) == {("ieee", "ieee", True, False)}
        assert after == before
    assert len({before for before, _, _ in found}) > 3


def precisions_around_a_training():
    import torch

    def precision():
        cudnn, matmul = torch.backends.cudnn, torch.backends.cuda.matmul
        return cudnn.conv.fp32_precision, matmul.fp32_precision, cudnn.deterministic, cudnn.benchmark

    network, samples, found = image_model(), pictures(4)[0], []
    start, logits = network.initial(0), network._logits
    for name, value in ((None, None), *SET_BEFORE):
        if name:
            *owners, flag = name.split(".")
            setattr(functools.reduce(getattr, owners, torch.backends), flag, value)
        before, within = precision(), []
        network._logits = lambda *given, seen=within: (seen.append(precision()), logits(*given))[1]
        network.updates(start, [samples], [1], [[0]])
        network.scores(start, samples[0])
        found.append((before, within, precision()))
    return found


def test_the_older_flags_of_torch_do_the_same(monkeypatch):
    cudnn = SimpleNamespace(deterministic=False, benchmark=True, allow_tf32=True)
    backends = SimpleNamespace(cudnn=cudnn, cuda=SimpleNamespace(matmul=SimpleNamespace(allow_tf32=True)))
    monkeypatch.setattr("robustagg.simulation.models.network._torch", lambda: SimpleNamespace(backends=backends))
    before = copy.deepcopy(backends)
    with exact():
        assert not cudnn.allow_tf32
        assert not backends.cuda.matmul.allow_tf32
    assert backends == before


def test_a_device_that_is_not_there(monkeypatch):
    torch = pytest.importorskip("torch")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ra.BackendUnavailable, match="finds no device 'cuda'"):
        image_model(device="cuda")
    assert image_model(device="auto").device == "cpu"
    with pytest.raises(ValueError, match="device must be one of 'auto', 'cpu', 'cuda'"):
        Settings(device="gpu")


def test_resnet18_has_its_layers():
    torch = pytest.importorskip("torch")
    module = resnet18((3, 8, 8), 10)
    shapes = [parameter.shape for parameter in module.parameters()]
    assert sum(len(shape) == 4 and shape[-1] == 3 for shape in shapes) == 17  # and three shortcuts, and the last one
    assert not list(module.buffers())
    with torch.no_grad():
        assert module(torch.zeros(2, 3, 8, 8)).shape == (2, 10)
