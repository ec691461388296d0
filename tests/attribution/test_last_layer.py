import pytest
import torch

from mmpkd.attribution import LastLayerAttention, attention_heads
from tests.attribution.models import LAYOUTS, build, image_for, start_of, unfused_attention


@pytest.mark.parametrize("layout", [name for name in LAYOUTS if name != "parallel_things"])
def test_each_head_is_the_materialised_attention_of_the_last_block(layout: str) -> None:
    model, image = build(layout), image_for(layout)
    last = unfused_attention(model, image)[-1]
    start = start_of(layout, model, image, last.shape[-1])
    expected = torch.einsum("bn,bhnm->bhm", start, last)[..., LAYOUTS[layout][3] :]
    heads = attention_heads(model, image)
    assert heads.shape[:2] == (2, 2)
    torch.testing.assert_close(heads.double().flatten(2), expected, atol=1e-5, rtol=0)
    torch.testing.assert_close(heads.mean(1), LastLayerAttention()(model, image), atol=1e-6, rtol=1e-5)


def test_heads_of_parallel_attentions_are_refused() -> None:
    with pytest.raises(RuntimeError, match="Use LastLayerAttention"):
        attention_heads(build("parallel_things"), image_for("parallel_things"))
