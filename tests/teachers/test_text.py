import json
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer
from transformers import AutoModel, BertConfig, BertModel, PreTrainedTokenizerFast, RobertaConfig, RobertaModel

from mmpkd.teachers import Source, Teacher, TextEncoder, Windows, load_teacher
from mmpkd.teachers.encoders.lora import LoRA
from mmpkd.teachers.encoders.vocabulary import learn_word_tokenizer
from mmpkd.teachers.encoders.windows import tokenize
from mmpkd.teachers.teacher import build_teacher
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
    encoder = built(TextEncoder(Source(str(pretrained)), pooling=pooling, max_length=16), tmp_path)  # type: ignore[arg-type]
    ids = encoder.tokenizer.encode("bright left").ids
    reference = AutoModel.from_pretrained(pretrained).eval()
    hidden = reference(torch.tensor([ids])).last_hidden_state
    expected = hidden[:, 0] if pooling == "cls" else hidden.mean(1)
    torch.testing.assert_close(encoder({"report": ["bright left"]}), expected, rtol=1e-5, atol=1e-6)


def test_pretrained_encoder_is_rebuilt_without_its_folder(pretrained: Path, tmp_path: Path) -> None:
    encoder = built(TextEncoder(Source(str(pretrained)), max_length=16), tmp_path)
    assert encoder.inputs is not None
    json.dumps(encoder.inputs)
    again = TextEncoder.from_settings({**encoder.settings, "pretrained": "/nowhere"})
    again.build(encoder.inputs)
    again.load_state_dict(encoder.state_dict())
    report = {"report": ["dark left"]}
    torch.testing.assert_close(again.eval()(report), encoder(report), rtol=0, atol=0)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("lora", [None, LoRA(rank=2)])
