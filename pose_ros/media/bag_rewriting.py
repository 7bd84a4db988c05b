"""Copy a rosbag2 with changed images. All other messages keep their bytes. The copy appears whole."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any

from pose_ros.files import atomic_folder
from pose_ros.media.image_types import COVERED_TYPES, may_show_people
from pose_ros.media.output_file import create_folder

_SAMPLE = 5
Edit = Callable[[str, Any], Any | None]
"""Changes the image of a topic. It returns the new message, or None for the same bytes. It raises ValueError if the
image must be left out."""


class BagRewriter:
    """Copy of a rosbag2 in which images are changed. Use it in a ``with``.

    Attributes:
        count: Number of messages of the bag.
        edited_topics: Topics whose images are changed.
    """

    def __init__(self, path: Path, keep: Collection[str] = (), drop: Collection[str] = ()) -> None:
        """Open the bag, and check that no topic can show people in another form than images.

        Args:
            path: Folder of the bag, or its storage file.
            keep: Topics that are copied as they are, whatever they show.
            drop: Topics that are left out.

        Raises:
            ValueError: If the bag cannot be read completely, a given topic does not exist, or a topic may show people
                and cannot be changed.
        """
        from rosbags.rosbag2 import Reader
        from rosbags.typesys import Stores, get_typestore

        self._path, self._store = path, get_typestore(Stores.LATEST)
        with self._explain_errors():
            self._reader: Any = Reader(path)
            self._reader.open()
        try:
            self.count = int(self._reader.message_count)
            self._connections = self._select_connections({*keep}, {*drop})
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> BagRewriter:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the bag."""
        self._reader.close()

    def _select_connections(self, keep: set[str], drop: set[str]) -> list[Any]:
        connections = list(self._reader.connections)
        topics = {each.topic for each in connections}
        keep, drop = ({f"/{topic.lstrip('/')}" for topic in group} for group in (keep, drop))
        if unknown := sorted((keep | drop) - topics):
            raise ValueError(f"topics: expected topics of bag {self._path}, got {', '.join(unknown)}")
        if both := sorted(keep & drop):
            raise ValueError(f"topics: expected each to be kept or dropped, got both for {', '.join(both)}")
        chosen = [each for each in connections if each.topic not in drop]
        edited = [each for each in chosen if each.topic not in keep and _is_covered(each)]
        self.edited_topics = sorted({each.topic for each in edited})
        others = [each for each in chosen if each.topic not in (*keep, *self.edited_topics)]
        if shown := sorted({f"{each.topic} ({each.msgtype})" for each in others if _may_show_people(each)}):
            raise ValueError(
                f"bag {self._path}: expected images whose heads can be covered, got topics that may show people in "
                f"another form: {', '.join(shown)}; leave them out with --drop-topics, or copy them as they are with "
                "--keep-topics"
            )
        return chosen

    def images(self, topic: str, most: int = _SAMPLE) -> Iterator[Any]:
        """Return the first images of a topic, to check that they can be changed. Damaged messages are left out."""
        with self._explain_errors():
            connections = [each for each in self._connections if each.topic == topic]
            for connection, _, data in islice(self._reader.messages(connections=connections), most):
                try:
                    message = self._deserialise(connection, data)
                except ValueError:
                    continue
                yield message

    def write(
        self, target: Path, edit: Edit, on_broken: Callable[[Exception], None], on_message: Callable[[], None]
    ) -> None:
        """Write the copy.

        Args:
            target: Folder of the copy. It must not exist.
            edit: Called with each image of ``edited_topics``.
            on_broken: Called for each image that is left out, with the reason. If it raises, there is no copy.
            on_message: Called after each message.

        Raises:
            FileExistsError: If the target exists.
            OSError: If the copy cannot be written completely.
            ValueError: If a part of the bag cannot be read.
        """
        check_new_folder(target)
        with atomic_folder(create_folder(target)) as copy:
            self._write_messages(copy, edit, on_broken, on_message)

    def _write_messages(
        self, copy: Path, edit: Edit, on_broken: Callable[[Exception], None], on_message: Callable[[], None]
    ) -> None:
        from rosbags.rosbag2 import StoragePlugin, Writer

        files = [self._path] if self._path.is_file() else list(self._path.iterdir())
        plugin = StoragePlugin.MCAP if any(".mcap" in file.name for file in files) else StoragePlugin.SQLITE3
        with Writer(copy, version=9, storage_plugin=plugin) as writer:
            places = {each.id: self._add_connection(writer, each) for each in self._connections}
            with self._explain_errors():
                for connection, received_ns, data in self._reader.messages(connections=self._connections):
                    content = bytes(data)
                    if connection.topic in self.edited_topics:
                        try:
                            content = self._edit(connection, content, edit)
                        except ValueError as error:
                            on_broken(ValueError(f"bag {self._path}, image of {connection.topic}: {error}"))
                            on_message()
                            continue
                    writer.write(places[connection.id], received_ns, content)
                    on_message()

    def _edit(self, connection: Any, data: bytes, edit: Edit) -> bytes:
        changed = edit(connection.topic, self._deserialise(connection, data))
        return data if changed is None else bytes(self._store.serialize_cdr(changed, connection.msgtype))

    def _deserialise(self, connection: Any, data: bytes) -> Any:
        try:
            return self._store.deserialize_cdr(data, connection.msgtype)
        except Exception as error:  # also errors of struct, NumPy and Unicode
            raise ValueError(f"expected a {connection.msgtype}, got {error!r}") from error

    def _add_connection(self, writer: Any, connection: Any) -> Any:
        definition, digest = connection.msgdef.data or None, connection.digest or None
        if connection.msgtype in self._store.types and not (definition and digest):
            definition, _ = self._store.generate_msgdef(connection.msgtype, ros_version=2)
            digest = self._store.hash_rihs01(connection.msgtype)
        if not definition:
            raise ValueError(
                f"bag {self._path}: expected the definition of {connection.msgtype} in the bag, got none; leave out "
                f"{connection.topic} with --drop-topics"
            )
        return writer.add_connection(
            connection.topic,
            connection.msgtype,
            msgdef=definition,
            rihs01=digest or "RIHS01_" + 64 * "0",
            serialization_format=connection.ext.serialization_format,
            offered_qos_profiles=connection.ext.offered_qos_profiles,
        )

    @contextmanager
    def _explain_errors(self) -> Iterator[None]:
        from rosbags.rosbag2 import ReaderError

        try:
            yield
        except ReaderError as error:
            raise ValueError(
                f"bag {self._path}: expected a complete rosbag2, got: {error}; repair it with ros2 bag reindex"
            ) from error


def check_new_folder(target: Path) -> None:
    """Raise FileExistsError if something exists at a path."""
    if target.exists() or target.is_symlink():
        raise FileExistsError(f"--output: expected a folder that does not exist yet, got {target}")


def _is_covered(connection: Any) -> bool:
    return connection.msgtype in COVERED_TYPES and connection.ext.serialization_format == "cdr"


def _may_show_people(connection: Any) -> bool:
    is_known_form = connection.ext.serialization_format == "cdr"
    return not is_known_form or may_show_people(connection.msgtype, connection.msgdef.data)
