"""What distillation adds to a training step of a student.

Run: python benchmarks/distillation.py [--model vit_small_patch16_224] [--batch 4] [--repeats 9] [--device cpu]

The variants run in turn, so that a busy machine slows all of them; medians of the repeats are compared. A step is forward,
loss, backward and AdamW. `raw` is a plain PyTorch step of the same timm model, without this library. `baseline` is
DistillationModule without a teacher, `stored` looks the teacher's outputs up, and `live BERT` runs a frozen encoder of the size
of BERT-base on 128, 256 and 512 tokens a report in every step, which is what looking up saves.
"""

from collections.abc import Callable

import numpy as np
import timm
import torch
from timing import Bar, measure, optimizer_step, parser, ratio, show, show_bars
from torch import Tensor, nn
from transformers import BertConfig, BertModel

from data_modules.batch import Batch
from mmpkd.losses.base import FeatureStatistics
from mmpkd.modules import DistillationModule
from mmpkd.students import VisionTransformerStudent
from mmpkd.students.output import ModelOutput
from mmpkd.teachers.lookup import StoredTeacher, TeacherLookup
from mmpkd.teachers.targets import TargetsMeta, TeacherTargets

NUM_CLASSES = 5
NUM_SAMPLES = 1024
NUM_FEATURES = 768


class LiveBert(TeacherLookup):
    """A frozen encoder with random weights, on reports of a fixed length, in float32 as every frozen teacher.

    Args:
        num_tokens: Tokens a report.
        config: Size of the encoder; that of BERT-base by default.
    """

    def __init__(self, num_tokens: int, config: BertConfig | None = None) -> None:
        config = config or BertConfig()
        self.num_features = config.hidden_size
        self.bert = BertModel(config).eval().requires_grad_(False)
        self.head = nn.Linear(config.hidden_size, NUM_CLASSES).requires_grad_(False)
        self.num_tokens = num_tokens

    def to(self, device: torch.device) -> "LiveBert":
        """Move the encoder to a device."""
        self.bert.to(device)
        self.head.to(device)
        return self

    @torch.no_grad()
    def __call__(self, batch: Batch) -> tuple[ModelOutput, Tensor]:
        """Return the encoder's outputs for as many reports as there are samples."""
        index = batch["index"]
        tokens = torch.randint(self.bert.config.vocab_size, (len(index), self.num_tokens), device=index.device)
        with torch.autocast(index.device.type, enabled=False):
            features = self.bert(input_ids=tokens).last_hidden_state.mean(1)
            logits = self.head(features)
        return ModelOutput(logits[None], features), torch.ones_like(index, dtype=torch.bool)

    def feature_statistics(self) -> FeatureStatistics:
        """Refuse: no loss here needs them."""
        raise NotImplementedError


def main() -> None:
    """Measure and print."""
    options = parser(__doc__, repeats=9, batch=4).parse_args()
    torch.set_num_threads(options.threads)
    device = torch.device(options.device)
    batch = make_batch(options.batch, device)
    variants = {
        "raw": raw_step(options.model, batch, device),
        "baseline": module_step(options.model, None, batch, device),
        "stored": module_step(options.model, StoredTeacher(make_targets()), batch, device),
        **{
            f"live BERT, {tokens} tokens": module_step(options.model, LiveBert(tokens), batch, device)
            for tokens in (128, 256, 512)
        },
    }
    times = measure(variants, options.repeats, options.device)
    print(f"{options.model}, batch {options.batch}, {options.device}, median of {options.repeats}")
    show(times, "baseline")
    wanted = 1.02 if options.device.startswith("cuda") else 1.05  # a CPU's noise is allowed for
    show_bars([Bar("stored targets / baseline", ratio(times, "stored", "baseline"), wanted)])


def make_batch(size: int, device: torch.device) -> Batch:
    """Return a batch of random images and labels."""
    return {
        "image": torch.randn(size, 1, 224, 224, device=device),
        "label": (torch.rand(size, NUM_CLASSES, device=device) < 0.3).float(),
        "index": torch.randint(NUM_SAMPLES, (size,), device=device),
    }  # type: ignore[typeddict-item]


def make_targets(num_samples: int = NUM_SAMPLES) -> TeacherTargets:
    """Return random targets of so many samples."""
    rng = np.random.default_rng(0)
    logits = rng.standard_normal((1, num_samples, NUM_CLASSES)).astype(np.float32)
    features = rng.standard_normal((num_samples, NUM_FEATURES)).astype(np.float16)
    known = np.ones(num_samples, dtype=np.bool_)
    names = np.array([f"s{i}" for i in range(num_samples)])
    return TeacherTargets(logits, features, known, names, TargetsMeta([f"label{k}" for k in range(NUM_CLASSES)]))


def raw_step(name: str, batch: Batch, device: torch.device) -> Callable[[], None]:
    """Return a training step in plain PyTorch."""
    model = timm.create_model(name, in_chans=1, num_classes=NUM_CLASSES).to(device).train()

    def loss() -> Tensor:
        return nn.functional.binary_cross_entropy_with_logits(model(batch["image"]), batch["label"])

    return optimizer_step(model, loss)


def module_step(name: str, teacher: TeacherLookup | None, batch: Batch, device: torch.device) -> Callable[[], None]:
    """Return a training step of the student module, with the teacher given or none."""
    module = DistillationModule(VisionTransformerStudent(name, NUM_CLASSES, 224)).to(device).train()
    module._teacher = None if teacher is None else teacher.to(device)
    return optimizer_step(module, lambda: module.losses(batch)["loss"])


if __name__ == "__main__":
    main()
