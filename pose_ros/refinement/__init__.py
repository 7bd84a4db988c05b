"""Refine people with a second network that sees the crop of each person."""

from pose_ros.refinement.crops import LEAST_SIDE_PX, MARGIN
from pose_ros.refinement.refiner import Refiner

__all__ = ["LEAST_SIDE_PX", "MARGIN", "Refiner"]
