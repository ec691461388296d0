"""Encoder of text: a Hugging Face encoder, pretrained or from scratch with a vocabulary of its own."""

import json
import os
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from data_modules.batch import Privileged
from data_modules.split import Split
from mmpkd.teachers.base import PrivilegedEncoder
from mmpkd.teachers.vocabulary import learn_word_tokenizer

Pooling = Literal["mean", "cls"]


class TextEncoder(PrivilegedEncoder):
    """Tokens, a transformer encoder, and a pooled feature vector.

    Without `pretrained`, a BERT (Devlin et al. 2019, https://arxiv.org/abs/1810.04805) of the given size is trained
    from scratch on a word-level vocabulary of the training texts. With it, tokenizer, configuration and weights come
    from a Hugging Face model with a fast tokenizer. Remote code is never run. The tokenizer and the configuration are
    kept in the checkpoint, so that a teacher can be loaded on a machine without the model.

    Args:
        pretrained: Folder or hub id of a Hugging Face encoder, or None to train from scratch.
        revision: Commit of the hub model, recommended for hub ids.
        allow_download: Whether a hub id may be downloaded; otherwise it must be in the local cache.
        freeze: Train the classification head only.
        pooling: Mean over tokens, or the first token. The pooler of a BERT is never used: most checkpoints lack its
            weights.
        max_length: Longest input in tokens; longer texts are cut at the end.
        width: Width of the model that is trained from scratch.
        depth: Its layers.
        num_heads: Its attention heads.
        dropout: Its dropout.
        vocabulary_size: Largest vocabulary of the model that is trained from scratch.
    """

    def __init__(
        self,
        pretrained: str | None = None,
        revision: str | None = None,
        allow_download: bool = False,
        freeze: bool = False,
        pooling: Pooling = "mean",
        max_length: int = 128,
        width: int = 128,
        depth: int = 2,
        num_heads: int = 4,
        dropout: float = 0.1,
        vocabulary_size: int = 8192,
    ) -> None:
        super().__init__()
        self.settings = {
            "pretrained": pretrained,
            "revision": revision,
            "allow_download": allow_download,
            "freeze": freeze,
            "pooling": pooling,
            "max_length": max_length,
            "width": width,
            "depth": depth,
            "num_heads": num_heads,
            "dropout": dropout,
            "vocabulary_size": vocabulary_size,
        }
        self.pretrained, self.revision, self.allow_download = pretrained, revision, allow_download
        self.freeze, self.pooling, self.max_length = freeze, pooling, max_length
        self.width, self.depth, self.num_heads, self.dropout = width, depth, num_heads, dropout
        self.vocabulary_size = vocabulary_size

    @property
    def num_features(self) -> int:
        """Width D of the features; known once the encoder is built."""
        return int(self.encoder.config.hidden_size)

    def learn(self, train: Split) -> dict[str, Any]:
        """Fit a word vocabulary on the training texts, or read tokenizer and configuration of the pretrained model."""
        if train.report is None:
            raise ValueError("Expected text in the training split but it has none. Check the data module.")
        if self.pretrained is not None:
            return self._read_pretrained()
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

    def _read_pretrained(self) -> dict[str, Any]:
        from transformers import AutoConfig, AutoTokenizer

        with self._explained():
            tokenizer = AutoTokenizer.from_pretrained(self.pretrained, **self._source())
            config = AutoConfig.from_pretrained(self.pretrained, **self._source())
        if not getattr(tokenizer, "is_fast", False) or tokenizer.pad_token is None:
            raise ValueError(f"Expected a fast tokenizer with a padding token in '{self.pretrained}' but it has none.")
        return {
            "tokenizer": tokenizer.backend_tokenizer.to_str(),
            "config": config.to_json_string(use_diff=False),
            "pad_token": tokenizer.pad_token,
        }

    def build(self, inputs: dict[str, Any]) -> None:
        """Create tokenizer and encoder."""
        from tokenizers import Tokenizer
        from transformers import AutoConfig, AutoModel

        self.inputs = inputs
        config = json.loads(inputs["config"])
        self.encoder = AutoModel.from_config(AutoConfig.for_model(**config))
        self._drop_pooler()
        longest = config.get("max_position_embeddings", self.max_length)
        if self.max_length > longest:
            raise ValueError(
                f"Expected max_length of at most {longest}, as the encoder allows, but got {self.max_length}."
            )
        self.tokenizer = Tokenizer.from_str(inputs["tokenizer"])
        self.tokenizer.enable_truncation(self.max_length)
        pad = inputs["pad_token"]
        self.tokenizer.enable_padding(pad_id=self.tokenizer.token_to_id(pad), pad_token=pad)
        self.encoder.requires_grad_(not self.freeze)

    def load_pretrained(self) -> None:
        """Load the weights of the pretrained encoder.

        Raises:
            ValueError: If the files lack weights of the encoder, which would stay random otherwise.
        """
        from transformers import AutoModel

        if self.pretrained is None:
            return
        with self._explained():
            encoder, info = AutoModel.from_pretrained(self.pretrained, output_loading_info=True, **self._source())
        missing = sorted(key for key in info["missing_keys"] if "pooler" not in key)
        if missing:
            raise ValueError(
                f"Expected all weights of the encoder in '{self.pretrained}' but {len(missing)} are missing, "
                f"such as '{missing[0]}'. They would be random; use a complete checkpoint."
            )
        self.encoder = encoder
        self._drop_pooler()
        self.encoder.requires_grad_(not self.freeze)

    def forward(self, privileged: Privileged) -> Tensor:
        """Encode B texts to features (B, D); an empty text is encoded as its special tokens."""
        encodings = self.tokenizer.encode_batch(privileged["report"])
        device = next(self.encoder.parameters()).device
        ids = torch.tensor([e.ids for e in encodings], device=device)
        mask = torch.tensor([e.attention_mask for e in encodings], device=device)
        hidden: Tensor = self.encoder(input_ids=ids, attention_mask=mask).last_hidden_state
        if self.pooling == "cls":
            return hidden[:, 0]
        weight = mask.unsqueeze(-1).to(hidden.dtype)
        return (hidden * weight).sum(dim=1) / weight.sum(dim=1).clamp(min=1)

    def _drop_pooler(self) -> None:
        if getattr(self.encoder, "pooler", None) is not None:
            self.encoder.pooler = None

    def _source(self) -> dict[str, Any]:
        local = Path(str(self.pretrained)).is_dir()
        return {"revision": self.revision, "local_files_only": local or not self.allow_download}

    def _explained(self) -> "_Explained":
        return _Explained(str(self.pretrained))


class _Explained:
    """Turns a failed load of a Hugging Face model into an error that says what to do."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __enter__(self) -> None:
        os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        del trace
        if kind is not None and issubclass(kind, OSError):
            raise FileNotFoundError(
                f"Expected a Hugging Face encoder at '{self.name}' but it cannot be read ({error}). Give a "
                f"local folder with config.json, tokenizer.json and model.safetensors, or set encoder.allow_download."
            ) from error
