"""Define the key of an engine: an engine is used only if its whole key matches."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields

from pose_ros.runtime.model_checksum import sha256_of_json
from pose_ros.texts import printable


@dataclass(frozen=True)
class EngineKey:
    """Everything that an engine depends on, as text.

    Attributes:
        model_sha256: Checksum of the model, from ``model_checksum``.
        tensorrt: Version of TensorRT.
        gpu: GPU model, from ``Gpu.model``.
        compute_capability: Compute capability of the GPU, such as ``"8.7"``.
        precision: Precision of the engine.
        shapes: Smallest, best and largest input shapes, including the batch.
        options: All other options of the builder.

    Raises:
        TypeError: If an attribute is not text.
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
        """SHA-256 of all fields with their names. Different keys have different digests."""
        return sha256_of_json(self.to_dict())

    @property
    def machine_digest(self) -> str:
        """SHA-256 of TensorRT and GPU only. Kernel timings depend on these."""
        return sha256_of_json([self.tensorrt, self.gpu, self.compute_capability])

    def to_dict(self) -> dict[str, str]:
        """Return the fields by name."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: object) -> EngineKey:
        """Make a key from the result of ``to_dict``.

        Raises:
            ValueError: If a field is missing or unknown.
            TypeError: If the data are not a dict, or a field is not text.
        """
        if not isinstance(data, dict):
            raise TypeError(f"engine key: expected a dict of its fields, got {type(data).__name__}")
        names = [field.name for field in fields(cls)]
        if data.keys() != set(names):
            raise ValueError(f"engine key: expected {', '.join(names)}, got {', '.join(map(str, data)) or 'none'}")
        return cls(**data)

    def differences(self, current: EngineKey) -> list[str]:
        """List the fields that differ from the current key, such as ``"tensorrt 10.0.1, this is 10.3.0"``."""
        fields_now = current.to_dict()
        return [
            f"{name} {_shorten(name, value)}, this is {_shorten(name, fields_now[name])}"
            for name, value in self.to_dict().items()
            if value != fields_now[name]
        ]


def _shorten(name: str, value: str) -> str:
    return f"{printable(value[:12])}…" if name == "model_sha256" else printable(value) or "none"
