"""The calls into CUDA and TensorRT are those that both know; what they do is known only where a GPU is."""

import numpy as np
import pytest

from echo_node.errors import EngineError
from echo_node.inference import cuda
from echo_node.inference.cuda import Buffer, Cuda
from echo_node.inference.tensorrt_backend import tensorrt_module

without_gpu = pytest.mark.skipif(cuda.has_driver(), reason="a CUDA driver answers here")


@without_gpu
def test_no_driver_is_said_before_anything_is_loaded():
    with pytest.raises(EngineError, match="no CUDA driver answers on this machine"):
        Cuda()


@without_gpu
@pytest.mark.parametrize(
    ("call", "function"),
    [
        (lambda gpu: gpu._describe(), "cudaGetDeviceProperties"),
        (lambda gpu: gpu.buffer(16), "cudaHostAlloc"),
        (lambda gpu: gpu._do("cudaMalloc", 16), "cudaMalloc"),
        (lambda gpu: gpu._do("cudaStreamCreateWithFlags", gpu._cuda.cudaStreamNonBlocking), "cudaStreamCreate"),
        (lambda gpu: gpu.upload(Buffer(address=1, host=np.zeros(4, np.uint8))), "cudaMemcpyAsync"),
        (lambda gpu: gpu.download(Buffer(address=1, host=np.zeros(4, np.uint8))), "cudaMemcpyAsync"),
        (lambda gpu: gpu.synchronise(), "cudaStreamSynchronize"),
        (lambda gpu: gpu.capture(lambda: None), "cudaStreamBeginCapture"),
        (lambda gpu: gpu._do("cudaStreamEndCapture", gpu._stream), "cudaStreamEndCapture"),
        (lambda gpu: gpu._do("cudaGraphInstantiate", gpu._cuda.cudaGraph_t(0), 0), "cudaGraphInstantiate"),
        (lambda gpu: gpu.launch(gpu._cuda.cudaGraphExec_t(0)), "cudaGraphLaunch"),
    ],
)
def test_every_call_reaches_the_real_bindings_and_fails_by_its_name(call, function):
    from cuda.bindings import runtime

    gpu = Cuda.__new__(Cuda)
    gpu._cuda, gpu._stream = runtime, runtime.cudaStream_t(0)
    with pytest.raises(EngineError, match=f"CUDA: {function}.* failed: .*cudaErrorInsufficientDriver"):
        call(gpu)


def test_the_device_is_described_by_fields_that_are_there():
    from cuda.bindings import runtime

    properties = runtime.cudaDeviceProp()
    assert isinstance(properties.name, bytes)
    assert all(hasattr(properties, name) for name in ("major", "minor", "totalGlobalMem"))
    assert int(runtime.cudaStream_t(5)) == 5


def test_what_the_backend_asks_of_tensorrt_is_there():
    trt = tensorrt_module()
    wanted = {
        trt.Runtime: ("engine_host_code_allowed", "deserialize_cuda_engine"),
        trt.ICudaEngine: ("create_execution_context",),
        trt.IExecutionContext: (
            "set_optimization_profile_async",
            "set_input_shape",
            "get_tensor_shape",
            "set_tensor_address",
            "execute_async_v3",
        ),
    }
    assert not [(kind, name) for kind, names in wanted.items() for name in names if not hasattr(kind, name)]
