"""Any finite float64 may be sent: two clients of eleven who send it keep the result among the others'."""

import numpy as np
import pytest

import robustagg as ra
from robustagg.kernels import available

RULES = {
    "GeometricMedian": ra.GeometricMedian(),
    "Krum": ra.Krum(f=2),
    "MultiKrum": ra.MultiKrum(f=2),
    "Bulyan": ra.Bulyan(f=2),
    "MDA": ra.MDA(f=2),
    "SMEA": ra.SMEA(f=2),
    "CAF": ra.CAF(f=2),
    "DnC": ra.DnC(f=2),
    "CGE": ra.CGE(f=2),
    "Aksel": ra.Aksel(f=2),
    "Medoid": ra.Medoid(),
    "ARC": ra.Pipeline(ra.ARC(f=2), ra.GeometricMedian()),
    "NNM": ra.Pipeline(ra.NNM(f=2), ra.GeometricMedian()),
    "NNM, Median": ra.Pipeline(ra.NNM(f=2), ra.Median()),
}
HONEST = np.random.default_rng(0).standard_normal((9, 40)) + 3
SIGNS = np.where(np.arange(40) % 2, 1.0, -1.0)
TOGETHER, AGAINST = np.ones((2, 40)), np.stack([SIGNS, -SIGNS])


@pytest.mark.parametrize("size", [1e30, 1e57, 1e80, 1e100, 1e120, 1e143, 1e145])
@pytest.mark.parametrize("mixer", [ra.NNM(f=2), ra.Bucketing(seed=3), ra.ARC(f=2)], ids=["NNM", "Bucketing", "ARC"])
def test_large_numbers_that_cancel_hide_nobody(mixer, size):
    rows = np.vstack([HONEST, AGAINST * size])
    update = ra.Pipeline(mixer, ra.GeometricMedian())(rows)
    assert np.abs(update).max() <= 2 * np.abs(HONEST).max()


@pytest.mark.parametrize("crude", [TOGETHER, AGAINST], ids=["together", "against each other"])
@pytest.mark.parametrize("size", [1e150, 1.7e308])
@pytest.mark.parametrize("unit", [1.0, 1e200])
@pytest.mark.parametrize("name", RULES)
@pytest.mark.parametrize("backend", available())
def test_a_huge_number_moves_nothing(backend, name, unit, size, crude):
    rows = np.vstack([HONEST * unit, crude * max(size, unit)])
    with ra.use_backend(backend):
        update = RULES[name](rows)
    assert np.abs(update).max() <= 2 * np.abs(HONEST).max() * unit


@pytest.mark.parametrize("backend", available())
@pytest.mark.parametrize("size", [1e150, 1e300])
def test_lengths_of_huge_rows_are_exact(backend, size):
    rows = [*HONEST, np.full(40, size)]
    with ra.use_backend(backend):
        clipped = ra.NormClipping(c=5.0)(rows)[-1]
        centred = ra.CenteredClipping(tau=3.0).aggregate(rows).update
        twice = ra.CenteredClipping(tau=3.0, iterations=2).aggregate(rows).update
        trusted = ra.FLTrust()(rows, server_update=np.ones(40))
    np.testing.assert_allclose(clipped, np.full(40, 5 / np.sqrt(40)), rtol=1e-12)
    assert np.linalg.norm(centred) <= 3
    assert np.linalg.norm(twice) <= 6
    np.testing.assert_allclose(np.linalg.norm(trusted), np.sqrt(40), rtol=0.2)
