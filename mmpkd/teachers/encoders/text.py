"""Encoder of text: a Hugging Face encoder, pretrained or trained from scratch."""

import json
import re
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any, Literal, Self

import torch
from torch import Tensor

from data_modules.batch import Privileged
from data_modules.split import Split
from mmpkd.numerics.device_values import tensor_on
from mmpkd.teachers.encoders.base import PrivilegedEncoder, check_sizes
from mmpkd.teachers.encoders.huggingface import Source, build_from_config, longest_input
from mmpkd.teachers.encoders.lora import LoRA
from mmpkd.teachers.encoders.vocabulary import learn_word_tokenizer
from mmpkd.teachers.encoders.windows import Windows, encode_in_buckets, tokenize

Pooling = Literal["mean", "cls", "max"]
# of `max_length`: a token between the first and the last one
MIN_LENGTH = 3
_LAYER = re.compile(r"\.(?:layer|layers|h|block|blocks)\.(\d+)\.")


class TextEncoder(PrivilegedEncoder):
    """Encodes a text with a transformer and pools the tokens to a feature vector.

    Without `pretrained`, a BERT (Devlin et al. 2019, https://arxiv.org/abs/1810.04805) of the given size is trained from scratch
    with a word-level vocabulary of the training texts. With it, tokenizer, configuration and weights come from a Hugging Face
    model with a fast tokenizer. Tokenizer and configuration are stored in the checkpoint, so a teacher can be loaded on a
    machine without the Hugging Face model, unless the model comes with its own code.

    Args:
        pretrained: A Hugging Face encoder, or None to train from scratch. Weights stored in half precision are converted to
            float32; `trainer.precision` sets the precision of training.
        freeze: Train only the classification head.
        lora: Train only low-rank updates of the encoder's weights; needs peft.
        pooling: `mean` over tokens, the first token (`cls`), or `max` over tokens. BERT's own pooler is never used, because most
            checkpoints lack its weights.
        max_length: Maximum number of tokens of an input.
        windows: Split longer texts into overlapping windows and average their features (weighted by their number of tokens if
            `pooling` is `mean`), or take the maximum if `pooling` is `max`. None truncates longer texts.
        bucket_size: Maximum number of texts encoded in one call. A larger batch is sorted by length, which needs less padding.
        width: Width of a model trained from scratch.
        depth: Number of layers of a model trained from scratch.
        num_heads: Number of attention heads of a model trained from scratch.
        dropout: Dropout of a model trained from scratch.
        vocabulary_size: Maximum vocabulary size of a model trained from scratch.

    Raises:
        ValueError: If both `freeze` and `lora` are set, the overlap of windows does not fit `max_length`, or a size is out of
            range.
    """

    def __init__(
        self,
        pretrained: Source | None = None,
        freeze: bool = False,
        lora: LoRA | None = None,
        pooling: Pooling = "mean",
        max_length: int = 128,
        windows: Windows | None = None,
        bucket_size: int = 32,
        width: int = 128,
        depth: int = 2,
        num_heads: int = 4,
        dropout: float = 0.1,
        vocabulary_size: int = 8192,
    ) -> None:
        super().__init__()
        if freeze and lora is not None:
            raise ValueError("Expected either encoder.freeze or encoder.lora but both are set.")
        check_sizes(width, dropout, depth, num_heads)
        if max_length < MIN_LENGTH or bucket_size < 1:
            raise ValueError(
                f"Expected encoder.max_length of at least {MIN_LENGTH}, a token between the first and the last one, and "
                f"encoder.bucket_size of at least 1, but got {max_length} and {bucket_size}."
            )
        if windows is not None and not windows.overlap < max_length - 2:
            raise ValueError(f"Expected windows.overlap in [0, {max_length - 3}] but got {windows.overlap}.")
        self.source = pretrained
        self.freeze = freeze
        self.lora = lora
        self.pooling = pooling
        self.max_length = max_length
        self.windows = windows
        self.bucket_size = bucket_size
        self.width = width
        self.depth = depth
        self.num_heads = num_heads
        self.dropout = dropout
        self.vocabulary_size = vocabulary_size
        self.settings = self._flat_settings()

    def _flat_settings(self) -> dict[str, Any]:
        """Return the constructor arguments as primitives."""
        source = Source("") if self.source is None else self.source
        # flat, as in earlier versions: the hash of these settings is part of a teacher's identity
        return {
            "pretrained": None if self.source is None else source.name,
            "revision": source.revision,
            "allow_download": source.allow_download,
            "trust_remote_code": source.trust_remote_code,
            "freeze": self.freeze,
            "lora": None if self.lora is None else asdict(self.lora),
            "pooling": self.pooling,
            "max_length": self.max_length,
            "long_texts": "cut" if self.windows is None else "windows",
            "window_overlap": Windows().overlap if self.windows is None else self.windows.overlap,
            "bucket_size": self.bucket_size,
            "width": self.width,
            "depth": self.depth,
            "num_heads": self.num_heads,
            "dropout": self.dropout,
            "vocabulary_size": self.vocabulary_size,
        }

    @classmethod
    def from_settings(cls, settings: Mapping[str, Any]) -> Self:
        """Return an encoder with the given settings."""
        flat = dict(settings)
        name = flat.pop("pretrained")
        lora = flat.pop("lora")
        source = {option: flat.pop(option) for option in ("revision", "allow_download", "trust_remote_code")}
        long_texts = flat.pop("long_texts")
        overlap = flat.pop("window_overlap")
        return cls(
            pretrained=None if name is None else Source(name, **source),
            lora=None if lora is None else LoRA(**lora),
            windows=None if long_texts == "cut" else Windows(overlap),
            **flat,
        )

    @property
    def num_features(self) -> int:
        """Width D of the features, known after `build`."""
        config: Any = self.encoder.config
        return int(config.hidden_size)

    @property
    def reads(self) -> tuple[str, ...]:
        """Input of the encoder: text."""
        return ("text",)

    def check(self, split: Split) -> None:
        """Raise a ValueError if the split has no text."""
        if split.report is None:
            raise ValueError("Expected text, which the teacher reads, but the data have none.")

    def depth_of(self, name: str) -> int:
        """Return 0 for embeddings, 1 to L for the L layers, and L + 1 for what follows them."""
        layer = _LAYER.search(f".{name}")
        if layer is not None:
            return int(layer.group(1)) + 1
        if "embed" in name:
            return 0
        found = [int(match.group(1)) for key, _ in self.named_parameters() if (match := _LAYER.search(f".{key}"))]
        return max(found, default=-1) + 2

    def learn(self, train: Split) -> dict[str, Any]:
        """Return tokenizer and configuration, of the pretrained model or for a vocabulary of the training texts."""
        if train.report is None:
            raise ValueError("Expected text in the training split but it has none. Check the data module.")
        if self.source is not None:
            return self.source.read_inputs()
        texts = [text for text, has in zip(train.report, train.has_privileged, strict=True) if has]
        tokenizer = learn_word_tokenizer(texts, self.vocabulary_size)
        config = {
            "model_type": "bert",
            "vocab_size": tokenizer.get_vocab_size(),
            "hidden_size": self.width,
            "num_hidden_layers": self.depth,
            "num_attention_heads": self.num_heads,
            "intermediate_size": 2 * self.width,
            "max_position_embeddings": self.max_length,
            "hidden_dropout_prob": self.dropout,
            "attention_probs_dropout_prob": self.dropout,
            "pad_token_id": tokenizer.token_to_id("[PAD]"),
        }
        return {"tokenizer": tokenizer.to_str(), "config": json.dumps(config), "pad_token": "[PAD]"}

    def build(self, inputs: dict[str, Any]) -> None:
        """Create tokenizer and encoder."""
        from tokenizers import Tokenizer

        self.inputs = inputs
        if self.source is not None and self.source.trust_remote_code:
            self._adopt(self.source.build_untrained())
        else:
            self._adopt(build_from_config(inputs["config"]))
        longest = longest_input(self.encoder, self.max_length)
        if self.max_length > longest:
            raise ValueError(
                f"Expected max_length of at most {longest}, the limit of the encoder, but got {self.max_length}."
            )
        self.tokenizer = Tokenizer.from_str(inputs["tokenizer"])
        self.tokenizer.enable_truncation(self.max_length, stride=0 if self.windows is None else self.windows.overlap)
        self.tokenizer.no_padding()
        self.pad = int(self.tokenizer.token_to_id(inputs["pad_token"]) or 0)

    def load_pretrained(self) -> None:
        """Load the weights of the pretrained encoder.

        Raises:
            ValueError: If the files lack weights of the encoder, which would stay random.
        """
        if self.source is not None:
            self._adopt(self.source.load_weights())

    def _adopt(self, encoder: Any) -> None:
        # transformers keeps the data type that weights are stored in, and small updates would be lost in half precision
        encoder.float()
        if getattr(encoder, "pooler", None) is not None:
            encoder.pooler = None
        encoder.requires_grad_(not self.freeze)
        self.encoder = encoder if self.lora is None else self.lora.apply(encoder)

    def train(self, mode: bool = True) -> Self:
        """Set training mode. A frozen encoder stays in eval mode, without dropout."""
        super().train(mode)
        if self.freeze and hasattr(self, "encoder"):
            self.encoder.eval()
        return self

    def forward(self, privileged: Privileged) -> Tensor:
        """Encode B texts to features (B, D); an empty text is encoded as its special tokens."""
        texts = privileged["report"]
        tokens, owner = tokenize(self.tokenizer, texts, self.windows is not None)
        device = next(self.encoder.parameters()).device
        features = encode_in_buckets(self._encode, tokens, self.pad, self.bucket_size, device)  # (windows, D)
        if len(tokens) == len(texts):
            return features
        text = tensor_on(device, owner)  # (windows,)
        if self.pooling == "max":
            index = text[:, None].expand_as(features)
            lowest = features.new_full((len(texts), features.shape[1]), -torch.inf)
            return lowest.scatter_reduce(0, index, features, "amax")
        lengths = [float(len(ids)) if self.pooling == "mean" else 1.0 for ids in tokens]
        weight = tensor_on(device, lengths, features.dtype)
        total = features.new_zeros(len(texts), features.shape[1]).index_add(0, text, features * weight[:, None])
        return total / weight.new_zeros(len(texts)).index_add(0, text, weight)[:, None]

    def _encode(self, ids: Tensor, mask: Tensor) -> Tensor:
        """Return the pooled features (b, D) of tokens (b, L)."""
        hidden: Tensor = self.encoder(input_ids=ids, attention_mask=mask).last_hidden_state  # (b, L, D)
        if self.pooling == "cls":
            return hidden[:, 0]
        present = mask.unsqueeze(-1)  # (b, L, 1)
        if self.pooling == "max":
            return hidden.masked_fill(present == 0, -torch.inf).amax(dim=1)
        weight = present.to(hidden.dtype)
        return (hidden * weight).sum(dim=1) / weight.sum(dim=1).clamp(min=1)
