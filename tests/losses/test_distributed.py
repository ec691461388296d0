"""Two processes with half a batch each train what one process trains with the whole batch."""

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.multiprocessing.spawn import start_processes
from torch.nn.parallel import DistributedDataParallel
from torch.utils._pytree import tree_map

from mmpkd.commands.processes.run import PROGRAM
from mmpkd.losses import LossTerm, Objective
from mmpkd.losses.objective import Normaliser
from mmpkd.students.output import ModelOutput
from mmpkd.study.execution.forked import start_server
from tests.losses.test_all import LOSSES

B, K, D, E = 24, 5, 6, 4
NORMALISERS: tuple[Normaliser, ...] = ("covered", "batch")


class Student(nn.Module):
    """A linear student and every loss."""

    def __init__(self, normaliser: Normaliser) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.features, self.head = nn.Linear(7, D), nn.Linear(D, K)
        multi_label = [name for name in LOSSES if name != "softmax_kl"]
        self.objective = Objective(
            normaliser=normaliser, extra_losses={name: LossTerm(LOSSES[name](), 0.5) for name in multi_label}
        )
        self.objective.build(D, E)

    def forward(self, image: Tensor, label: Tensor, teacher: ModelOutput, available: Tensor) -> dict[str, Tensor]:
        features = self.features(image)
        output = ModelOutput(self.head(features), features)
        terms: dict[str, Tensor] = self.objective(output, output, label, teacher, available, 0.5)
        return terms


def batch() -> tuple[Tensor, Tensor, ModelOutput, Tensor]:
    g = torch.Generator().manual_seed(1)
    label = torch.randint(0, 2, (B, K), generator=g).float()
    label[::3, 0] = torch.nan
    label[: B // 2, 2] = torch.nan  # far more stated labels on one process than on the other
    available = torch.ones(B, dtype=torch.bool)
    available[torch.tensor([0, 1, 2, 3, 4, B - 1])] = False
    teacher = ModelOutput(torch.randn(B, K, generator=g), torch.randn(B, E, generator=g))
    return torch.randn(B, 7, generator=g), label, teacher, available


def part(value: Tensor, rank: int) -> Tensor:
    return value.chunk(2)[rank]


def work(rank: int, folder: str, device: str) -> None:
    torch.set_num_threads(1)
    torch.distributed.init_process_group("gloo", init_method=f"file://{folder}/store", rank=rank, world_size=2)
    image, label, teacher, available = (tree_map(lambda value: value.to(device), one) for one in batch())
    found = {}
    for normaliser in NORMALISERS:
        student = DistributedDataParallel(Student(normaliser).to(device))
        terms = student(
            part(image, rank), part(label, rank), ModelOutput(*(part(v, rank) for v in teacher)), part(available, rank)
        )
        terms["loss"].backward()
        values = {}
        for name, value in terms.items():
            mean = value.detach().clone()
            torch.distributed.all_reduce(mean)
            values[name] = (mean / 2).cpu()
        gradients = {name: p.grad.cpu() for name, p in student.module.named_parameters()}
        found[normaliser] = {"values": values, "gradients": gradients}
    torch.save(found, f"{folder}/rank{rank}.pt")
    torch.distributed.destroy_process_group()


def check_two_processes(folder: Path, device: str) -> None:
    """Compare two processes, both on one device, with one process on the CPU."""
    start_server(PROGRAM)
    start_processes(work, args=(str(folder), device), nprocs=2, start_method="forkserver")
    found = [torch.load(folder / f"rank{rank}.pt", weights_only=True) for rank in (0, 1)]
    for normaliser in NORMALISERS:
        single = Student(normaliser)
        terms = single(*batch())
        terms["loss"].backward()
        for saved in (own[normaliser] for own in found):
            assert set(saved["values"]) == set(terms)
            for name, value in terms.items():
                expected = value.detach()
                torch.testing.assert_close(saved["values"][name], expected, rtol=1e-5, atol=1e-6, msg=name)
            for name, parameter in single.named_parameters():
                torch.testing.assert_close(saved["gradients"][name], parameter.grad, rtol=1e-4, atol=1e-6, msg=name)


@pytest.mark.slow
def test_terms_and_gradients_of_two_processes_are_those_of_one(tmp_path: Path) -> None:
    check_two_processes(tmp_path, "cpu")
