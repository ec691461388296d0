import json
from pathlib import Path

import pytest
import torch
from tokenizers import Tokenizer
from transformers import AutoModel, BertConfig, BertModel, PreTrainedTokenizerFast

from mmpkd.teachers import TextEncoder
from mmpkd.teachers.vocabulary import learn_word_tokenizer
from tests.tiny import write_tiny

TEXTS = ["Bright left, dark right.", "bright right", "Dark LEFT"]


@pytest.fixture(scope="module")
def pretrained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny BERT as a Hugging Face folder."""
    folder = tmp_path_factory.mktemp("bert")
    tokenizer = learn_word_tokenizer(TEXTS, 50)
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=tokenizer.get_vocab_size(),
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=32,
    )
    BertModel(config, add_pooling_layer=False).save_pretrained(folder)
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token="[PAD]", unk_token="[UNK]")
    fast.save_pretrained(folder)
    return folder


def built(encoder: TextEncoder, root: Path) -> TextEncoder:
    encoder.build(encoder.learn(write_tiny(root, {"train": 16})["train"]))
    encoder.load_pretrained()
    return encoder.eval()


def test_vocabulary_is_the_same_whatever_the_order_of_the_texts() -> None:
    first, second = (learn_word_tokenizer(texts, 50) for texts in (TEXTS, TEXTS[::-1]))
    assert first.to_str() == second.to_str()
    assert Tokenizer.from_str(first.to_str()).encode("Bright unknown").tokens == ["[CLS]", "bright", "[UNK]", "[SEP]"]


def test_vocabulary_keeps_the_most_frequent_words() -> None:
    assert set(learn_word_tokenizer(["a a a b b c"], 6).get_vocab()) == {"[PAD]", "[UNK]", "[CLS]", "[SEP]", "a", "b"}


def test_vocabulary_is_fitted_on_training_reports_only(tmp_path: Path) -> None:
    encoder = built(TextEncoder(width=8, depth=1, num_heads=2, max_length=8), tmp_path)
    assert set(encoder.tokenizer.get_vocab()) == {"[PAD]", "[UNK]", "[CLS]", "[SEP]", "bright", "dark", "left", "right"}


def test_padding_does_not_change_the_features(tmp_path: Path) -> None:
    encoder = built(TextEncoder(width=8, depth=1, num_heads=2, max_length=16), tmp_path)
    alone = encoder({"report": ["bright left"]})
    together = encoder({"report": ["bright left", "dark left bright right dark right"]})
    torch.testing.assert_close(together[:1], alone, rtol=1e-5, atol=1e-6)


def test_an_empty_text_has_features_and_long_texts_are_cut(tmp_path: Path) -> None:
    encoder = built(TextEncoder(width=8, depth=1, num_heads=2, max_length=8), tmp_path)
    features = encoder({"report": ["", "bright " * 100]})
    assert features.shape == (2, 8)
    assert features.isfinite().all()


@pytest.mark.parametrize("pooling", ["mean", "cls"])
def test_pretrained_folder_gives_the_same_hidden_states(pooling: str, pretrained: Path, tmp_path: Path) -> None:
    encoder = built(TextEncoder(str(pretrained), pooling=pooling, max_length=16), tmp_path)  # type: ignore[arg-type]
    ids = encoder.tokenizer.encode("bright left").ids
    reference = AutoModel.from_pretrained(pretrained).eval()
    hidden = reference(torch.tensor([ids])).last_hidden_state
    expected = hidden[:, 0] if pooling == "cls" else hidden.mean(1)
    torch.testing.assert_close(encoder({"report": ["bright left"]}), expected, rtol=1e-5, atol=1e-6)


def test_pretrained_encoder_is_rebuilt_without_its_folder(pretrained: Path, tmp_path: Path) -> None:
    encoder = built(TextEncoder(str(pretrained), max_length=16), tmp_path)
    assert encoder.inputs is not None
    json.dumps(encoder.inputs)
    again = TextEncoder(**{**encoder.settings, "pretrained": "/nowhere"})
    again.build(encoder.inputs)
    again.load_state_dict(encoder.state_dict())
    report = {"report": ["dark left"]}
    torch.testing.assert_close(again.eval()(report), encoder(report), rtol=0, atol=0)


def test_missing_weights_are_an_error_not_a_random_encoder(pretrained: Path, tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    folder = tmp_path / "incomplete"
    folder.mkdir()
    for file in pretrained.iterdir():
        (folder / file.name).write_bytes(file.read_bytes())
    weights = load_file(folder / "model.safetensors")
    weights.pop("encoder.layer.1.attention.self.query.weight")
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ValueError, match="1 are missing"):
        built(TextEncoder(str(folder), max_length=16), tmp_path / "data")


def test_frozen_encoder_has_no_trainable_parameter(pretrained: Path, tmp_path: Path) -> None:
    encoder = built(TextEncoder(str(pretrained), freeze=True, max_length=16), tmp_path)
    assert not any(p.requires_grad for p in encoder.parameters())


def test_a_model_that_is_not_there_is_explained(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="Give a local folder"):
        built(TextEncoder("nobody/no-such-model"), tmp_path)


def test_more_tokens_than_the_encoder_has_positions_are_refused(pretrained: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="at most 32"):
        built(TextEncoder(str(pretrained), max_length=64), tmp_path)
