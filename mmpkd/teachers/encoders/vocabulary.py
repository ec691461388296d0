"""A word-level tokenizer that is the same in every run on the same texts."""

from collections import Counter
from collections.abc import Sequence

from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

SPECIAL_TOKENS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]")


def learn_word_tokenizer(texts: Sequence[str], vocabulary_size: int) -> Tokenizer:
    """Make a lower-case word tokenizer with the most frequent words of the given texts.

    The vocabulary is counted here, because the WordPiece trainer of the tokenizers library is not deterministic.

    Args:
        texts: Training texts.
        vocabulary_size: Largest number of tokens, the four special ones included.

    Returns:
        A tokenizer that writes [CLS] words [SEP].

    Raises:
        ValueError: If there is no word in the texts.
    """
    normalizer = normalizers.BertNormalizer(lowercase=True)
    splitter = pre_tokenizers.BertPreTokenizer()
    counts: Counter[str] = Counter()
    for text in texts:
        counts.update(word for word, _ in splitter.pre_tokenize_str(normalizer.normalize_str(text)))
    if not counts:
        raise ValueError(f"Expected words in the training texts but {len(texts)} texts have none.")
    # ties are broken by the word, so that the order of the texts does not matter
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
