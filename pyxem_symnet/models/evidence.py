# SPDX-License-Identifier: GPL-3.0-or-later
"""What a network says, weighed against what a crystal's own lattice says."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn

from pyxem_symnet.symmetry import level_labels, level_of

if TYPE_CHECKING:
    from pyxem_symnet.lattice import LatticeFit

#: Smallest logarithm of a probability that is told apart from less
_FLOOR = -12.0

#: Likelihood ratios beyond a few of these differ by their logarithm only
_LIKELIHOOD_SCALE = 5.0

#: Levels whose summed probabilities are shown beside each space group's own
_LEVELS = ("crystal_system", "bravais_lattice", "diffraction_symbol")


#: Shape of the evidence on the space groups, see :data:`pyxem_symnet.lattice.COLUMNS`
TABLE_SHAPE = (230, 11)

#: Values that :func:`read_lattice` says of a lattice as a whole
N_SUMMARY = 28

#: Crystal systems of lattices, by the letters of their Bravais lattices; "r" is
#: a rhombohedral one
_SYSTEMS = "amorthc"

#: A lattice in more views than those trained with is described as one in these
MOST_VIEWS = 16

#: Decimals of positions in 1/Å that the search for a lattice is shown: far more
#: than it tells apart
_DECIMALS = 5


def read_lattice(views: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray] | None:
    """Find the lattice of several views, and what it says of space groups.

    Parameters
    ----------
    views
        Arrays of shape (spots, 3): x and y in 1/Å and the intensity.

    Returns
    -------
    table, summary
        Evidence on each space group, of shape (230, columns), and values
        of the order of one that describe the lattice and how good it
        is, of shape (:data:`N_SUMMARY`,). None if no lattice explains
        the views.
    """
    if not views:
        return None
    views, turns = zip(*map(_in_its_own_frame, views), strict=True)
    # Here, since a training node has neither numba nor spglib
    from pyxem_symnet.lattice import find_lattice

    fit = find_lattice(views, turns=turns)
    return None if fit is None else describe_lattice(fit, len(views))


def read_series(
    views: Sequence[np.ndarray], step: float, beam_energy: float
) -> tuple[np.ndarray, np.ndarray] | None:
    """Find the lattice of a rotation series, and what it says of space groups.

    Parameters
    ----------
    views
        As for :func:`read_lattice`, in the order of the series.
    step
        Angle between successive views in degrees.
    beam_energy
        In kV.

    Returns
    -------
    table, summary
        As :func:`read_lattice`. None if no lattice explains the series.
    """
    from pyxem_symnet.lattice import find_series_lattice

    fit = find_series_lattice(views, beam_energy, step)
    return None if fit is None else describe_lattice(fit, len(fit.views))


def describe_lattice(
    fit: LatticeFit, n_views: int
) -> tuple[np.ndarray, np.ndarray] | None:
    """Return what a lattice says of space groups, as the network takes it.

    Parameters
    ----------
    fit
        The lattice, and the views indexed with it.
    n_views
        Number of views that it was looked for in.

    Returns
    -------
    table, summary
        As :func:`read_lattice`, None if too few spots are indexed.
    """
    from pyxem_symnet.lattice import space_group_evidence

    evidence = space_group_evidence(fit)
    if evidence is None:
        return None
    said = evidence.summary
    summary = [
        fit.n_matched / max(fit.n_spots, 1),
        math.log(max(fit.n_matched, 1)) / 3 - 1,
        float(fit.coarse),
        math.log(min(n_views, MOST_VIEWS)) - 1.5,
        said["sd"] - 1.5,
        math.log(fit.volume) / 2 - 3,
        said["seen"],
        said["bs0"],
        said["slope"],
        said["q"],
        min(said["nv"], MOST_VIEWS) / 8 - 1,
        math.asinh(said["base"] / 50),
    ]
    deviations = [said[f"deviation_{system}"] for system in _SYSTEMS]
    summary += [math.log10(deviation + 0.01) for deviation in deviations]
    shapes = [said[f"shape_{system}"] for system in _SYSTEMS]
    summary += [math.asinh(shape / _LIKELIHOOD_SCALE) / 2 for shape in shapes]
    summary += [math.log10(said[name]) + 3 for name in ("error", "strain")]
    return evidence.table, np.array(summary, np.float32)


def _in_its_own_frame(view: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return a view turned and mirrored by what it shows, and rounded.

    Lattices that explain a view alike are told apart by the order of
    equal numbers and by rounding, which turning a pattern changes. Also
    returns the matrix that turned it.
    """
    position = view[:, 0].astype(float) + 1j * view[:, 1]
    share = np.maximum((view[:, 2] / view[:, 2].max()).round(_DECIMALS - 1), 1e-4)
    longest = np.lexsort((abs(position).round(_DECIMALS), share))[-1]
    turn = np.exp(-1j * np.angle(position[longest]))
    if (share * (turn * position).real).sum() < 0:
        turn = -turn
    position = turn * position
    hand = -1 if (share * position.real * position.imag).sum() < 0 else 1
    x, y = position.real.round(_DECIMALS), hand * position.imag.round(_DECIMALS)
    order = np.lexsort((y, x, share, abs(position).round(_DECIMALS)))
    matrix = [[turn.real, -turn.imag], [hand * turn.imag, hand * turn.real]]
    return np.column_stack([x, y, share])[order], np.array(matrix)


