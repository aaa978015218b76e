# SPDX-License-Identifier: GPL-3.0-or-later
import pytest
import torch

from pyxem_symnet.descriptors.spots import Spots
from pyxem_symnet.models import load_checkpoint, save_checkpoint
from pyxem_symnet.models.axes import AxesMSDN

SMALL = {
    "image": {"blocks": [1, 1], "growth": 8, "stem_channels": 8, "bottleneck": 8},
    "radial": {"blocks": [1, 1], "growth": 8, "stem_channels": 8, "bottleneck": 8},
    "net": {"units": 16, "n_blocks": 1},
    "width": 16,
    "hidden": 24,
}


@pytest.fixture
def model():
    return AxesMSDN(
        (1, 14, 62, 225),
        image={"size": 32},
        radial={"n_bins": 64},
        net={},
        network=SMALL,
    ).eval()


@pytest.fixture
def views():
    """Patterns of five crystals along three axes."""
    spots = Spots(torch.rand(15, 12, 2) - 0.5, torch.rand(15, 12))
    spots.intensities[:, 8:] = 0
    return spots


def take(spots, index):
    return Spots(spots.positions[index], spots.intensities[index])


def test_default_network_reads_three_patterns(views):
    model = AxesMSDN(range(1, 231)).eval()
    features = model.accumulate(views)
    assert features["image"].shape == (5, 3, 50, 96)
    assert model(features).shape == (5, 230)
    assert 1e6 < sum(p.numel() for p in model.parameters()) < 3e6


def test_crystals_do_not_depend_on_how_they_are_batched(model, views):
    whole = model(model.accumulate(views))
    one = model(model.accumulate(take(views, slice(6, 9))))
    torch.testing.assert_close(one[0], whole[2])
    # Views of one crystal keep their order, wherever they stand
    mixed = torch.arange(15).view(5, 3).T.flatten()
    groups = torch.arange(5).repeat(3)
    torch.testing.assert_close(
        model(model.accumulate(take(views, mixed), groups, 5)), whole
    )


def test_what_streams_see_is_joined_as_in_one_pass(model, views):
    groups = torch.arange(15) // 3
    joined = model.joined_features(views, groups, 5)
    torch.testing.assert_close(model(joined), model(model.accumulate(views)))


def test_order_of_axes_matters(model, views):
    swapped = torch.arange(15).view(5, 3)[:, [1, 0, 2]].flatten()
    answer = model(model.accumulate(take(views, swapped)))
    assert not torch.allclose(answer, model(model.accumulate(views)), atol=1e-3)


def test_friedel_pairs_are_drawn_once(model, views):
    """A pattern turned by 180 degrees is the same pattern."""
    turned = Spots(-views.positions, views.intensities)
    expected, features = model.accumulate(views), model.accumulate(turned)
    for name, value in expected.items():
        torch.testing.assert_close(features[name], value, msg=name)
    # Nothing of the half that is not drawn is lost
    lower = Spots(views.positions.clone(), views.intensities)
    lower.positions[..., 1] = -lower.positions[..., 1].abs()
    assert (model.accumulate(lower)["image"].sum((-1, -2)) > 0.4).all()


@pytest.mark.parametrize("n_views", [1, 4, 6])
def test_other_numbers_of_views_are_refused(model, views, n_views):
    spots = take(views, slice(n_views))
    groups = torch.zeros(n_views, dtype=torch.long)
    with pytest.raises(ValueError, match="exactly three patterns .* 'msdn-any'"):
        model.accumulate(spots, groups, 1)


def test_unknown_network_settings_are_refused():
    with pytest.raises(ValueError, match="Unknown network settings .*'depth'"):
        AxesMSDN((1, 2), network={"depth": 3})


def test_saved_model_is_the_same_model(model, views, tmp_path):
    path = tmp_path / "axes.safetensors"
    save_checkpoint(path, model)
    again = load_checkpoint(path).eval()
    assert again.settings == model.settings
    torch.testing.assert_close(
        again.probabilities(again.accumulate(views)),
        model.probabilities(model.accumulate(views)),
        rtol=0,
        atol=0,
    )


def test_bfloat16_gives_the_probabilities_of_float32(model, views):
    features = model.accumulate(views)
    expected = model.probabilities(features)
    with torch.autocast("cpu", torch.bfloat16):
        answer = model.probabilities(features)
    torch.testing.assert_close(answer, expected, rtol=0, atol=0.02)
