"""Unions of the regions of an image, for attributions that are the same for all findings."""

from dataclasses import dataclass

import torch
from torch import Tensor

from mmpkd.callbacks.localization.pair_columns import Columns
from mmpkd.records.roi_table import ANY, STRATUM


@dataclass(frozen=True)
class Unions:
    """The U unions of a batch, and the masks to score: its R regions, and V unions of several regions.

    An image whose regions are all empty has no union. The union of a single region is that region, and is scored only once.

    Attributes:
        members: Bool (U, R), whether each region is part of each union; empty regions are part of none.
        mask: Bool (R + V, H, W), the regions, followed by the unions of several regions.
        image: Int64 (R + V,), image of each mask.
        place: Int64 (U,), index of each union's mask.
    """

    members: Tensor
    mask: Tensor
    image: Tensor
    place: Tensor

    def __len__(self) -> int:
        return len(self.members)


def unions_of(mask: Tensor, image: Tensor) -> Unions:
    """Return the union of the regions of each image, in the order of images.

    Args:
        mask: Bool (R, H, W).
        image: Int64 (R,), image of each region.
    """
    is_present = mask.flatten(1).any(1)
    images = torch.unique(image[is_present])
    members = (image == images[:, None]) & is_present
    is_joined = members.sum(1) > 1
    # unions of several regions follow the R regions in order; a single region keeps its own place
    place = torch.where(is_joined, len(mask) - 1 + is_joined.cumsum(0), members.int().argmax(1))
    # sum the masks of each image in one call instead of looping over images
    row = torch.searchsorted(images, image[is_present])
    count = torch.zeros(len(images), *mask.shape[1:], dtype=torch.int32, device=mask.device)
    count.index_add_(0, row, mask[is_present].int())
    return Unions(members, torch.cat((mask, count[is_joined] > 0)), torch.cat((image, images[is_joined])), place)


def union_columns(known: Columns, unions: Unions) -> Columns:
    """Return the columns of unions that do not depend on the attribution.

    Args:
        known: Columns of the R regions from `pair_columns`.
        unions: Unions of these regions.

    Returns:
        The same columns: the highest probability among the findings of an image, whether any of them is present, whether any was
        recognised (both NaN if that depends on an unknown label), and the total number of their regions.
    """
    first = unions.members.int().argmax(1).tolist()
    columns: Columns = {"finding": [ANY] * len(unions)}
    for name, values in known.items():
        if isinstance(values, Tensor):
            columns[name] = _REDUCE[name](values.to(unions.members.device), unions.members)
        elif name in ("sample_id", "patient_id") or name.startswith(STRATUM):
            columns[name] = [values[region] for region in first]
    return {name: columns[name] for name in known}


def _highest(values: Tensor, members: Tensor) -> Tensor:
    return values.expand(members.shape).masked_fill(~members, -torch.inf).amax(1)


def _any(values: Tensor, members: Tensor) -> Tensor:
    """Return 1 if any member is 1, otherwise NaN if any is unknown, otherwise 0."""
    is_one = (members & (values > 0.5)).any(1)
    is_unknown = (members & values.isnan()).any(1)
    return torch.where(is_one, 1.0, torch.where(is_unknown, torch.nan, 0.0))


def _sum(values: Tensor, members: Tensor) -> Tensor:
    return (values * members).sum(1)


_REDUCE = {"probability": _highest, "target": _any, "recognised": _any, "num_regions": _sum}