class EvidenceHead(nn.Module):
    """Network that weighs two opinions on each space group.

    It sees every space group alike, by one small network whose weights
    they share: what the network of a model makes of it, what the lattice
    says of it, how good the lattice is, and its Bravais lattice. So few
    parameters are learnt from few crystals, and a space group that was
    never among them is treated like the others.

    Parameters
    ----------
    classes
        Space-group numbers in the order of the probabilities; 0 stands
        for "not crystalline", of which a lattice says nothing.
    width
        Units of the two hidden layers.
    dropout
        Share of hidden units that are left out in training.
    """

    def __init__(self, classes: Sequence[int], width: int = 64, dropout: float = 0.1):
        super().__init__()
        numbers = [number for number in classes if number]
        self._of_class = [i for i, number in enumerate(classes) if number]
        self._row = [number - 1 for number in numbers]
        members = []
        for position, level in enumerate(_LEVELS):
            labels = level_labels(level)
            index = [labels.index(level_of(level, number)) for number in numbers]
            one_hot = nn.functional.one_hot(torch.tensor(index), len(labels)).float()
            self.register_buffer(f"_members_{position}", one_hot, persistent=False)
            members.append(one_hot)
        n_inputs = TABLE_SHAPE[1] + 3 + len(_LEVELS) + N_SUMMARY + members[1].shape[1]
        self.weigh = nn.Sequential(
            nn.Linear(n_inputs, width),
            nn.SiLU(),
            nn.Dropout(dropout),
            nn.Linear(width, width),
            nn.SiLU(),
            nn.Dropout(dropout),
            nn.Linear(width, 1),
        )
        # Until it is trained, the network alone is believed
        nn.init.zeros_(self.weigh[-1].weight)
        nn.init.zeros_(self.weigh[-1].bias)

    def forward(
        self, log_probabilities: Tensor, table: Tensor, summary: Tensor
    ) -> Tensor:
        """Return logits of shape (crystals, classes).

        Parameters
        ----------
        log_probabilities
            Of the network, of shape (crystals, classes).
        table
            Evidence on each of the 230 space groups, of shape
            (crystals, 230, columns), with the columns of
            :data:`~pyxem_symnet.lattice.COLUMNS`.
        summary
            What is said of the lattice as a whole, of shape
            (crystals, values), of the order of one.
        """
        known = log_probabilities[:, self._of_class].clamp_min(_FLOOR)
        table = table[:, self._row]
        deviation, seen, strong, unseen, absence, likelihood, *rest = table.unbind(-1)
        noise, chi_square, shape, found, alternative = rest
        lowest = torch.finfo(table.dtype).min
        best = torch.where(found > 0, likelihood, lowest).amax(1, keepdim=True)
        best = torch.where((found > 0).any(1, keepdim=True), best, 0.0)
        behind = torch.where(found > 0, likelihood - best, 0.0)
        of_best = torch.where(
            found > 0, absence - 4 * seen + likelihood + shape.clamp_min(-50), lowest
        )
        behind_all = of_best - of_best.amax(1, keepdim=True)
        behind_all = torch.where(found > 0, behind_all, 0.0)
        columns = [
            (deviation + 0.01).log10(),
            seen.log1p(),
            strong.log1p(),
            unseen.log1p(),
            absence.clamp_min(0).log1p(),
            (likelihood / _LIKELIHOOD_SCALE).asinh(),
            (behind / _LIKELIHOOD_SCALE).asinh(),
            (behind_all / _LIKELIHOOD_SCALE).asinh(),
            noise,
            chi_square.log1p() / 2,
            (shape / _LIKELIHOOD_SCALE).asinh() / 2,
            found,
            alternative / _LIKELIHOOD_SCALE,
            known / 4,
        ]
        for position in range(len(_LEVELS)):
            one_hot = getattr(self, f"_members_{position}")
            shares = known.exp() @ one_hot @ one_hot.T
            columns.append(shares.clamp_min(1e-5).log() / 4)
        each = torch.stack(columns, -1)
        whole = summary.unsqueeze(1).expand(-1, each.shape[1], -1)
        lattice = self._members_1.expand(len(each), -1, -1)
        change = self.weigh(torch.cat((each, whole, lattice), -1)).squeeze(-1)
        logits = log_probabilities.clamp_min(_FLOOR).clone()
        logits[:, self._of_class] = known + change
        return logits
