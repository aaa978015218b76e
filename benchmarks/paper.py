# SPDX-License-Identifier: GPL-3.0-or-later
"""Compare the paper's network with conventional ones on the same samples.

    python benchmarks/paper.py STORE --work FOLDER [--samples N] [--epochs N]

Three patterns along a, b and c, 72 space groups, half of the samples clean and
half noisy. Each network is a file in `paper/`. Samples are drawn once into the
work folder; a network that is finished there is skipped, and one that was killed
goes on. Writes `paper.md` and `paper.json` beside this file after each network.
Needs `pytorchcv` beside the `train` extra.
"""

import argparse
import dataclasses
import json
import time
from pathlib import Path

import lightning
import torch
import yaml
from _paper_networks import NETWORKS, PatternImages
from _paper_samples import (
    CachedBatches,
    SampleSet,
    check_settings,
    draw_samples,
    load_samples,
    select,
)
from _paper_table import write_results
from safetensors.torch import load_file, save_file
from torch.nn import functional
from torch.optim.swa_utils import update_bn

from pyxem_symnet.models.axes import AxesMSDN
from pyxem_symnet.symmetry import PAPER_SPACE_GROUPS
from pyxem_symnet.training import SymmetryModule, TrainingConfig, read_config
from pyxem_symnet.training.run import make_trainer

CONFIGS = Path(__file__).parent / "paper"
#: Learning rates that each network is tried with
RATES = (5e-4, 2e-3)
TRIAL_STEPS = 80
EVALUATION = {"validation": 512, "test": 2048, "unseen-types": 1024}
#: Batches over which the statistics of batch normalisation are measured
SETTLING_BATCHES = 50


def read_network(path: Path) -> TrainingConfig:
    """Return a network's configuration with what all have in common."""
    settings = yaml.safe_load((CONFIGS / "budget.yaml").read_text())
    settings |= yaml.safe_load(path.read_text())
    return TrainingConfig(**(settings | {"views": tuple(settings["views"])}))


def make_model(config: TrainingConfig) -> torch.nn.Module:
    torch.manual_seed(config.seed)
    settings = config.model
    if config.architecture == "AxesMSDN":
        settings = read_config("msdn-axes").model | settings
    model = NETWORKS[config.architecture](PAPER_SPACE_GROUPS, **settings)
    return model.to(memory_format=torch.channels_last)


def sample_sets(n_samples: int) -> list[SampleSet]:
    """Return all samples: for training, and to ask about."""
    both = {"clean": 0.5, "noisy": 0.5}
    sets = [SampleSet("train", "train", both, n_samples, 0)]
    for split, number in EVALUATION.items():
        for noise in ("clean", "noisy"):
            sets.append(SampleSet(f"{split}-{noise}", split, {noise: 1.0}, number, 1))
    return sets


class Speed(lightning.Callback):
    """Count samples and processor seconds."""

    def __init__(self):
        self.seconds = 0.0
        self.steps = 0

    def on_train_start(self, trainer, module):
        self.started = time.process_time(), trainer.global_step

    def on_train_end(self, trainer, module):
        self.seconds += time.process_time() - self.started[0]
        self.steps += trainer.global_step - self.started[1]


def fit(config: TrainingConfig, samples: dict, folder: Path, speed: Speed):
    """Return a trained model; go on with a training that was begun."""
    model = make_model(config)
    trained = folder / "trained.safetensors"
    if not trained.exists():
        data = CachedBatches(samples, config)
        trainer, last = make_trainer(config, folder, show_progressbar=True)
        trainer.callbacks.append(speed)
        trainer.fit(
            SymmetryModule(model, config),
            datamodule=data,
            ckpt_path=last if last.exists() else None,
            weights_only=True,
        )
        # The averaged weights have activations of their own
        update_bn(data.first(0, min(SETTLING_BATCHES, config.steps)), model)
        state = {k: v.contiguous() for k, v in model.state_dict().items()}
        save_file(state, trained)
    model.load_state_dict(load_file(trained))
    return model.eval()


@torch.no_grad()
def ask(model: torch.nn.Module, samples: dict) -> torch.Tensor:
    """Return the logits of samples."""
    n_samples = len(samples["target"])
    return torch.cat(
        [
            model(select(samples, slice(first, first + 128))[0]).float()
            for first in range(0, n_samples, 128)
        ]
    )


def choose_rate(config, samples, validation, folder, speed) -> dict[float, float]:
    """Return the validation loss after a short training with each rate."""
    losses = {}
    for rate in RATES:
        trial = dataclasses.replace(config, learning_rate=rate, steps=TRIAL_STEPS)
        model = fit(trial, samples, folder / f"trial-{rate:g}", speed)
        loss = [
            functional.cross_entropy(ask(model, part), part["target"]).item()
            for part in validation
        ]
        losses[rate] = sum(loss) / len(loss)
    return losses


def run_network(config, sets, cache: Path, folder: Path) -> None:
    """Train a network and keep what it says of every set."""
    done = folder / "answers.safetensors"
    folder.mkdir(parents=True, exist_ok=True)
    settings = dataclasses.asdict(config)
    check_settings(folder / "settings.json", settings)
    if done.exists():
        return
    names = {"ImageMSDN": ["raw", "shaped"], "Conventional": ["raw"]}.get(
        config.architecture, ["image", "radial", "n_spots"]
    )
    samples = {item.name: load_samples(item, cache, config, names) for item in sets}
    validation = [samples["validation-clean"], samples["validation-noisy"]]
    speed = Speed()
    losses = choose_rate(config, samples["train"], validation, folder, speed)
    rate = min(losses, key=losses.get)
    config = dataclasses.replace(config, learning_rate=rate)
    model = fit(config, samples["train"], folder / "training", speed)
    record = {
        "settings": settings | {"learning_rate": rate},
        "trial_losses": {f"{key:g}": value for key, value in losses.items()},
        "n_parameters": sum(p.numel() for p in model.parameters()),
        "samples_per_second": speed.steps * config.batch_size / speed.seconds
        if speed.steps
        else None,
    }
    (folder / "record.json").write_text(json.dumps(record, indent=1))
    answers = {}
    for item in sets[1:]:
        answers[item.name] = ask(model, samples[item.name])
        answers[f"{item.name}-target"] = samples[item.name]["target"]
    save_file(answers, done)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("store")
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--samples", type=int, default=12288)
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--workers", type=int, default=0)
    options = parser.parse_args()
    torch.set_num_threads(1)
    configs = {}
    for path in sorted(CONFIGS.glob("[0-9]*.yaml")):
        config = read_network(path)
        steps = options.samples * options.epochs // config.batch_size
        configs[path.stem] = dataclasses.replace(config, steps=steps)
    sets = sample_sets(options.samples)
    axes = AxesMSDN(PAPER_SPACE_GROUPS, **read_config("msdn-axes").model)
    readers = [PatternImages(), axes]
    any_config = next(iter(configs.values()))
    draw_samples(
        sets,
        options.store,
        options.work / "samples",
        PAPER_SPACE_GROUPS,
        readers,
        any_config,
        options.workers,
    )
    for name, config in configs.items():
        print(config.name, flush=True)
        run_network(config, sets, options.work / "samples", options.work / name)
        write_results(options.work, list(configs), options.samples, options.epochs)


if __name__ == "__main__":
    main()
