"""The mean of two models' weights, of which the later one may be deeper."""

import torch

from benchmarks.mean import mean

NEW = [1]


def later():
    return {
        "encoder.blocks.0.mlp.2.weight": torch.full((2,), 4.0),
        "encoder.blocks.1.mlp.0.weight": torch.full((2,), 5.0),
        "encoder.blocks.1.mlp.2.weight": torch.full((2,), 6.0),
        "encoder.blocks.2.mlp.2.weight": torch.full((2,), 8.0),
        "view.weight": torch.full((2,), 10.0),
        "walls.norm.num_batches_tracked": torch.tensor(7.0),
    }


def earlier():
    return {
        "encoder.blocks.0.mlp.2.weight": torch.full((2,), 0.0),
        "encoder.blocks.1.mlp.2.weight": torch.full((2,), 2.0),
        "view.weight": torch.full((2,), 2.0),
        "walls.norm.num_batches_tracked": torch.tensor(3.0),
    }


def test_blocks_meet_those_that_they_came_from_and_new_ones_add_their_share():
    found = mean(earlier(), later(), share=0.25, new=NEW)
    assert {name: float(value.flatten()[0]) for name, value in found.items()} == {
        "encoder.blocks.0.mlp.2.weight": 1.0,
        "encoder.blocks.1.mlp.0.weight": 5.0,  # within the new block
        "encoder.blocks.1.mlp.2.weight": 1.5,  # what it adds
        "encoder.blocks.2.mlp.2.weight": 3.5,  # was the earlier one's block 1
        "view.weight": 4.0,
        "walls.norm.num_batches_tracked": 7.0,
    }
    assert found["walls.norm.num_batches_tracked"].dtype is torch.int64


def test_a_share_of_one_is_the_later_model():
    found = mean(earlier(), later(), share=1.0, new=NEW)
    assert all(torch.equal(found[name], value) for name, value in later().items())
