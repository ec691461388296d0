"""Loading tokenizer, configuration and weights of a Hugging Face encoder."""

import json
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import nn

logger = logging.getLogger("mmpkd")


@dataclass(frozen=True)
class Source:
    """Where a Hugging Face encoder comes from.

    Attributes:
        name: Local folder, or id on the Hugging Face hub.
        revision: Commit of the model on the hub; pinning it is recommended.
        allow_download: Whether the model may be downloaded; otherwise it must be in the local cache.
        trust_remote_code: Run Python code that comes with the model. Off by default, because anyone can upload code to the hub.
    """

    name: str
    revision: str | None = None
    allow_download: bool = False
    trust_remote_code: bool = False

    def read_inputs(self) -> dict[str, Any]:
        """Return tokenizer and configuration as JSON text.

        Raises:
            FileNotFoundError: If the model cannot be read.
            ValueError: If there is no fast tokenizer with a padding token.
        """
        from transformers import AutoConfig, AutoTokenizer

        if self.trust_remote_code:
            logger.warning(
                "trust_remote_code: Python code from '%s' runs in this process, now and whenever the teacher is loaded. Read "
                "it first, and pin a revision.",
                self.name,
            )
        with self._explained():
            tokenizer = AutoTokenizer.from_pretrained(self.name, **self._options())
            config = AutoConfig.from_pretrained(self.name, **self._options())
        if not getattr(tokenizer, "is_fast", False) or tokenizer.pad_token is None:
            raise ValueError(f"Expected a fast tokenizer with a padding token in '{self.name}' but it has none.")
        return {
            "tokenizer": tokenizer.backend_tokenizer.to_str(),
            "config": config.to_json_string(use_diff=False),
            "pad_token": tokenizer.pad_token,
        }

    def build_untrained(self) -> nn.Module:
        """Build the encoder with the model's own code and random weights."""
        from transformers import AutoConfig, AutoModel

        with self._explained():
            config = AutoConfig.from_pretrained(self.name, **self._options())
            encoder: nn.Module = AutoModel.from_config(config, trust_remote_code=self.trust_remote_code)
        return encoder

    def load_weights(self) -> nn.Module:
        """Return the pretrained encoder.

        Raises:
            FileNotFoundError: If the model cannot be read.
            ValueError: If the files lack weights of the encoder, which would stay random.
        """
        from transformers import AutoModel

        with self._explained():
            encoder, info = AutoModel.from_pretrained(self.name, output_loading_info=True, **self._options())
        missing = sorted(key for key in info["missing_keys"] if "pooler" not in key)
        if missing:
            raise ValueError(
                f"Expected all weights of the encoder in '{self.name}' but {len(missing)} are missing, "
                f"such as '{missing[0]}'. They would stay random; use a complete checkpoint."
            )
        loaded: nn.Module = encoder
        return loaded

    def _options(self) -> dict[str, Any]:
        local = Path(self.name).is_dir()
        return {
            "revision": self.revision,
            "local_files_only": local or not self.allow_download,
            "trust_remote_code": self.trust_remote_code,
        }

    @contextmanager
    def _explained(self) -> Iterator[None]:
        """Turn loading errors into errors that say what to do."""
        os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
        try:
            yield
        except OSError as error:
            download = "check the network" if self.allow_download else "set encoder.pretrained.allow_download"
            raise FileNotFoundError(
                f"Expected a Hugging Face encoder at '{self.name}' but it cannot be read ({' '.join(str(error).split())}). Copy "
                "the cache from a machine with internet (HF_HOME), use a local folder with config.json, a tokenizer and the "
                f"weights, or {download}."
            ) from error
        except ValueError as error:
            if "trust_remote_code" not in str(error):
                raise
            raise ValueError(
                f"Expected a model of the transformers library but '{self.name}' comes with Python code of its own. Read the "
                "code, then set trust_remote_code and revision of encoder.pretrained; or choose another model."
            ) from error


def build_from_config(config: str) -> nn.Module:
    """Build an encoder of the transformers library with random weights.

    Args:
        config: The configuration as JSON.
    """
    from transformers import AutoConfig, AutoModel

    encoder: nn.Module = AutoModel.from_config(AutoConfig.for_model(**json.loads(config)))
    return encoder


def longest_input(encoder: nn.Module, otherwise: int) -> int:
    """Return the maximum number of tokens of an encoder, or `otherwise` if it has no limit.

    RoBERTa-like encoders number positions from `padding_idx + 1`, so they take fewer tokens than they have positions.
    """
    for name, module in encoder.named_modules():
        if name.split(".")[-1] == "position_embeddings" and isinstance(module, nn.Embedding):
            reserved = 0 if module.padding_idx is None else module.padding_idx + 1
            return module.num_embeddings - reserved
    limit = getattr(getattr(encoder, "config", None), "max_position_embeddings", None)
    return otherwise if limit is None else int(limit)
