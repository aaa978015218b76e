# SPDX-License-Identifier: GPL-3.0-or-later
import pytest
import torch

from pyxem_symnet.models.densenet import DenseNet, Transition


@pytest.mark.parametrize("norm", ["none", "group", "batch"])
@pytest.mark.parametrize("dimensions", [1, 2])
def test_channels_and_resolution(dimensions, norm):
    network = DenseNet(
        dimensions,
        3,
        stem_channels=16,
        blocks=(2, 1),
        growth=(8, 24),
        compression=0.5,
        norm=norm,
    )
    # 16 + 2 * 8 = 32 channels, halved to 16, plus 24
    assert network.out_channels == 40
    maps = network(torch.rand(2, 3, *(32,) * dimensions))
    assert maps.shape == (2, 40, *(8,) * dimensions)
    assert maps.min() >= 0


def test_dense_units_keep_what_they_were_given():
    network = DenseNet(2, 1, blocks=(2,), growth=8, norm="none")
    x = torch.rand(1, 1, 16, 16)
    assert torch.equal(network.blocks[0](network.stem(x))[:, :32], network.stem(x))


def test_transition_pools_after_its_convolution():
    transition = Transition(2, 4, 3)
    x = torch.randn(2, 4, 8, 8)
    expected = torch.nn.functional.avg_pool2d(transition.conv(x.relu()), 2)
    torch.testing.assert_close(transition(x), expected)


def test_group_norm_answers_do_not_depend_on_the_batch():
    network = DenseNet(1, 2, blocks=(2, 2)).eval()
    x = torch.rand(3, 2, 64)
    torch.testing.assert_close(network(x)[:1], network(x[:1]))


def test_signal_survives_depth_without_normalisation():
    network = DenseNet(2, 3, blocks=(3, 6, 12, 8), compression=1, norm="none")
    maps = network(torch.rand(2, 3, 64, 64))
    assert 0.05 < maps.std() < 50


@pytest.mark.parametrize(
    "settings, message",
    [
        ({"norm": "layer"}, "norm must be one of"),
        ({"blocks": (1, 2), "growth": (8,)}, "one number or one a block"),
    ],
)
def test_bad_settings(settings, message):
    with pytest.raises(ValueError, match=message):
        DenseNet(2, 1, **settings)


def test_bad_dimensions():
    with pytest.raises(ValueError, match="must be 1 or 2, not 3"):
        DenseNet(3, 1)
