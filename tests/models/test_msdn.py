# SPDX-License-Identifier: GPL-3.0-or-later
import pytest
import torch

from pyxem_symnet.models.msdn import MSDN


@pytest.fixture(scope="module")
def msdn():
    torch.manual_seed(3)
    return MSDN(range(1, 73)).eval()


def test_parameters_of_the_published_checkpoint(msdn):
    trainable = [p for p in msdn.parameters() if p.requires_grad]
    assert sum(p.numel() for p in trainable) == 1_542_424
    # Nothing is stored beside them
    assert len(msdn.state_dict()) == len(trainable)


def test_shapes_of_the_published_checkpoint(msdn):
    shapes = {name: tuple(p.shape) for name, p in msdn.named_parameters()}
    assert shapes["trunk.stem.0.weight"] == (32, 3, 7, 7)
    transitions = [s for n, s in shapes.items() if n.endswith("0.conv.weight")]
    assert transitions == [(c, c, 1, 1) for c in (128, 320, 704)]
    units = [s for n, s in shapes.items() if n.endswith("conv2.weight")]
    assert units == [(32, 32, 3, 3)] * (3 + 6 + 12 + 8)
    heads = [s for n, s in shapes.items() if n.startswith("heads")]
    assert heads == [(72, 960), (72,)] * 3


def test_resolution_of_the_paper(msdn):
    # 224 / 2 / 2 by the stem, / 2 by each of three transitions
    with torch.no_grad():
        assert msdn.trunk(torch.rand(1, 3, 224, 224)).shape == (1, 960, 7, 7)


def test_logits_are_the_sum_over_streams(msdn):
    images = torch.rand(2, 3, 3, 64, 64)
    with torch.no_grad():
        expected = 0
        for stream in range(3):
            features = msdn.trunk(images[:, stream]).mean((-2, -1))
            expected = expected + msdn.heads[stream](features)
        torch.testing.assert_close(msdn(images), expected)
    probabilities = msdn.probabilities(images)
    torch.testing.assert_close(probabilities.sum(-1), torch.ones(2))


def test_heads_belong_to_their_streams(msdn):
    images = torch.rand(1, 3, 3, 64, 64)
    with torch.no_grad():
        assert not torch.allclose(msdn(images), msdn(images.flip(1)))


def test_one_stream():
    msdn = MSDN((14, 62), n_streams=1)
    assert msdn(torch.rand(2, 1, 3, 32, 32)).shape == (2, 2)


def test_wrong_shape(msdn):
    with pytest.raises(ValueError, match=r"\(crystals, 3, 3, height, width\), not"):
        msdn(torch.rand(2, 3, 64, 64))


def test_all_parameters_learn(msdn):
    images = torch.rand(2, 3, 3, 64, 64)
    torch.nn.functional.cross_entropy(msdn(images), torch.tensor([0, 5])).backward()
    idle = [n for n, p in msdn.named_parameters() if not p.grad.abs().sum() > 0]
    msdn.zero_grad()
    assert idle == []
