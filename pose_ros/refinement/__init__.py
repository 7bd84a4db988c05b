"""Refine people with a second network that sees the crop of each person."""

from pose_ros.refinement.refiner import Refiner

__all__ = ["Refiner"]
