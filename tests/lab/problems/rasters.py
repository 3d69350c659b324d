"""Boxes with whole corners as sets of pixels: overlap by counting."""

import torch


def random_boxes(generator, *shape, size=12):
    """Boxes `(*shape, 4)` with an area, corners whole, inside a square of `size` pixels."""
    low = torch.randint(0, size - 1, (*shape, 2), generator=generator)
    high = low + 1 + (torch.rand(*shape, 2, generator=generator) * (size - low - 1)).long()
    return torch.cat((low, high), dim=-1).float()


def pixels(box):
    left, top, right, bottom = (int(side) for side in box)
    return {(x, y) for x in range(left, right) for y in range(top, bottom)}


def counted_overlap(box, other):
    one, two = pixels(box), pixels(other)
    return len(one & two) / len(one | two)


def around(box, other):
    """The smallest box around both."""
    low, high = torch.minimum(box, other)[:2], torch.maximum(box, other)[2:]
    return torch.cat((low, high))
