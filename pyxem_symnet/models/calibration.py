# SPDX-License-Identifier: GPL-3.0-or-later
"""Confidence calibration: one temperature for each number of views."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass

import torch
from torch import Tensor
from torch.nn import functional


@dataclass(frozen=True)
class TemperatureTable:
    """Temperature as a function of the number of views.

    The logarithm of the temperature is interpolated linearly in the
    logarithm of the number of views, and constant outside the table.
    Dividing logits by it changes confidences but not their order (Guo
    et al., 2017, arXiv:1706.04599).

    Parameters
    ----------
    views
        Numbers of views, positive and increasing.
    temperatures
        A positive temperature for each of them.

    Raises
    ------
    ValueError
        If the table is empty, not increasing or not positive.
    """

    views: tuple[float, ...] = (1.0,)
    temperatures: tuple[float, ...] = (1.0,)

    def __post_init__(self):
        for name in ("views", "temperatures"):
            values = tuple(float(value) for value in getattr(self, name))
            object.__setattr__(self, name, values)
            if not values or not all(math.isfinite(v) and v > 0 for v in values):
                raise ValueError(f"{name} must be positive numbers, not {values}.")
        if len(self.views) != len(self.temperatures):
            raise ValueError(
                f"One temperature is needed for each number of views: there are "
                f"{len(self.temperatures)} for {len(self.views)}."
            )
        if any(b <= a for a, b in zip(self.views, self.views[1:], strict=False)):
            raise ValueError(f"views must be increasing, not {self.views}.")

    def __call__(self, n_views: Tensor) -> Tensor:
        """Return the temperature for each number of views.

        Parameters
        ----------
        n_views
            Numbers of views of any shape. Less than one view counts as
            one.

        Returns
        -------
        temperature
            Of the same shape.
        """
        n_views = n_views.float()
        weights = _interpolation_weights(n_views, self.views)
        logs = torch.tensor(self.temperatures, dtype=torch.float64).log()
        return (weights @ logs.to(weights)).exp()

    def to_dict(self) -> dict:
        """Return the table as plain lists, for a checkpoint."""
        return {name: list(values) for name, values in asdict(self).items()}

    @classmethod
    def from_dict(cls, table: dict) -> TemperatureTable:
        """Return the table that :meth:`to_dict` was made from.

        Parameters
        ----------
        table
            What :meth:`to_dict` returned.
        """
        return cls(tuple(table["views"]), tuple(table["temperatures"]))

    @classmethod
    def fit(
        cls,
        logits: Tensor,
        labels: Tensor,
        n_views: Tensor | None = None,
        views: Sequence[float] = (1,),
    ) -> TemperatureTable:
        """Return the table that makes validation answers likeliest.

        Parameters
        ----------
        logits
            Uncalibrated logits of shape (samples, classes), of crystals
            that the model was not trained on.
        labels
            True class indices of shape (samples,).
        n_views
            Number of views behind each answer, of shape (samples,) or
            (samples, 1). With None, one temperature serves all.
        views
            Numbers of views at which to fit a temperature.

        Returns
        -------
        table
            Temperatures between 0.05 and 20.

        Raises
        ------
        ValueError
            If there are no samples, or their numbers differ.
        """
        logits = logits.detach().double().cpu()
        labels = labels.detach().long().cpu()
        if n_views is None:
            n_views = torch.ones(len(labels))
            views = (1,)
        n_views = n_views.detach().double().cpu().reshape(-1)
        if len(labels) == 0 or not len(logits) == len(labels) == len(n_views):
            raise ValueError(
                "Calibration needs as many logits as labels and numbers of views, "
                f"and at least one: got {len(logits)}, {len(labels)} and "
                f"{len(n_views)}."
            )
        start = cls(tuple(views), (1.0,) * len(views))
        weights = _interpolation_weights(n_views, start.views)
        free = torch.zeros(len(views), dtype=torch.float64, requires_grad=True)
        limit = math.log(20)
        optimizer = torch.optim.LBFGS(
            [free],
            max_iter=200,
            tolerance_grad=1e-9,
            tolerance_change=1e-15,
            line_search_fn="strong_wolfe",
        )

        def log_temperature() -> Tensor:
            # Bounded, so that a perfect or hopeless validation set
            # cannot drive it to nought or infinity
            return limit * torch.tanh(free / limit)

        def closure() -> Tensor:
            optimizer.zero_grad()
            scale = (-(weights @ log_temperature())).exp()
            loss = functional.cross_entropy(logits * scale.unsqueeze(-1), labels)
            # A number of views that no sample is near to keeps its
            # neighbours' temperature
            roughness = log_temperature().diff().square().sum()
            loss = loss + 1e-4 * roughness
            loss.backward()
            return loss

        with torch.enable_grad():
            optimizer.step(closure)
        return cls(start.views, tuple(log_temperature().exp().tolist()))


def _interpolation_weights(n_views: Tensor, views: Sequence[float]) -> Tensor:
    """Return how much each table entry counts, (..., entries)."""
    knots = torch.tensor(views, dtype=torch.float64).log2().to(n_views)
    place = n_views.clamp(views[0], views[-1]).log2().unsqueeze(-1)
    if len(views) == 1:
        return torch.ones_like(place)
    upper = torch.searchsorted(knots, place).clamp(1, len(views) - 1)
    low, high = knots[upper - 1], knots[upper]
    share = ((place - low) / (high - low)).clamp(0, 1)
    weights = place.new_zeros(*n_views.shape, len(views))
    return weights.scatter(-1, upper - 1, 1 - share).scatter(-1, upper, share)
