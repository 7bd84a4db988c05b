"""Test memory, streams and graphs on compiled stubs of the CUDA runtime, and on a GPU if there is one."""

from __future__ import annotations

import ctypes
import gc
import shutil
import sys
import threading
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from stub_cuda import BINDINGS, GPU, compile_stub, fake_bindings

from pose_ros.runtime.cuda.device import Cuda, CudaError
from pose_ros.runtime.cuda.driver import Gpu, find_gpu
from pose_ros.runtime.cuda.objects import CudaStream
from pose_ros.runtime.cuda.opening import open_cuda
from pose_ros.runtime.runner import Unavailable


@pytest.fixture(scope="session")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return compile_stub("runtime", tmp_path_factory.mktemp("runtime"))


@pytest.fixture
def stub(compiled: Path, tmp_path: Path) -> Path:
    """Copy of the library for one test, because all users of one file share its counters."""
    return Path(shutil.copy(compiled, tmp_path))


@pytest.fixture
def counters(stub: Path) -> ctypes.CDLL:
    return ctypes.CDLL(str(stub))


@pytest.fixture(params=["libcudart", "cuda-bindings"])
def library(request: pytest.FixtureRequest, stub: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Name of the library to open the stub with."""
    if request.param == "libcudart":
        return str(stub)
    monkeypatch.setitem(sys.modules, BINDINGS, fake_bindings(stub))
    return "cuda-bindings"


@pytest.fixture
def cuda(library: str) -> Iterator[Cuda]:
    with open_cuda(GPU, library) as opened:
        yield opened


@pytest.fixture(
    params=["stub", *(pytest.param(name, marks=pytest.mark.gpu) for name in ("cuda-bindings", "libcudart"))]
)
def any_cuda(request: pytest.FixtureRequest) -> Iterator[Cuda]:
    """Stub, and the GPU of this machine if it has one."""
    try:
        if request.param == "stub":
            opened = open_cuda(GPU, str(request.getfixturevalue("stub")))
        else:
            opened = open_cuda(find_gpu(), request.param)
    except Unavailable:
        pytest.skip(f"there is no GPU here that {request.param} works with")
    with opened:
        yield opened


def copy_round_trip(cuda: Cuda, sent: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Copy an array to the GPU and back, through page-locked memory."""
    stream, device, host = cuda.make_stream(), cuda.allocate(sent.nbytes), cuda.allocate_host(sent.nbytes)
    stream.upload(device, sent)
    stream.download(host.array, device)
    stream.synchronize()
    return host.array.view(sent.dtype).reshape(sent.shape)


@pytest.mark.parametrize(
    "sent",
    [np.arange(6, dtype=np.float32).reshape(2, 3), np.array([7], np.uint8), np.arange(1 << 20, dtype=np.int64)],
    ids=["floats", "one byte", "8 MB"],
)
def test_an_array_survives_the_round_trip(any_cuda: Cuda, sent: np.ndarray[Any, Any]) -> None:
    np.testing.assert_array_equal(copy_round_trip(any_cuda, sent), sent)


def test_both_libraries_copy_correctly(cuda: Cuda) -> None:
    sent = np.arange(100, dtype=np.float32)
    np.testing.assert_array_equal(copy_round_trip(cuda, sent), sent)


def test_part_of_a_buffer_can_be_downloaded(cuda: Cuda) -> None:
    fetched = np.zeros(4, np.uint8)
    stream, device = cuda.make_stream(), cuda.allocate(4)
    stream.upload(device, np.array([1, 2, 3, 4], np.uint8))
    stream.download(fetched, device, 2)
    stream.synchronize()
    assert fetched.tolist() == [1, 2, 0, 0]


def read_only(size: int) -> np.ndarray[Any, Any]:
    array = np.zeros(size, np.uint8)
    array.flags.writeable = False
    return array


@pytest.mark.parametrize(
    ("copy", "message"),
    [
        pytest.param(lambda s, d: s.upload(d, np.zeros(9, np.uint8)), "8 for the buffer, got 9", id="too much up"),
        pytest.param(lambda s, d: s.download(np.zeros(9, np.uint8), d), "8 for the buffer, got 9", id="too much down"),
        pytest.param(lambda s, d: s.download(np.zeros(4, np.uint8), d, 8), "4 bytes for the array", id="small array"),
        pytest.param(lambda s, d: s.download(np.zeros(4, np.uint8), d, -1), "got -1", id="negative"),
        pytest.param(lambda s, d: s.upload(d, np.zeros((2, 4), np.uint8)[:, ::2]), "contiguous", id="not contiguous"),
        pytest.param(lambda s, d: s.download(read_only(8), d), "writable array", id="read-only"),
    ],
)
def test_a_copy_that_does_not_fit_is_refused(cuda: Cuda, copy: Callable[[CudaStream, Any], None], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        copy(cuda.make_stream(), cuda.allocate(8))


def test_a_graph_uses_the_current_content_of_its_memory(any_cuda: Cuda) -> None:
    stream, device = any_cuda.make_stream(), any_cuda.allocate(4)
    sent, got = any_cuda.allocate_host(4), any_cuda.allocate_host(4)

    def work() -> None:
        stream.upload(device, sent.array)
        stream.download(got.array, device)

    got.array[:] = 0
    graph = stream.capture(work)
    assert not got.array.any(), "capture must not run the work"
    for value in (5, 6):
        sent.array[:] = value
        graph.launch(stream)
        stream.synchronize()
        assert got.array.tolist() == [value] * 4


def fail() -> None:
    raise KeyError("work")


@pytest.mark.parametrize("error", [KeyError, CudaError], ids=["an error of the work", "a wait"])
def test_a_stream_is_usable_after_a_failed_recording(any_cuda: Cuda, error: type[Exception]) -> None:
    stream = any_cuda.make_stream()
    with pytest.raises(error, match="work" if error is KeyError else "cudaStreamSynchronize"):
        stream.capture(fail if error is KeyError else stream.synchronize)
    stream.synchronize()
    stream.capture(lambda: None).launch(stream)
    stream.synchronize()


@pytest.mark.parametrize("waits", [False, True], ids=["an error of the work", "a wait"])
def test_a_failed_recording_leaves_no_objects(cuda: Cuda, counters: ctypes.CDLL, waits: bool) -> None:
    stream = cuda.make_stream()
    with pytest.raises(CudaError if waits else KeyError, match="cudaStreamSynchronize" if waits else "work"):
        stream.capture(stream.synchronize if waits else fail)
    assert (counters.stub_live(), counters.stub_faults(), counters.stub_last_error()) == (1, 0, 0)


def test_fifty_cycles_of_open_and_close_leave_no_objects(library: str, counters: ctypes.CDLL) -> None:
    for _ in range(50):
        with open_cuda(GPU, library) as cuda:
            stream, device, host = cuda.make_stream(), cuda.allocate(64), cuda.allocate_host(64)
            graph = stream.capture(partial(stream.upload, device, host.array))
            assert counters.stub_live() == 4
            for made in (graph, device, host, stream, stream, host, device, graph):
                made.close()
            del graph
            assert counters.stub_live() == 0
            cuda.close()
    assert counters.stub_faults() == 0


def test_closing_the_gpu_closes_its_objects(cuda: Cuda, counters: ctypes.CDLL) -> None:
    device, host, stream = cuda.allocate(8), cuda.allocate_host(8), cuda.make_stream()
    graph = stream.capture(partial(stream.upload, device, host.array))
    stream.download(host.array, device)  # in progress: the memory may be freed only after the copy
    cuda.close()
    assert (counters.stub_live(), counters.stub_faults()) == (0, 0)
    for made in (device, host, stream, graph, cuda):
        made.close()
    assert counters.stub_faults() == 0


def test_a_closed_gpu_creates_no_objects(cuda: Cuda) -> None:
    cuda.close()
    for make in (cuda.make_stream, partial(cuda.allocate, 8), partial(cuda.allocate_host, 8)):
        with pytest.raises(ValueError, match="cuda: expected an open GPU"):
            make()


@pytest.mark.parametrize("closed", ["Stream", "DeviceBuffer", "HostBuffer", "Graph"])
def test_closed_objects_cannot_be_used(cuda: Cuda, counters: ctypes.CDLL, closed: str) -> None:
    made: dict[str, Any] = {
        "Stream": (stream := cuda.make_stream()),
        "DeviceBuffer": (device := cuda.allocate(8)),
        "HostBuffer": (host := cuda.allocate_host(8)),
        "Graph": (graph := stream.capture(lambda: None)),
    }
    uses: dict[str, tuple[Callable[[], object], ...]] = {
        "Stream": (stream.synchronize, partial(stream.capture, fail), partial(graph.launch, stream)),
        "DeviceBuffer": (partial(stream.upload, device, np.zeros(8)), partial(stream.download, np.zeros(8), device)),
        "HostBuffer": (lambda: host.array,),
        "Graph": (partial(graph.launch, stream),),
    }
    made[closed].close()
    for use in uses[closed]:
        with pytest.raises(ValueError, match=f"{closed}: expected an open object, got a closed one"):
            use()
    assert counters.stub_faults() == 0


def test_unreferenced_objects_are_released(cuda: Cuda, counters: ctypes.CDLL) -> None:
    made: list[Any] = [cuda.make_stream(), cuda.allocate(8), cuda.allocate_host(8)]
    assert counters.stub_live() == len(made)
    made[0].upload(made[1], made[2].array)  # the stream is released first and waits for the copy
    for _ in range(3):
        del made[0]
        gc.collect()
    assert (counters.stub_live(), counters.stub_faults()) == (0, 0)


def test_an_array_keeps_closed_page_locked_memory_alive(cuda: Cuda, counters: ctypes.CDLL) -> None:
    host = cuda.allocate_host(8)
    view = host.array.view(np.float32)[1:]
    host.close()
    view[:] = 3.5
    assert view.tolist() == [3.5] and counters.stub_live() == 1
    del view
    gc.collect()
    assert (counters.stub_live(), counters.stub_faults()) == (0, 0)


@pytest.mark.parametrize(
    ("call", "use"),
    [
        ("cudaMalloc", lambda cuda: cuda.allocate(4096)),
        ("cudaHostAlloc", lambda cuda: cuda.allocate_host(4096)),
        ("cudaStreamCreateWithFlags", lambda cuda: cuda.make_stream()),
        ("cudaSetDevice", lambda cuda: cuda.make_stream()),
        ("cudaMemcpyAsync", lambda cuda: cuda.make_stream().upload(cuda.allocate(4), np.zeros(4, np.uint8))),
        ("cudaStreamSynchronize", lambda cuda: cuda.make_stream().synchronize()),
        ("cudaStreamBeginCapture", lambda cuda: cuda.make_stream().capture(lambda: None)),
        ("cudaStreamEndCapture", lambda cuda: cuda.make_stream().capture(lambda: None)),
        ("cudaGraphInstantiateWithFlags", lambda cuda: cuda.make_stream().capture(lambda: None)),
        ("cudaGraphLaunch", lambda cuda: (s := cuda.make_stream()).capture(lambda: None).launch(s)),
    ],
)
def test_error_names_the_failed_call_and_leaves_no_objects(
    cuda: Cuda, counters: ctypes.CDLL, monkeypatch: pytest.MonkeyPatch, call: str, use: Callable[[Cuda], object]
) -> None:
    monkeypatch.setenv("STUB_CUDA_FAIL", f"{call}:2")
    with pytest.raises(
        CudaError, match=rf"^cuda {call}\(.*\): .*cudaErrorMemoryAllocation \(2\); close other"
    ) as error:
        use(cuda)
    assert error.value.code == 2
    monkeypatch.delenv("STUB_CUDA_FAIL")
    del error
    gc.collect()
    cuda.close()
    assert (counters.stub_live(), counters.stub_faults(), counters.stub_last_error()) == (0, 0, 0)


@pytest.mark.parametrize("call", ["cudaFree", "cudaFreeHost", "cudaStreamDestroy", "cudaStreamSynchronize"])
def test_close_releases_everything_after_failed_work(
    cuda: Cuda, counters: ctypes.CDLL, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    made = [cuda.allocate(8), cuda.allocate_host(8), cuda.make_stream()]
    monkeypatch.setenv("STUB_CUDA_FAIL", f"{call}:700")
    cuda.close()
    assert made and (counters.stub_live(), counters.stub_faults(), counters.stub_last_error()) == (0, 0, 0)


@pytest.mark.parametrize("nbytes", [0, -1])
def test_an_empty_buffer_is_refused(cuda: Cuda, nbytes: int) -> None:
    for allocate in (cuda.allocate, cuda.allocate_host):
        with pytest.raises(ValueError, match=f"at least 1 byte, got {nbytes}"):
            allocate(nbytes)


def test_every_thread_uses_the_chosen_gpu(stub: Path, counters: ctypes.CDLL) -> None:
    second = Gpu(1, "Imaginary RTX", (8, 7), 64 << 30, (12, 6))
    with open_cuda(second, str(stub)) as cuda:
        assert counters.stub_device() == 1
        for use in (cuda.make_current, cuda.make_stream):
            counters.cudaSetDevice(0)
            thread = threading.Thread(target=use)
            thread.start()
            thread.join()
            assert counters.stub_device() == 1


def test_any_thread_can_read_the_used_memory(cuda: Cuda, counters: ctypes.CDLL) -> None:
    kept, results = [cuda.allocate(4096), cuda.allocate_host(64)], []
    thread = threading.Thread(target=lambda: results.append((cuda.memory_bytes(), counters.stub_device())))
    counters.cudaSetDevice(7)
    thread.start()
    thread.join()
    assert results == [((4096, 64 << 30), 0)]
    kept.clear()
    gc.collect()
    assert cuda.memory_bytes() == (0, 64 << 30)


def test_memory_is_none_if_the_call_fails(cuda: Cuda, counters: ctypes.CDLL, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STUB_CUDA_FAIL", "cudaMemGetInfo:700")
    assert cuda.memory_bytes() is None and counters.stub_last_error() == 0
    monkeypatch.delenv("STUB_CUDA_FAIL")
    cuda.close()
    assert cuda.memory_bytes() is None


def test_the_description_names_the_library(library: str, cuda: Cuda) -> None:
    assert cuda.description == f"CUDA 12.6 through {Path(library).name}"
