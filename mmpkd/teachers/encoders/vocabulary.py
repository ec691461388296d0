"""A word-level tokenizer that is deterministic: the same texts always give the same vocabulary."""

from collections import Counter
from collections.abc import Sequence

from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

SPECIAL_TOKENS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]")


def learn_word_tokenizer(texts: Sequence[str], vocabulary_size: int) -> Tokenizer:
    """Return a lower-case word tokenizer for the most frequent words of the given texts.

    Words are counted here because the WordPiece trainer of the tokenizers library is not deterministic.

    Args:
        texts: Training texts.
        vocabulary_size: Maximum number of tokens, including the four special tokens.

    Returns:
        A tokenizer whose output is [CLS] words [SEP].

    Raises:
        ValueError: If the texts contain no words.
    """
    normalizer = normalizers.BertNormalizer(lowercase=True)
    splitter = pre_tokenizers.BertPreTokenizer()
    counts: Counter[str] = Counter()
    for text in texts:
        counts.update(word for word, _ in splitter.pre_tokenize_str(normalizer.normalize_str(text)))
    if not counts:
        raise ValueError(f"Expected words in the training texts but {len(texts)} texts have none.")
    # ties are broken alphabetically, so that the order of the texts does not matter
    words = sorted(counts, key=lambda word: (-counts[word], word))[: vocabulary_size - len(SPECIAL_TOKENS)]
    vocabulary = {token: i for i, token in enumerate((*SPECIAL_TOKENS, *words))}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    tokenizer.normalizer = normalizer
    tokenizer.pre_tokenizer = splitter
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        special_tokens=[("[CLS]", vocabulary["[CLS]"]), ("[SEP]", vocabulary["[SEP]"])],
    )
    return tokenizer
