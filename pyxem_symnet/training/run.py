# SPDX-License-Identifier: GPL-3.0-or-later
"""Train a model from a configuration, resumable at any time.

Every :attr:`~TrainingConfig.checkpoint_every` steps make an epoch in
Lightning's sense, and a checkpoint is written after each. Batches and dropout
follow from the seed and the number of the epoch, so a training that was
killed goes on exactly as it would have.
"""

from __future__ import annotations

import copy
import dataclasses
import warnings
from collections.abc import Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path

import lightning
import numpy as np
import torch
from lightning.pytorch.callbacks import (
    EMAWeightAveraging,
    ModelCheckpoint,
    TQDMProgressBar,
)
from lightning.pytorch.loggers import CSVLogger, TensorBoardLogger
from torch import Tensor, nn
from torch.optim.swa_utils import update_bn
from torch.utils.data import DataLoader, Subset

from pyxem_symnet.models import load_checkpoint, read_header, save_checkpoint
from pyxem_symnet.models.checkpoint import ARCHITECTURES
from pyxem_symnet.models.registry import model_path
from pyxem_symnet.simulation.packed import PackedReflections
from pyxem_symnet.training.config import ConfigError, TrainingConfig
from pyxem_symnet.training.data import TrainingBatches
from pyxem_symnet.training.drawn import DrawnBatches, draw_batches
from pyxem_symnet.training.module import SymmetryModule, part_of
from pyxem_symnet.training.splits import select_split

#: Batches over which the statistics of batch normalisation are measured
_SETTLING_BATCHES = 200

#: CPUs, as PyTorch calls them, on which bfloat16 is emulated. Those of other makes
#: have names of their own
_SLOW_WITH_BFLOAT16 = ("NO AVX", "AVX2")

#: Views of a crystal in the validations during a training, if trained with
_VALIDATION_VIEWS = 16


def train(
    config: TrainingConfig,
    store: str | Path,
    out: str | Path,
    *,
    start_from: str | Path | Sequence[str | Path] = (),
    n_workers: int = 1,
    show_progressbar: bool = True,
    tensorboard: bool = False,
) -> Path:
    """Train a model on the ``"train"`` split of a reflection store.

    Parameters
    ----------
    config
        Configuration.
    store
        Folder of the reflection store.
    out
        Folder for checkpoints, logs and the trained model. A training
        that was begun there is resumed.
    start_from
        Shipped model or checkpoint whose weights to begin with, or
        several. Each stream, and the joining network if the classes are
        the same, is taken from the first that has one of the same shape,
        and drawn by the seed if none has.
    n_workers
        Number of processes that draw samples.
    show_progressbar
        Whether to show a progress bar.
    tensorboard
        Whether to write logs for TensorBoard beside those in CSV.

    Returns
    -------
    path
        The trained model, not yet calibrated.

    Raises
    ------
    ConfigError
        If nothing of a model to start from fits, if no model has a part
        that there are no steps to learn or whose weights are to be averaged
        with those it has, or if TensorBoard is not installed.
    """
    if tensorboard and not any(map(find_spec, ("tensorboard", "tensorboardX"))):
        raise ConfigError(
            "TensorBoard is not installed. Leave out its logs (those in CSV are always "
            "written) or install it: pip install tensorboard."
        )
    out = Path(out)
    crystals = {
        split: PackedReflections.from_store(
            store, lambda names, types, split=split: select_split(names, types, split)
        )
        for split in ("train", "validation")
    }
    classes = choose_classes(crystals["train"].space_group, config)
    torch.manual_seed(config.seed)
    model = ARCHITECTURES[config.architecture](classes, **config.model)
    if isinstance(start_from, (str, Path)):
        start_from = [start_from]
    origin, missing = _start(model, start_from)
    if missing and (config.steps == 0 or config.share_of_start > 0):
        raise ConfigError(
            f"Configuration {config.name!r} has no steps or a share_of_start, so all "
            "parts must be of models to start from, but none of these has "
            f"{', '.join(missing)}. Name another model, or change these settings."
        )
    if unknown := sorted(set(config.frozen) - {"opinions", *model.streams}):
        raise ConfigError(
            f"Configuration {config.name!r}: there is no stream "
            f"{', '.join(unknown)} to freeze; the model has "
            f"{', '.join(model.streams)}."
        )
    if config.steps > 0:
        # Before anything is drawn, since frozen streams may look at it
        module = SymmetryModule(model, config)
        features_of = model.training_features
        if set(config.frozen) >= set(model.streams):
            features_of = model.joined_features
        data = _Batches(crystals, classes, features_of, config, out, n_workers)
        if "net" in missing:
            model.streams["net"].standardise(_nets(data.settling_batches()))
        trainer, last = make_trainer(config, out, show_progressbar, tensorboard)
        _fit(module, data, config, trainer, last)
    path = out / f"{config.name}.safetensors"
    record = {
        "training": dataclasses.asdict(config),
        "n_training_crystals": len(crystals[config.split]),
        "store": crystals["train"].settings,
        "started_from": origin,
        "seed": config.seed,
    }
    out.mkdir(parents=True, exist_ok=True)
    save_checkpoint(path, model, record)
    return path