def test_weights_in_half_precision_are_trained_in_float32(
    dtype: torch.dtype, lora: LoRA | None, pretrained: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "half"
    shutil.copytree(pretrained, folder)
    source = BertModel.from_pretrained(pretrained, add_pooling_layer=False).to(dtype)
    source.save_pretrained(folder)
    encoder = built(TextEncoder(Source(str(folder)), lora=lora, max_length=16), tmp_path)
    assert {p.dtype for p in encoder.parameters()} == {torch.float32}
    stored = source.encoder.layer[1].output.dense.weight.float()
    assert any(torch.equal(p, stored) for p in encoder.parameters())
    teacher = Teacher(encoder, 2)
    again = build_teacher(json.loads(json.dumps(teacher.manifest(("A", "B")))))
    assert {p.dtype for p in again.parameters()} == {torch.float32}
    # a small step of bf16-mixed training, which half precision would round away
    trained = [p for p in teacher.parameters() if p.requires_grad]
    before = [p.detach().clone() for p in trained]
    with torch.autocast("cpu", torch.bfloat16):
        loss = teacher({"report": TEXTS}).logits.square().mean()
    loss.backward()
    torch.optim.SGD(trained, lr=1e-5).step()
    for value, p in zip(before, trained, strict=True):
        assert p.grad is not None
        torch.testing.assert_close(p.detach(), value - 1e-5 * p.grad, rtol=1e-6, atol=1e-12)


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
        built(TextEncoder(Source(str(folder)), max_length=16), tmp_path / "data")


def test_frozen_encoder_has_no_trainable_parameter(pretrained: Path, tmp_path: Path) -> None:
    encoder = built(TextEncoder(Source(str(pretrained)), freeze=True, max_length=16), tmp_path)
    assert not any(p.requires_grad for p in encoder.parameters())


def test_a_model_that_is_not_there_is_explained(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="use a local folder"):
        built(TextEncoder(Source("nobody/no-such-model")), tmp_path)


def test_more_tokens_than_the_encoder_has_positions_are_refused(pretrained: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="at most 32"):
        built(TextEncoder(Source(str(pretrained)), max_length=64), tmp_path)


def test_settings_are_those_of_earlier_checkpoints_and_make_the_same_encoder_again() -> None:
    encoder = TextEncoder(Source("name", "commit", True), lora=LoRA(rank=2), max_length=64, windows=Windows(8))
    assert encoder.settings == {
        "pretrained": "name",
        "revision": "commit",
        "allow_download": True,
        "trust_remote_code": False,
        "freeze": False,
        "lora": {"rank": 2, "alpha": 16.0, "dropout": 0.0, "target_modules": None},
        "pooling": "mean",
        "max_length": 64,
        "long_texts": "windows",
        "window_overlap": 8,
        "bucket_size": 32,
        "width": 128,
        "depth": 2,
        "num_heads": 4,
        "dropout": 0.1,
        "vocabulary_size": 8192,
    }
    scratch = TextEncoder()
    assert {name: scratch.settings[name] for name in ("pretrained", "long_texts", "window_overlap")} == {
        "pretrained": None,
        "long_texts": "cut",
        "window_overlap": 32,
    }
    for made in (encoder, scratch):
        again = TextEncoder.from_settings(made.settings)
        assert (again.settings, again.source, again.windows) == (made.settings, made.source, made.windows)


@pytest.mark.parametrize("overlap", [-1, 6])
def test_windows_that_overlap_by_no_number_of_their_tokens_are_refused(overlap: int) -> None:
    with pytest.raises(ValueError, match=r"Expected windows\.overlap"):
        TextEncoder(max_length=8, windows=Windows(overlap))


def test_windows_cover_a_long_text_to_its_end(pretrained: Path, tmp_path: Path) -> None:
    options = {"pretrained": Source(str(pretrained)), "max_length": 8}
    cut = built(TextEncoder(**options), tmp_path)  # type: ignore[arg-type]
    windows = built(TextEncoder(**options, windows=Windows(overlap=2)), tmp_path)  # type: ignore[arg-type]
    long = "bright left dark right bright left dark right bright"
    other = long + " dark dark"
    torch.testing.assert_close(cut({"report": [long]}), cut({"report": [other]}))
    first, second = windows({"report": [long, "left"]}), windows({"report": [other, "left"]})
    assert not torch.allclose(first[0], second[0])
    torch.testing.assert_close(first[1], cut({"report": ["left"]})[0])
    # by hand: windows of six words with [CLS] and [SEP], two words shared
    words = long.split()
    parts = [words[0:6], words[4:9]]
    features = torch.cat([cut({"report": [" ".join(part)]}) for part in parts])
    weight = torch.tensor([[len(part) + 2.0] for part in parts])
    torch.testing.assert_close(first[0], (features * weight).sum(0) / weight.sum())


class LosesWindows:
    """A tokenizer of a release that keeps the first windows only: when it truncates while it reads, or in the end."""

    def __init__(self, tokenizer: Tokenizer, in_the_end: bool) -> None:
        self.tokenizer, self.in_the_end = tokenizer, in_the_end

    def __getattr__(self, name: str) -> Any:
        return getattr(self.tokenizer, name)

    def encode_batch(self, texts: list[str], **options: Any) -> list[Any]:
        whole = self.tokenizer.encode_batch(texts, **options)
        return whole if self.tokenizer.truncation is None else [self.first(encoding) for encoding in whole]

    def post_process(self, encoding: Any) -> Any:
        whole = self.tokenizer.post_process(encoding)
        return self.first(whole) if self.in_the_end else whole

    def first(self, encoding: Any) -> Any:
        return SimpleNamespace(ids=encoding.ids, special_tokens_mask=encoding.special_tokens_mask, overflowing=[])


WORDS = [f"word{i}" for i in range(60)]
TEXT_OF_WORDS = st.lists(st.sampled_from(WORDS), max_size=60).map(" ".join)


@given(texts=st.lists(TEXT_OF_WORDS, min_size=1, max_size=3), size=st.integers(4, 20), data=st.data())
@settings(max_examples=40)
def test_windows_are_those_of_the_locked_release_whatever_the_release(
    texts: list[str], size: int, data: st.DataObject
) -> None:
    tokenizer = learn_word_tokenizer([" ".join(WORDS)], 100)
    overlap = data.draw(st.integers(0, size - 3))
    tokenizer.enable_truncation(size, stride=overlap)
    limits = tokenizer.truncation
    expected = [[part.ids for part in (e, *e.overflowing)] for e in tokenizer.encode_batch(texts)]
    owners = [position for position, parts in enumerate(expected) for _ in parts]
    releases: list[Any] = [tokenizer, LosesWindows(tokenizer, in_the_end=False)]
    for release in releases:
        tokens, owner = tokenize(release, texts, True)
        assert tokens == [ids for parts in expected for ids in parts]
        assert owner == owners
        assert tokenizer.truncation == limits
    # each word is in a window, in order
    for position, text in enumerate(texts):
        own = [ids[1:-1] for ids, of in zip(tokens, owner, strict=True) if of == position]
        joined = own[0] + [i for ids in own[1:] for i in ids[overlap:]]
        assert joined == [tokenizer.token_to_id(word) for word in text.split()]
    assert tokenize(tokenizer, texts, False)[0] == [parts[0] for parts in expected]


def test_windows_that_lose_a_part_of_a_text_are_refused() -> None:
    tokenizer = learn_word_tokenizer([" ".join(WORDS)], 100)
    tokenizer.enable_truncation(16, stride=4)
    limits = tokenizer.truncation
    broken: Any = LosesWindows(tokenizer, in_the_end=True)
    with pytest.raises(
        ValueError, match=r"all 60 tokens of a text but 1 windows contain 14 of them, in tokenizers .* Install"
    ):
        tokenize(broken, [" ".join(WORDS)], True)
    assert tokenizer.truncation == limits
    assert tokenize(broken, ["word1 word2", ""], True)[1] == [0, 1]


@pytest.mark.parametrize("pooling", ["mean", "cls", "max"])
def test_buckets_do_not_change_the_features(pooling: str, pretrained: Path, tmp_path: Path) -> None:
    texts = ["left", "bright left dark right " * 4, "", "bright right", "dark " * 20]
    found = []
    for size in (2, 64):
        options: dict[str, Any] = {"pooling": pooling, "max_length": 16, "bucket_size": size}
        encoder = TextEncoder(Source(str(pretrained)), windows=Windows(overlap=4), **options)
        found.append(built(encoder, tmp_path)({"report": texts}))
    torch.testing.assert_close(*found, rtol=1e-5, atol=1e-6)


def test_low_rank_changes_are_all_that_is_trained_and_come_back(pretrained: Path, tmp_path: Path) -> None:
    encoder = built(TextEncoder(Source(str(pretrained)), lora=LoRA(rank=2), max_length=16), tmp_path)
    trained = {name for name, p in encoder.named_parameters() if p.requires_grad}
    assert trained
    assert all("lora_" in name for name in trained)
    plain = built(TextEncoder(Source(str(pretrained)), max_length=16), tmp_path)
    torch.testing.assert_close(encoder({"report": TEXTS}), plain({"report": TEXTS}))
    with torch.no_grad():
        for name, p in encoder.named_parameters():
            if "lora_B" in name:
                p.add_(0.1)
    assert not torch.allclose(encoder({"report": TEXTS}), plain({"report": TEXTS}))
    assert encoder.inputs is not None
    again = build_teacher(json.loads(json.dumps(Teacher(encoder, 2).manifest(("A", "B")))))
    again.encoder.load_state_dict(encoder.state_dict())
    torch.testing.assert_close(again.eval().encoder({"report": TEXTS}), encoder({"report": TEXTS}))
    with pytest.raises(ValueError, match="either"):
        TextEncoder(Source(str(pretrained)), freeze=True, lora=LoRA())


def test_depth_counts_embeddings_layers_and_what_follows(pretrained: Path, tmp_path: Path) -> None:
    encoder = built(TextEncoder(Source(str(pretrained)), max_length=16), tmp_path)
    depth = {name: encoder.depth_of(name) for name, _ in encoder.named_parameters()}
    assert {value for name, value in depth.items() if "embeddings" in name} == {0}
    assert {value for name, value in depth.items() if ".layer.0." in name} == {1}
    assert {value for name, value in depth.items() if ".layer.1." in name} == {2}


REMOTE = """
from transformers import BertConfig, BertModel
class OwnConfig(BertConfig):
    model_type = "own_bert"
class OwnModel(BertModel):
    config_class = OwnConfig
"""


def test_code_of_a_model_runs_only_if_asked_for_and_with_a_warning(
    pretrained: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = tmp_path / "own"
    shutil.copytree(pretrained, folder)
    (folder / "own.py").write_text(REMOTE)
    config = json.loads((folder / "config.json").read_text())
    auto = {"AutoConfig": "own.OwnConfig", "AutoModel": "own.OwnModel"}
    (folder / "config.json").write_text(json.dumps({**config, "model_type": "own_bert", "auto_map": auto}))
    with pytest.raises(ValueError, match=r"trust_remote_code and revision of encoder\.pretrained"):
        built(TextEncoder(Source(str(folder)), max_length=16), tmp_path)
    with caplog.at_level("WARNING", "mmpkd"):
        trusted = built(TextEncoder(Source(str(folder), trust_remote_code=True), max_length=16), tmp_path)
    assert "runs in this process" in caplog.text
    assert type(trusted.encoder).__name__ == "OwnModel"
    plain = built(TextEncoder(Source(str(pretrained)), max_length=16), tmp_path)
    torch.testing.assert_close(trusted({"report": TEXTS}), plain({"report": TEXTS}))
    teacher = Teacher(trusted, 2)
    checkpoint = tmp_path / "teacher.ckpt"
    state = {f"teacher.{key}": value for key, value in teacher.state_dict().items()}
    torch.save({"teacher": teacher.manifest(("a", "b")), "state_dict": state}, checkpoint)
    with pytest.raises(ValueError, match="Expected a teacher without remote code"):
        load_teacher(checkpoint)
    loaded = load_teacher(checkpoint, trust_remote_code=True)
    torch.testing.assert_close(loaded({"report": TEXTS}).features, trusted({"report": TEXTS}))


def test_encoders_of_robertas_kind_take_fewer_tokens_than_they_have_positions(tmp_path: Path) -> None:
    folder = tmp_path / "roberta"
    tokenizer = learn_word_tokenizer(TEXTS, 50)
    config = RobertaConfig(
        vocab_size=tokenizer.get_vocab_size(),
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=16,
        max_position_embeddings=20,
        pad_token_id=1,
    )
    RobertaModel(config, add_pooling_layer=False).save_pretrained(folder)
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token="[PAD]", unk_token="[UNK]").save_pretrained(folder)
    with pytest.raises(ValueError, match="at most 18"):
        built(TextEncoder(Source(str(folder)), max_length=19), tmp_path)
    encoder = built(TextEncoder(Source(str(folder)), max_length=18), tmp_path)
    assert encoder({"report": ["bright left " * 30]}).isfinite().all()


def test_a_frozen_encoder_has_no_dropout_in_training(pretrained: Path, tmp_path: Path) -> None:
    encoder = built(TextEncoder(Source(str(pretrained)), max_length=16, freeze=True), tmp_path).train()
    torch.testing.assert_close(encoder({"report": TEXTS}), encoder({"report": TEXTS}))
    assert encoder.training
    trained = built(TextEncoder(Source(str(pretrained)), max_length=16), tmp_path).train()
    assert not torch.allclose(trained({"report": TEXTS}), trained({"report": TEXTS}))
