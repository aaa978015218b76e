# SPDX-License-Identifier: GPL-3.0-or-later
"""Lightning module: loss, optimiser, validation."""

from __future__ import annotations

import lightning
import torch
from torch import Tensor, nn
from torchmetrics.classification import MulticlassAccuracy

from pyxem_symnet.symmetry import aggregation_matrix
from pyxem_symnet.training.config import TrainingConfig

#: Levels whose validation accuracy is logged
_LOGGED_LEVELS = ("crystal_system", "diffraction_symbol")


def part_of(model: nn.Module, name: str) -> nn.Module:
    """Return a stream of a model, or its opinions.

    Parameters
    ----------
    model
        Model.
    name
        Name of a stream, or "opinions".
    """
    return model.opinions if name == "opinions" else model.streams[name]


class SymmetryModule(lightning.LightningModule):
    """Train a model to name space groups.

    Parameters
    ----------
    model
        Model with ``classes``, whose forward pass maps features to
        logits.
    config
        Configuration.
    """

    def __init__(self, model: nn.Module, config: TrainingConfig):
        super().__init__()
        self.model = model
        self.config = config
        for name in config.frozen:
            part_of(model, name).requires_grad_(False).eval()
        n_classes = len(model.classes)
        self.loss = nn.CrossEntropyLoss(label_smoothing=config.label_smoothing)
        self.accuracy = MulticlassAccuracy(n_classes, average="micro")
        self.top5 = MulticlassAccuracy(
            n_classes, top_k=min(5, n_classes), average="micro"
        )
        for level in {*config.level_weights, *_LOGGED_LEVELS}:
            matrix, _ = aggregation_matrix(model.classes, level)
            matrix = torch.from_numpy(matrix).float()
            # "Not crystalline" is in no label of a level: it gets one here
            outside = (matrix.sum(1, keepdim=True) == 0).float()
            self.register_buffer(
                f"to_{level}", torch.cat([matrix, outside], 1), persistent=False
            )

    def train(self, mode: bool = True) -> SymmetryModule:
        """Set the mode of all but frozen streams, which stay as they are used.

        Parameters
        ----------
        mode
            Whether to train.
        """
        super().train(mode)
        for name in self.config.frozen:
            part_of(self.model, name).eval()
        return self

    def _at_level(self, logits: Tensor, level: str) -> Tensor:
        matrix = self.get_buffer(f"to_{level}")
        return logits.float().softmax(-1) @ matrix

    def training_step(self, batch: tuple[dict[str, Tensor], Tensor]) -> Tensor:
        """Return the loss of a batch.

        Parameters
        ----------
        batch
            Features, and class indices of shape (samples,).
        """
        features, target = batch
        logits = self.model(features).float()
        loss = self.loss(logits, target)
        self.log("train/loss", loss, prog_bar=True)
        for level, weight in self.config.level_weights.items():
            of_class = self.get_buffer(f"to_{level}").argmax(1)
            probability = self._at_level(logits, level)
            right = probability.gather(1, of_class[target, None])
            loss = loss - weight * right.clamp_min(1e-8).log().mean()
        return loss

    def validation_step(self, batch: tuple[dict[str, Tensor], Tensor]) -> None:
        """Log loss and accuracies of a batch.

        Parameters
        ----------
        batch
            As for :meth:`training_step`.
        """
        features, target = batch
        logits = self.model(features).float()
        n_samples = len(target)
        values = {"loss": self.loss(logits, target)}
        for level in _LOGGED_LEVELS:
            of_class = self.get_buffer(f"to_{level}").argmax(1)
            named = self._at_level(logits, level).argmax(1)
            values[level] = (named == of_class[target]).float().mean()
        self.accuracy(logits, target)
        self.top5(logits, target)
        values |= {"space_group": self.accuracy, "space_group_top5": self.top5}
        for name, value in values.items():
            self.log(
                f"validation/{name}",
                value,
                prog_bar=name == "space_group",
                on_epoch=True,
                on_step=False,
                batch_size=n_samples,
            )

    def configure_optimizers(self) -> dict:
        """Return AdamW on a one-cycle schedule."""
        learnt = [p for p in self.model.parameters() if p.requires_grad]
        decayed = [p for p in learnt if p.ndim > 1]
        others = [p for p in learnt if p.ndim <= 1]
        optimiser = torch.optim.AdamW(
            [
                {"params": decayed, "weight_decay": self.config.weight_decay},
                {"params": others, "weight_decay": 0.0},
            ],
            lr=self.config.learning_rate,
        )
        schedule = torch.optim.lr_scheduler.OneCycleLR(
            optimiser,
            max_lr=self.config.learning_rate,
            total_steps=self.config.steps,
            pct_start=0.1,
        )
        return {
            "optimizer": optimiser,
            "lr_scheduler": {"scheduler": schedule, "interval": "step"},
        }
