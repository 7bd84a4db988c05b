"""What an engine depends on: it serves where all of this is the same, and nowhere else."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields

from pose_ros.runtime.model_checksum import sha256_of_json


@dataclass(frozen=True)
class EngineKey:
    """All that an engine depends on, as text.

    Attributes:
        model_sha256: Checksum of the model, as ``model_checksum`` makes it.
        tensorrt: Version of TensorRT, as it states it.
        gpu: Its kind: ``Gpu.model``.
        compute_capability: Of the GPU, such as ``"8.7"``.
        precision: Arithmetic that the engine was built for.
        shapes: Smallest, best and largest input, and the batch.
        options: Every other option of the builder.

    Raises:
        TypeError: If one of them is not text.
    """

    model_sha256: str
    tensorrt: str
    gpu: str
    compute_capability: str
    precision: str
    shapes: str
    options: str

    def __post_init__(self) -> None:
        for name, value in self.to_dict().items():
            if not isinstance(value, str):
                raise TypeError(f"EngineKey.{name}: expected text, got {type(value).__name__}")

    @property
    def digest(self) -> str:
        """SHA-256 of all fields with their names: two keys that differ anywhere have two of them."""
        return sha256_of_json(self.to_dict())

    @property
    def machine_digest(self) -> str:
        """SHA-256 of TensorRT and GPU alone: what timings of kernels depend on."""
        return sha256_of_json([self.tensorrt, self.gpu, self.compute_capability])

    def to_dict(self) -> dict[str, str]:
        """The fields by name."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: object) -> EngineKey:
        """The key of which ``to_dict`` gave this.

        Raises:
            ValueError: If a field is missing, or there are others.
            TypeError: If these are no fields, or one is not text.
        """
        if not isinstance(data, dict):
            raise TypeError(f"engine key: expected its fields, got {type(data).__name__}")
        names = [field.name for field in fields(cls)]
        if data.keys() != set(names):
            raise ValueError(f"engine key: expected {', '.join(names)}, got {', '.join(map(str, data)) or 'none'}")
        return cls(**data)

    def differences(self, this: EngineKey) -> list[str]:
        """What sets another key apart from this one, as in ``"tensorrt 10.0.1, this is 10.3.0"``."""
        ours = this.to_dict()
        return [
            f"{name} {_short(name, theirs)}, this is {_short(name, ours[name])}"
            for name, theirs in self.to_dict().items()
            if theirs != ours[name]
        ]


def printable(text: str, most: int = 200) -> str:
    """Text of a file that anyone may have written, fit for one line of a log or terminal."""
    return "".join(letter if letter.isprintable() else "?" for letter in text[:most])


def _short(name: str, value: str) -> str:
    return f"{printable(value, 12)}…" if name == "model_sha256" else printable(value) or "none"
