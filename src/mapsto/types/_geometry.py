"""Places in a plane, and how they move: one matrix an example for its pixels, masks, boxes and points.

Coordinates are in pixels from the upper left corner, x to the right and y down, so pixel (0, 0) covers the
square from 0 to 1 and has its centre at one half. A matrix (..., 2, 3) takes the place (x, y) to
M[:, :2] (x, y) + M[:, 2]. A picture is first placed into the square of one size that is stored
(`square_placement`), then moved by augmentation; a row's `Batch.geometry` is the product of the two.

Letters: B batch, C channels, H W image.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import affine_grid, grid_sample


def identity(size: int, device: torch.device | str = "cpu") -> Tensor:
    """(B, 2, 3)."""
    return torch.eye(2, 3, device=device).expand(size, 2, 3)


def shifted(right: Tensor, down: Tensor) -> Tensor:
    """(B,), (B,) in pixels -> (B, 2, 3)."""
    found = identity(len(right), right.device).clone()
    found[:, 0, 2], found[:, 1, 2] = right, down
    return found


def mirrored(width: float, those: Tensor) -> Tensor:
    """Left and right exchanged in those (B,) bool -> (B, 2, 3)."""
    found = identity(len(those), those.device).clone()
    found[:, 0, 0] = torch.where(those, -1.0, 1.0)
    found[:, 0, 2] = torch.where(those, float(width), 0.0)
    return found


def composed(second: Tensor, first: Tensor) -> Tensor:
    """(..., 2, 3) twice -> the matrix that moves by `first` and then by `second`."""
    linear = second[..., :2] @ first[..., :2]
    place = second[..., :2] @ first[..., 2:] + second[..., 2:]
    return torch.cat([linear, place], -1)


def inverse(matrix: Tensor) -> Tensor:
    """(..., 2, 3): the way back, as exact as float64 makes it."""
    linear = torch.linalg.inv(matrix[..., :2].double())
    return torch.cat([linear, -(linear @ matrix[..., 2:].double())], -1).to(matrix.dtype)


def move_points(points: Tensor, matrix: Tensor) -> Tensor:
    """(..., 2) by (..., 2, 3), one matrix a point or one for all -> (..., 2)."""
    return (matrix[..., :2] @ points[..., None])[..., 0] + matrix[..., 2]


def move_boxes(boxes: Tensor, matrix: Tensor) -> Tensor:
    """(..., 4), the corners left, top, right, bottom, by (..., 2, 3) -> (..., 4): the upright box around the
    moved one."""
    left, top, right, bottom = boxes.unbind(-1)
    corners = [(left, top), (right, top), (left, bottom), (right, bottom)]
    moved = torch.stack([move_points(torch.stack(corner, -1), matrix) for corner in corners], -2)
    return torch.cat([moved.amin(-2), moved.amax(-2)], -1)


def warp(
    values: Tensor, matrix: Tensor, size: tuple[int, int], nearest: bool = False, fill: float = 0.0
) -> Tensor:
    """(B, C, H, W) moved by (B, 2, 3) -> (B, C, *size) float32: bilinear as pixels are, or the nearest as
    classes of a mask must be. What comes into view is `fill`."""
    theta = theta_of(matrix, (values.shape[2], values.shape[3]), size)
    return sampled(values.float() - fill, theta.to(values.device), size, nearest) + fill


def sampled(values: Tensor, theta: Tensor, size: tuple[int, int], nearest: bool = False) -> Tensor:
    """(B, C, H, W) -> (B, C, *size): each place of the result is looked up where theta (B, 2, 3) says, in
    PyTorch's coordinates from -1 to 1; 0 beyond the border."""
    grid = affine_grid(theta, [len(values), values.shape[1], *size], align_corners=False)
    return grid_sample(values, grid, "nearest" if nearest else "bilinear", align_corners=False)


def theta_of(matrix: Tensor, before: tuple[int, int], after: tuple[int, int]) -> Tensor:
    """What `sampled` takes to move pictures of `before` (H, W) by (B, 2, 3) into ones of `after`: the way
    back from the result, between -1 and 1."""
    back = composed(inverse(matrix.double()), _pixels(after, matrix))
    return composed(inverse(_pixels(before, matrix)), back).float()


def matrix_of(theta: Tensor, size: tuple[int, int]) -> Tensor:
    """The inverse of `theta_of` for pictures that keep their size (H, W)."""
    pixels = _pixels(size, theta)
    return inverse(composed(composed(pixels, theta.double()), inverse(pixels))).float()


def _pixels(size: tuple[int, int], like: Tensor) -> Tensor:
    """(1, 2, 3) float64: PyTorch's coordinates from -1 to 1 -> pixels."""
    height, width = size
    half = [[width / 2, 0, width / 2], [0, height / 2, height / 2]]
    return torch.tensor([half], dtype=torch.float64, device=like.device)
