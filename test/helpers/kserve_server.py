"""A small server of the KServe v2 protocol with NVIDIA's extensions: it serves a repository with ONNX Runtime.

It stands in for a Triton server in tests. Messages and service are those of the client's own package.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from multiprocessing.shared_memory import SharedMemory
from pathlib import Path

import grpc
import numpy as np
import onnxruntime
from google.protobuf import text_format
from tritonclient.grpc import model_config_pb2, service_pb2, service_pb2_grpc
from tritonclient.utils import np_to_triton_dtype, triton_to_np_dtype


class KServeServer(service_pb2_grpc.GRPCInferenceServiceServicer):
    """Serve the models of a repository.

    Attributes:
        port: Port of the server.
        is_triton: Whether it answers requests for the configuration. Only Triton does.
        hold: Called before each answer of ModelInfer. It may wait.
        refuses_memory: Whether it cannot read the shared memory of this machine.
        shared_count: Number of images that came through shared memory.
        image_count: Number of all images.
    """

    def __init__(self, repository: Path, port: int = 0) -> None:
        self.is_triton, self.refuses_memory = True, False
        self.shared_count = self.image_count = 0
        self.hold = lambda: None
        self._regions: dict[str, str] = {}
        self.configs = {path.parent.name: _read_config(path) for path in repository.glob("*/config.pbtxt")}
        self.sessions = {
            name: onnxruntime.InferenceSession(
                repository / name / "1/model.onnx", providers=["CPUExecutionProvider"], sess_options=_one_thread()
            )
            for name in self.configs
        }
        self._server = grpc.server(ThreadPoolExecutor(4), options=[("grpc.so_reuseport", 0)])
        service_pb2_grpc.add_GRPCInferenceServiceServicer_to_server(self, self._server)
        self.port = self._server.add_insecure_port(f"127.0.0.1:{port}")
        self._server.start()

    def stop(self) -> None:
        self._server.stop(None).wait()

    def __enter__(self) -> KServeServer:
        return self

    def __exit__(self, *_) -> None:
        self.stop()

    def ServerMetadata(self, request, context):
        return service_pb2.ServerMetadataResponse(name="kserve", version="0")

    def ModelMetadata(self, request, context):
        config = self._find(request.name, context)
        tensor, batch = service_pb2.ModelMetadataResponse.TensorMetadata, [-1] if config.max_batch_size else []
        inputs, outputs = (
            [tensor(name=each.name, datatype=_datatype(each), shape=[*batch, *each.dims]) for each in tensors]
            for tensors in (config.input, config.output)
        )
        return service_pb2.ModelMetadataResponse(
            name=request.name, versions=["1"], platform=config.platform, inputs=inputs, outputs=outputs
        )

    def ModelConfig(self, request, context):
        if not self.is_triton:
            context.abort(grpc.StatusCode.UNIMPLEMENTED, "not implemented")
        return service_pb2.ModelConfigResponse(config=self._find(request.name, context))

    def SystemSharedMemoryRegister(self, request, context):
        if self.refuses_memory:
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, "unable to open shared memory region")
        self._regions[request.name] = request.key
        return service_pb2.SystemSharedMemoryRegisterResponse()

    def SystemSharedMemoryUnregister(self, request, context):
        self._regions.pop(request.name, None)
        return service_pb2.SystemSharedMemoryUnregisterResponse()

    def ModelInfer(self, request, context):
        config = self._find(request.model_name, context)
        contents, feeds = iter(request.raw_input_contents), {}
        for each in request.inputs:
            if "shared_memory_region" in each.parameters:
                content = self._read_region(each.parameters, context)
            else:
                content = next(contents)
            feeds[each.name] = np.frombuffer(content, triton_to_np_dtype(each.datatype)).reshape(each.shape)
        batch = len(next(iter(feeds.values())))
        if config.max_batch_size and batch > config.max_batch_size:
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, f"batch-size must be <= {config.max_batch_size}")
        self.image_count += batch
        names = [each.name for each in request.outputs]
        self.hold()
        arrays = self.sessions[request.model_name].run(names, feeds)
        tensor = service_pb2.ModelInferResponse.InferOutputTensor
        outputs = [
            tensor(name=name, datatype=np_to_triton_dtype(array.dtype), shape=array.shape)
            for name, array in zip(names, arrays, strict=True)
        ]
        return service_pb2.ModelInferResponse(
            model_name=request.model_name, outputs=outputs, raw_output_contents=[array.tobytes() for array in arrays]
        )

    def _find(self, name, context):
        if name not in self.configs:
            context.abort(grpc.StatusCode.NOT_FOUND, f"Request for unknown model: '{name}' is not found")
        return self.configs[name]

    def _read_region(self, parameters, context) -> bytes:
        name = parameters["shared_memory_region"].string_param
        if name not in self._regions:
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, f"Unable to find shared memory region: '{name}'")
        self.shared_count += 1
        memory = SharedMemory(self._regions[name].lstrip("/"))
        try:
            return bytes(memory.buf[: parameters["shared_memory_byte_size"].int64_param])
        finally:
            memory.close()


def _read_config(path: Path) -> model_config_pb2.ModelConfig:
    return text_format.Parse(path.read_text(encoding="ascii"), model_config_pb2.ModelConfig())


def _datatype(tensor: model_config_pb2.ModelInput) -> str:
    return model_config_pb2.DataType.Name(tensor.data_type).removeprefix("TYPE_")


def _one_thread() -> onnxruntime.SessionOptions:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return options
