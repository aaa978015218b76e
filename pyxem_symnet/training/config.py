# SPDX-License-Identifier: GPL-3.0-or-later
"""Training configuration: one readable YAML file."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import yaml

CONFIGS = Path(__file__).parent / "configs"

#: Lightning's names of what can be trained with
PRECISIONS = ("bf16-mixed", "16-mixed", "32-true")


class ConfigError(ValueError):
    """A training configuration cannot be used."""


@dataclasses.dataclass(frozen=True)
class TrainingConfig:
    """Everything that determines a training but the reflection store.

    Parameters
    ----------
    name
        Name of the model.
    architecture
        Name of the architecture in the checkpoint's sense.
    model
        Keywords of the architecture, beside its classes.
    protocols
        Imaging protocols by name with the share of crystals drawn with
        each.
    orientations
        ``"random"``, ``"zone"``, ``"axes"`` or ``"tilt"``, with the share
        of crystals drawn with each.
    views
        Smallest and largest number of views of a crystal. Drawn
        log-uniformly.
    split
        ``"train"``, or ``"validation"`` for what few parameters, such
        as the shares of opinions, are learnt on: streams know their
        training crystals too well to be compared on these.
    drawn
        Number of batches that are drawn before the training, which then
        looks at their samples again and again. With 0, every sample is
        drawn afresh.
    samples_a_crystal
        Samples that are drawn of a crystal at once, which is faster, so
        that a batch has fewer crystals. For samples that are drawn before
        the training, and shuffled.
    variants
        Share of samples that are of a variant of a crystal, see
        :func:`~pyxem_symnet.simulation.draw_variant`.
    repeated_views
        Share of crystals whose views are of few grains: some
        orientations are repeated with small tilts between them.
    no_crystal
        Share of samples without a crystal, of the class 0.
    minimum_crystals
        Space groups with fewer training crystals are no class.
    frozen
        Names of the model's streams that stay as they started, and
        "opinions" if they do. If all streams do, what they see is a
        sample, and only how it is joined is learnt.
    steps
        Number of optimiser steps. With 0, nothing is learnt: the parts
        of the models to start from are put together as they are.
    batch_size
        Samples a step.
    learning_rate
        Largest learning rate of the one-cycle schedule.
    weight_decay
        Weight decay of AdamW.
    label_smoothing
        Label smoothing of the space-group loss.
    level_weights
        Weights of the losses at further levels, by level.
    ema_decay
        Decay of the exponential moving average of the weights, which is
        what is evaluated and shipped.
    share_of_start
        Share that the weights to start from have in those shipped, which
        are averaged with those learnt (Wortsman et al. 2022,
        https://doi.org/10.48550/arXiv.2109.01903).
    validate_every
        Steps between validations.
    validation_crystals
        Number of crystals validated on during training.
    checkpoint_every
        Steps between checkpoints.
    precision
        Lightning's precision, one of :data:`PRECISIONS`. On a CPU without
        AVX-512, bfloat16 takes several times as long as single precision.
    seed
        Seed of the weights and of every sample drawn.
    """

    name: str
    architecture: str = "ViewSetMSDN"
    model: dict = dataclasses.field(default_factory=dict)
    protocols: dict[str, float] = dataclasses.field(
        default_factory=lambda: {"clean": 0.5, "noisy": 0.5}
    )
    orientations: dict[str, float] = dataclasses.field(
        default_factory=lambda: {"random": 1.0}
    )
    views: tuple[int, int] = (1, 32)
    split: str = "train"
    drawn: int = 0
    samples_a_crystal: int = 1
    variants: float = 0.0
    repeated_views: float = 0.0
    no_crystal: float = 0.02
    minimum_crystals: int = 1
    frozen: tuple[str, ...] = ()
    steps: int = 4000
    batch_size: int = 128
    learning_rate: float = 2e-3
    weight_decay: float = 0.02
    label_smoothing: float = 0.0
    level_weights: dict[str, float] = dataclasses.field(default_factory=dict)
    ema_decay: float = 0.998
    share_of_start: float = 0.0
    validate_every: int = 1000
    validation_crystals: int = 2000
    checkpoint_every: int = 250
    precision: str = "bf16-mixed"
    seed: int = 0

    def __post_init__(self) -> None:
        problems = []
        if not 1 <= self.views[0] <= self.views[1]:
            problems.append(f"views must be 1 <= smallest <= largest, not {self.views}")
        positive = ("batch_size", "validate_every", "checkpoint_every")
        for field in (*positive, "samples_a_crystal"):
            if getattr(self, field) < 1:
                problems.append(f"{field} must be at least 1")
        for field in ("steps", "drawn"):
            if getattr(self, field) < 0:
                problems.append(f"{field} must not be below 0")
        for field in ("protocols", "orientations"):
            if not sum(getattr(self, field).values()) > 0:
                problems.append(f"{field} must have a positive share")
        unknown = set(self.orientations) - {"random", "zone", "axes", "tilt"}
        if unknown:
            problems.append(f"unknown orientations: {', '.join(sorted(unknown))}")
        if self.precision not in PRECISIONS:
            problems.append(
                f"precision must be one of {', '.join(PRECISIONS)}, not "
                f"{self.precision!r}"
            )
        if self.split not in ("train", "validation"):
            problems.append(
                f"split must be 'train' or 'validation', not {self.split!r}"
            )
        if not 0 <= self.no_crystal < 1:
            problems.append("no_crystal must be at least 0 and below 1")
        if not 0 <= self.variants <= 1:
            problems.append("variants must be between 0 and 1")
        if not 0 <= self.share_of_start < 1:
            problems.append("share_of_start must be at least 0 and below 1")
        if self.samples_a_crystal > 0 and self.batch_size % self.samples_a_crystal:
            problems.append("batch_size must be a multiple of samples_a_crystal")
        if problems:
            raise ConfigError(f"Configuration {self.name!r}: {'; '.join(problems)}.")


def read_config(path: str | Path) -> TrainingConfig:
    """Return the configuration of a YAML file or of a shipped model.

    Parameters
    ----------
    path
        Path, or the name of a shipped model.

    Raises
    ------
    ConfigError
        If there is no such file, or it holds unknown or wrong settings.
    """
    shipped = CONFIGS / f"{path}.yaml"
    path = shipped if shipped.is_file() else Path(path)
    if not path.is_file():
        known = ", ".join(sorted(file.stem for file in CONFIGS.glob("*.yaml")))
        raise ConfigError(
            f"There is no configuration {str(path)!r}. Give a YAML file or one of: "
            f"{known}."
        )
    try:
        settings = yaml.safe_load(path.read_text(encoding="utf-8"))
    except yaml.YAMLError as error:
        raise ConfigError(f"{path.name} is not valid YAML: {error}") from error
    if not isinstance(settings, dict):
        raise ConfigError(f"{path.name} must be a mapping of settings.")
    known = {field.name for field in dataclasses.fields(TrainingConfig)}
    if unknown := sorted(set(settings) - known):
        raise ConfigError(
            f"{path.name}: unknown settings {', '.join(unknown)}. Known are "
            f"{', '.join(sorted(known))}."
        )
    for name in ("views", "frozen"):
        if name in settings:
            settings[name] = tuple(settings[name])
    return TrainingConfig(**{"name": path.stem, **settings})
