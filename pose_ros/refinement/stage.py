"""Refine the people of one camera: the stage of the pipeline, and the loading of its network."""

from __future__ import annotations

import time
from collections import defaultdict
from dataclasses import replace

import numpy as np

from pose_ros.arrays import FloatArray, Image, IndexArray, IntArray
from pose_ros.config import EstimatorConfig, RefinementConfig
from pose_ros.estimator import PoseEstimator
from pose_ros.people import People
from pose_ros.refinement.merging import merge_keypoints
from pose_ros.refinement.refiner import Refiner
from pose_ros.refinement.schedule import TimePerPerson, Turns
from pose_ros.runtime.runner import BuildProgress, Notify
from pose_ros.skeleton import Skeleton
from pose_ros.view_merging import drop_duplicates


def load_refiner(
    config: EstimatorConfig, skeleton: Skeleton, progress: BuildProgress | None = None, notify: Notify | None = None
) -> Refiner | None:
    """Load the network of ``config.refinement``. The crops of an image are one batch.

    Args:
        config: Settings of all stages. The runtime is that of the first network.
        skeleton: Keypoints of the people.
        progress: Called with the progress of an engine build, from other threads.
        notify: Called with one line of text for people, from other threads.

    Returns:
        The refiner. None if ``refinement.model`` is empty.

    Raises:
        FileNotFoundError: If the file does not exist.
        ImportError: If the selected runtime does not work on this machine.
        ValueError: If the model cannot be read, or is not for one person.
    """
    refinement = config.refinement
    if not refinement.model:
        return None
    runtime = replace(config.runtime, max_batch=refinement.most_people)
    try:
        estimator = PoseEstimator.load(
            refinement.model, config=EstimatorConfig(runtime=runtime), progress=progress, notify=notify
        )
    except FileNotFoundError as error:
        raise FileNotFoundError(f"refinement.model: {error}") from error
    except ValueError as error:
        raise ValueError(f"refinement.model: {error}") from error
    try:
        return Refiner(estimator, skeleton)
    except ValueError as error:
        estimator.close()
        raise ValueError(f"refinement.model: {error}") from error


class RefinementStage:
    """Refinement of the people of one camera. Not thread-safe: call it from one thread at a time.

    Several cameras may share a refiner.

    Attributes:
        config: Settings. They may be replaced between two images.
        view: Input size at which the people of the next image were found, by its index. ``config.period`` counts the
            images of each size on their own, because some people are found at one size only. None = always the same.
    """

    def __init__(self, refiner: Refiner, config: RefinementConfig) -> None:
        """Prepare the stage.

        Args:
            refiner: The second network.
            config: Settings.
        """
        self.config = config
        self.view: int | None = None
        self._refiner, self._sigmas = refiner, np.array(refiner.skeleton.sigmas)
        self._turns: defaultdict[int | None, Turns] = defaultdict(Turns)
        self._time = TimePerPerson()

    @classmethod
    def of_single_images(cls, refiner: Refiner, config: RefinementConfig) -> RefinementStage:
        """Make a stage for images that do not follow each other: each person is refined in each image."""
        return cls(refiner, replace(config, period=1))

    def refine(self, people: People, image: Image, colour: str = "bgr") -> People:
        """Refine the people of the next image.

        Args:
            people: People in pixels of the image.
            image: (H, W, 3) or grey (H, W) uint8.
            colour: Channel order of the image, ``"bgr"`` or ``"rgb"``.

        Returns:
            The people, sorted by score, the best first. ``refined`` marks those whose crop the second network has
            seen. Their score is the geometric mean of the person's score and the mean score of the keypoints, halved
            if the two networks do not agree at all. People who are the same are one.
        """
        people = drop_duplicates(people, self._refiner.skeleton)
        boxes = people.boxes()
        turns = self._turns[self.view]
        ages = turns.find_ages(boxes, self.config.period)
        chosen = self._choose(people, boxes, ages, image)
        refined = np.zeros(len(people), np.bool_)
        refined[chosen] = True
        turns.record(boxes, ages, refined)
        people = replace(people, refined=refined)
        if len(chosen) == 0:
            return people
        return drop_duplicates(self._merge(people, image, colour, chosen), self._refiner.skeleton)

    def _choose(self, people: People, boxes: FloatArray, ages: IntArray, image: Image) -> IndexArray:
        """Return the indices of the people to refine, the largest first."""
        config, (height, width) = self.config, image.shape[:2]
        sizes = (boxes[:, 2:] - boxes[:, :2]).max(axis=1)
        is_inside = (boxes[:, 2:] >= 0).all(axis=1) & (boxes[:, :2] < (width, height)).all(axis=1)
        is_wanted = people.visible.any(axis=1) & is_inside & (sizes >= config.min_person_px) & (ages >= config.period)
        order = np.argsort(-sizes, kind="stable")
        most = config.most_people
        if config.budget_ms > 0:
            most = min(most, self._time.count_within(config.budget_ms))
        return order[is_wanted[order]][:most]

    def _merge(self, people: People, image: Image, colour: str, chosen: IndexArray) -> People:
        start = time.perf_counter()
        new_keypoints, new_scores = self._refiner.estimate(image, people, chosen, colour, self.config.rotate)
        self._time.record(len(chosen), 1e3 * (time.perf_counter() - start))
        keypoints, scores, person_scores = people.keypoints.copy(), people.scores.copy(), people.person_scores.copy()
        keypoints[chosen], scores[chosen], agreement = merge_keypoints(
            people, chosen, new_keypoints, new_scores, self._sigmas
        )
        certainty = (1 + agreement) / 2
        person_scores[chosen] = certainty * np.sqrt(person_scores[chosen] * scores[chosen].mean(axis=1))
        return replace(people, keypoints=keypoints, scores=scores, person_scores=person_scores)
