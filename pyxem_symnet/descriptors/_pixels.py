# SPDX-License-Identifier: GPL-3.0-or-later
"""Pixel operations shared by centring, resampling and spot finding.

All of them are sums and maxima of shifted slices: on a CPU these run at
memory speed, an order of magnitude faster than PyTorch's pooling and
single-channel convolution, and on a GPU they are no slower. On a CPU
with numba the most frequent ones are compiled (`_kernels`).
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from pyxem_symnet.descriptors._compiled import arrays, kernels

#: Whole patterns that are float32 at once where all of some are looked at before a scan
PATTERNS_AT_ONCE = 4


def check_images(images: Tensor, mask: Tensor | None) -> None:
    """Raise a clear error if *images* and *mask* are no batch of patterns."""
    if images.ndim != 3:
        raise ValueError(
            "images must have the shape (patterns, height, width), not "
            f"{tuple(images.shape)}; add a leading axis to a single pattern"
        )
    if mask is not None and tuple(mask.shape) != tuple(images.shape[1:]):
        raise ValueError(
            f"the mask has the shape {tuple(mask.shape)}, the patterns "
            f"{tuple(images.shape[1:])}; they must be the same"
        )


def prepare_images(images: Tensor, mask: Tensor | None) -> tuple[Tensor, Tensor]:
    """Return float32 counts without excluded pixels, and the pixel weights.

    Parameters
    ----------
    images
        Patterns of shape (B, H, W), any real data type. Not modified.
    mask
        Excluded pixels (True) of shape (H, W).

    Returns
    -------
    counts
        Shape (B, H, W), excluded values set to 0.
    weights
        Shape (1, H, W), 0 for excluded pixels and 1 elsewhere.

    Raises
    ------
    ValueError
        If shapes disagree or a pixel that is not excluded is NaN or
        infinite.
    """
    check_images(images, mask)
    counts = images.to(torch.float32)
    if mask is None:
        weights = counts.new_ones((1, *counts.shape[1:]))
    else:
        mask = mask.to(device=counts.device, dtype=torch.bool)
        weights = (~mask).to(torch.float32)[None]
        counts = counts.masked_fill(mask, 0.0)
    # A sum carries any NaN or infinity along at the cost of one read.
    if images.is_floating_point() and not torch.isfinite(counts.sum()):
        if not torch.isfinite(counts).all():
            raise ValueError(
                "the patterns contain NaN or infinite values; replace them, or "
                "exclude these pixels with the mask (True = excluded)"
            )
    return counts, weights


def bin_mean(images: Tensor, factor: int) -> Tensor:
    """Return the means of factor × factor pixels, the edge filled with 0."""
    if factor == 1:
        return images
    if factor == 2 and (compiled := kernels("_kernels", images)):
        return torch.from_numpy(compiled.bin_two(*arrays(images)))
    height, width = images.shape[-2:]
    bottom, right = -height % factor, -width % factor
    if bottom or right:
        images = F.pad(images, (0, right, 0, bottom))
    rows = images[..., 0::factor, :]
    for i in range(1, factor):
        rows = rows + images[..., i::factor, :]
    binned = rows[..., 0::factor]
    for i in range(1, factor):
        binned = binned + rows[..., i::factor]
    return binned / factor**2


def _blur(images: Tensor, factor: Tensor) -> Tensor:
    """Smooth with a 5 × 5 binomial kernel of sum 256, and multiply."""
    if compiled := kernels("_kernels", images, factor):
        return torch.from_numpy(compiled.blur(*arrays(images, factor[0])))
    images = F.pad(images, (2, 2, 2, 2))
    for _ in range(4):
        images = images[..., 1:, :] + images[..., :-1, :]
    for _ in range(4):
        images = images[..., :, 1:] + images[..., :, :-1]
    return images * factor


def neighbour_max(images: Tensor) -> Tensor:
    """Return the largest value of 3 × 3 pixels, edges cut by 1."""
    rows = torch.maximum(images[..., 1:, :], images[..., :-1, :])
    rows = torch.maximum(rows[..., 1:, :], rows[..., :-1, :])
    columns = torch.maximum(rows[..., 1:], rows[..., :-1])
    return torch.maximum(columns[..., 1:], columns[..., :-1])


def block_max(images: Tensor, size: int) -> Tensor:
    """Return the largest value of size × size blocks, remainder included."""
    height, width = images.shape[-2:]
    bottom, right = -height % size, -width % size
    if bottom or right:
        images = F.pad(images, (0, right, 0, bottom), value=-torch.inf)
    rows = images[..., 0::size, :]
    for i in range(1, size):
        rows = torch.maximum(rows, images[..., i::size, :])
    blocks = rows[..., 0::size]
    for i in range(1, size):
        blocks = torch.maximum(blocks, rows[..., i::size])
    return blocks


def block_sum(images: Tensor, size: int) -> Tensor:
    """Return the sums of whole size × size blocks, the remainder left out."""
    height, width = (n - n % size for n in images.shape[-2:])
    images = images[..., :height, :width]
    rows = images.unflatten(-2, (height // size, size)).sum(-2)
    return rows.unflatten(-1, (width // size, size)).sum(-1)


def clip_hot_pixels(counts: Tensor, gain: Tensor, ratio: float = 5.0) -> Tensor:
    """Limit pixels that stick out of their 8 neighbours.

    A pixel may exceed the darkest diagonal neighbour *ratio* times as
    far as the brightest adjacent one does, and by two electrons. The
    sharpest spot that can be located (a Gaussian of 0.5 pixel) just
    about stays within that.

    Parameters
    ----------
    counts
        Shape (B, H, W).
    gain
        Counts an electron, of shape (B,).
    ratio
        See above.

    Returns
    -------
    counts
        Shape (B, H, W).
    """
    if compiled := kernels("_kernels", counts, gain):
        clipped = compiled.clip_hot_pixels(*arrays(counts, gain), ratio)
        return torch.from_numpy(clipped)
    padded = extend(counts, 1)
    above, below = padded[:, :-2], padded[:, 2:]
    # The nearest pixels hold most of a spot, the diagonal ones least.
    brightest = torch.maximum(above[..., 1:-1], below[..., 1:-1])
    torch.maximum(brightest, padded[:, 1:-1, :-2], out=brightest)
    torch.maximum(brightest, padded[:, 1:-1, 2:], out=brightest)
    darkest = torch.minimum(above, below)
    darkest = torch.minimum(darkest[..., :-2], darkest[..., 2:])
    darkest = torch.minimum(darkest, brightest)
    limit = brightest.mul_(ratio).sub_(darkest, alpha=ratio - 1)
    return torch.minimum(counts, limit.add_(2 * gain[:, None, None]))


def smooth(counts: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
    """Return the locally weighted mean, and the weight it rests on.

    Parameters
    ----------
    counts
        Shape (B, H, W), excluded pixels 0.
    weights
        Shape (1, H, W), in [0, 1].

    Returns
    -------
    mean
        Shape (B, H, W), 0 where less than a tenth of the kernel rests
        on pixels.
    weight
        Shape (1, H, W), in [0, 1].
    """
    weight = _blur(weights, torch.ones_like(weights))
    inverse = torch.where(weight > 25.6, 1.0 / weight.clamp(min=25.6), 0.0)
    return _blur(counts, inverse), weight / 256


def extend(images: Tensor, margin: int) -> Tensor:
    """Repeat the outermost pixels *margin* times."""
    return F.pad(images[:, None], (margin,) * 4, mode="replicate")[:, 0]


def sample(flat: Tensor, index: Tensor) -> Tensor:
    """Gather *flat* (B, N) at the indices of shape (B, ...)."""
    return flat.gather(1, index.flatten(1)).reshape(index.shape)