def _fit(
    module: SymmetryModule,
    data: _Batches,
    config: TrainingConfig,
    trainer: lightning.Trainer,
    last: Path,
) -> None:
    """Learn all that is not frozen, from the latest checkpoint on if there is one."""
    model = module.model
    begun = {name: each.detach().clone() for name, each in model.named_parameters()}
    # Averaging the weights rounds even those that don't change
    kept = {n: copy.deepcopy(part_of(model, n).state_dict()) for n in config.frozen}
    trainer.fit(
        module,
        datamodule=data,
        ckpt_path=last if last.exists() else None,
        weights_only=True,
    )
    with torch.no_grad():
        for name, each in model.named_parameters():
            each.lerp_(begun[name], config.share_of_start)
    # Batch norms, too: averaged weights have their own activations
    update_bn(data.settling_batches(), model)
    for name, state in kept.items():
        part_of(model, name).load_state_dict(state)
    _round(model, config.frozen)


def _start(
    model: nn.Module, start_from: Sequence[str | Path]
) -> tuple[list[dict], list[str]]:
    """Give a model weights of others.

    Returns what is known of these, and the names of the parts they have not.
    """
    missing = dict(_parts(model))
    origins = []
    for path in map(model_path, start_from):
        other = load_checkpoint(path)
        taken = []
        for name, part in _parts(other):
            joins = name not in model.streams
            if joins and other.classes != model.classes:
                continue
            # What joined all streams of another may be one opinion among others
            places = [n for n in missing if n not in model.streams] if joins else [name]
            for place in places:
                if place in missing and _shapes(part) == _shapes(missing[place]):
                    missing.pop(place).load_state_dict(part.state_dict())
                    taken.append(place)
                    break
        if not taken:
            raise ConfigError(
                f"The training can't start from {path.name}: none of its streams, nor "
                "its joining network, has the shape that the configuration asks for, "
                "or what has it was taken from a model named before."
            )
        kept = ("date", "training", "store", "started_from")
        record = {key: other.record.get(key) for key in kept}
        origins.append({"parts": taken, "sha256": read_header(path).sha256, **record})
    return origins, list(missing)


def _nets(batches: DataLoader) -> Tensor:
    """Return what is read of the nets in some batches."""
    names = ("net_drawn", "net")
    return torch.cat([next(f[name] for name in names if name in f) for f, _ in batches])


def _round(model: nn.Module, frozen: Sequence[str]) -> None:
    """Round weights of layers that join all with all, whose files are half as large."""
    kept = {id(layer) for name in frozen for layer in part_of(model, name).modules()}
    for layer in model.modules():
        if isinstance(layer, nn.Linear) and id(layer) not in kept:
            layer.weight.data = layer.weight.data.half().float()


