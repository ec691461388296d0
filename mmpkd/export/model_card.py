"""The model card of an exported student, from the records of its run."""

from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import jinja2
import yaml

from mmpkd.export.scores import Estimate, auroc_by_label, localization
from mmpkd.export.source import ExportSource
from mmpkd.export.traceable import about_rollout
from mmpkd.export.training import DataFacts, arms, data_facts, starting_weights, teacher_words

# Hugging Face's identifier of a licence that it does not list
OTHER = "other"
# counts of the data report that are shown, because any reader understands them
_COUNTS = ("samples", "patients", "with_privileged", "with_roi")
_TAGS = ["timm", "mmpkd", "knowledge-distillation", "privileged-information", "medical-imaging", "multi-label"]


def model_card(
    source: ExportSource,
    temperature: float | None,
    license_name: str,
    has_timm: bool,
    has_onnx: bool,
    has_rollout: bool,
) -> str:
    """Return the model card as Markdown, with the metadata that Hugging Face reads.

    Args:
        source: The exported student.
        temperature: Calibration temperature, or None.
        license_name: Licence of the model, as Hugging Face names licences.
        has_timm: Whether timm can load the folder.
        has_onnx: Whether the folder has an ONNX file.
        has_rollout: Whether the ONNX file has the rollout as an output.
    """
    trained = source.trained
    student = trained.student
    state = source.state
    data = data_facts(source)
    auroc = auroc_by_label(source)
    maps = localization(source)
    training = None if state is None else state.training
    made_from = None if state is None else state.made_from
    architecture = student.model.pretrained_cfg["architecture"]
    text = _template().render(
        title=f"{architecture}, trained on {data.name or 'data that are not recorded'}",
        metadata=yaml.safe_dump(_metadata(data, auroc, license_name, has_timm, architecture), sort_keys=False),
        version=version("mmpkd"),
        has_timm=has_timm,
        has_onnx=has_onnx,
        rollout=about_rollout(student) if has_rollout else "",
        channels=student.settings["in_chans"],
        size=student.settings["image_size"],
        mean=student.mean,
        std=student.std,
        preparation=_in_words(None if trained.preparation is None else trained.preparation.describe()),
        labels=list(zip(trained.label_names, trained.thresholds.tolist(), strict=True)),
        temperature=temperature,
        data=data,
        strictest=source.data_license,
        columns=[name for name in _COUNTS if name in set().union(*data.counts.values())],
        arm=None if state is None else state.job_type,
        seed=None if state is None else state.seed,
        epochs=None if training is None else training.epochs,
        teacher=teacher_words(source),
        weights=starting_weights(source),
        sha256=source.sha256,
        commit=None if made_from is None else made_from.git_commit,
        arms=arms(source),
        auroc=auroc,
        maps=maps,
        scores=list(maps[0].scores) if maps else [],
        license="unknown: none was given at export" if license_name == OTHER else license_name,
    )
    return text.rstrip("\n") + "\n"


def _metadata(
    data: DataFacts, auroc: Mapping[str, Estimate], license_name: str, has_timm: bool, architecture: str
) -> dict[str, Any]:
    """Return the metadata; see https://huggingface.co/docs/hub/model-cards#model-card-metadata."""
    metadata: dict[str, Any] = {
        "library_name": "timm" if has_timm else "onnx",
        "pipeline_tag": "image-classification",
        "license": license_name,
        "tags": _TAGS if has_timm else _TAGS[1:],
    }
    if license_name == OTHER:
        # the hub asks for the name of a licence that it does not list
        metadata["license_name"] = "not-stated"
    macro = auroc.get("macro")
    # NaN differs from itself, and is no result to publish
    if macro is None or macro.value != macro.value:
        return metadata
    metric = {"type": "roc_auc", "value": round(macro.value, 4), "name": "AUROC, mean over findings"}
    dataset = {"type": data.name, "name": data.name, "split": "test"}
    result = {"task": {"type": "image-classification"}, "dataset": dataset, "metrics": [metric]}
    return {**metadata, "model-index": [{"name": architecture, "results": [result]}]}


def _in_words(preparation: Mapping[str, Any] | None) -> str:
    if preparation is None:
        return ""
    described = dict(preparation)
    preprocess = described.pop("preprocess")
    steps = [f"{name} = {value}" for name, value in described.items()]
    if preprocess is not None:
        steps.append(f"preprocess = {preprocess['class'].rpartition('.')[2]} with {preprocess['fields']}")
    return ", ".join(steps)


def _template() -> jinja2.Template:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=False,  # Markdown, which would show HTML entities as they are
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("model_card.md.jinja")