def _parts(model: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    yield from model.streams.items()
    yield "join", model.join
    for number, opinion in enumerate(model.opinions):
        yield f"opinions.{number}", opinion


def _shapes(part: nn.Module) -> dict[str, torch.Size]:
    return {name: tensor.shape for name, tensor in part.state_dict().items()}


def choose_classes(space_groups: np.ndarray, config: TrainingConfig) -> list[int]:
    """Return the classes to learn: 0, and the groups with enough crystals."""
    numbers, counts = np.unique(space_groups, return_counts=True)
    groups = numbers[counts >= config.minimum_crystals].tolist()
    return ([0] if config.no_crystal > 0 else []) + groups


def make_trainer(
    config: TrainingConfig,
    out: Path,
    show_progressbar: bool,
    tensorboard: bool = False,
) -> tuple[lightning.Trainer, Path]:
    """Return the trainer and the path of its latest checkpoint."""
    callbacks = [
        EMAWeightAveraging(decay=config.ema_decay),
        ModelCheckpoint(
            dirpath=out,
            filename="checkpoint",
            save_last=False,
            save_top_k=1,
            save_on_train_epoch_end=True,
            enable_version_counter=False,
        ),
    ]
    if show_progressbar:
        callbacks.append(TQDMProgressBar(refresh_rate=10))
    loggers = [CSVLogger(out, name="logs", version=0)]
    if tensorboard:
        loggers.append(TensorBoardLogger(out, name="tensorboard", version=0))
    _warn_of_slow_precision(config.precision)
    trainer = lightning.Trainer(
        accelerator="auto",
        max_steps=config.steps,
        precision=config.precision,
        logger=loggers,
        callbacks=callbacks,
        enable_progress_bar=show_progressbar,
        check_val_every_n_epoch=max(
            1, config.validate_every // config.checkpoint_every
        ),
        reload_dataloaders_every_n_epochs=1,
        num_sanity_val_steps=0,
        gradient_clip_val=1.0,
        log_every_n_steps=25,
        enable_model_summary=False,
    )
    return trainer, out / "checkpoint.ckpt"


def _warn_of_slow_precision(precision: str) -> None:
    if torch.accelerator.is_available() or not precision.startswith("bf16"):
        return
    capability = torch.backends.cpu.get_cpu_capability()
    if capability in _SLOW_WITH_BFLOAT16:
        warnings.warn(
            f"This CPU ({capability}) has no instructions for bfloat16, with which "
            "training then takes several times as long as in single precision. Give "
            "the option --precision 32-true, or set it in the configuration.",
            stacklevel=2,
        )


class _Batches(lightning.LightningDataModule):
    """Batches of each epoch, by number."""

    def __init__(
        self,
        crystals: dict[str, PackedReflections],
        classes: list[int],
        features_of,
        config: TrainingConfig,
        out: Path,
        n_workers: int,
    ):
        super().__init__()
        self.training = TrainingBatches(
            crystals[config.split], classes, features_of, config
        )
        if config.drawn:
            files = draw_batches(self.training, out / "drawn", n_workers)
            self.training = DrawnBatches(files, config)
        n_batches = -(-config.validation_crystals // config.batch_size)
        n_views = min(max(_VALIDATION_VIEWS, config.views[0]), config.views[1])
        self.validation = TrainingBatches(
            crystals["validation"],
            classes,
            features_of,
            dataclasses.replace(
                config,
                steps=n_batches,
                views=(n_views, n_views),
                samples_a_crystal=1,
                no_crystal=0.0,
                seed=config.seed + 1,
            ),
        )
        self.n_workers = n_workers

    def train_dataloader(self) -> DataLoader:
        epoch = self.trainer.current_epoch
        # What else is drawn in this epoch: dropout
        torch.manual_seed((self.training.config.seed << 32) + epoch)
        length = self.training.config.checkpoint_every
        last = min((epoch + 1) * length, len(self.training))
        return self._loader(Subset(self.training, range(epoch * length, last)))

    def settling_batches(self) -> DataLoader:
        """Return batches to measure the statistics of batch norms on."""
        n_batches = min(_SETTLING_BATCHES, len(self.training))
        return self._loader(Subset(self.training, range(n_batches)))

    def val_dataloader(self) -> DataLoader:
        return self._loader(self.validation)

    def _loader(self, batches) -> DataLoader:
        # A batch is drawn whole, so there is nothing to collate
        return DataLoader(
            batches,
            batch_size=None,
            num_workers=self.n_workers,
            worker_init_fn=_one_thread,
            multiprocessing_context="fork" if self.n_workers else None,
        )


def _one_thread(_: int) -> None:
    torch.set_num_threads(1)
