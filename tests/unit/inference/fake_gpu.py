"""A GPU and a TensorRT that are none: device memory is numpy's, and a plan is an ONNX graph that a CPU runs.

Only so much of either API as the node uses, and strict where the real ones crash or are silently wrong.
"""

import types

import numpy as np
import onnxruntime

from echo_node.inference.cuda import Buffer, Device


class FakeGpu:
    """Memory, copies and graphs, and what happened."""

    def __init__(self, **changes):
        facts = {
            "name": "Fake GPU",
            "compute": "9.0",
            "memory": 1 << 36,
            "driver": "13000 580.1",
            "runtime": "13000",
        }
        self.device = Device(**facts | changes)
        self.stream = 7
        self.memory, self.done, self.capturing = {}, [], False

    def buffer(self, size):
        device = np.full(size, 0xFF, np.uint8)
        self.memory[device.ctypes.data] = device
        return Buffer(address=device.ctypes.data, host=np.zeros(size, np.uint8))

    def upload(self, buffer):
        self.done.append(f"upload {len(buffer.host)}")
        self.memory[buffer.address][:] = buffer.host

    def download(self, buffer):
        buffer.host[:] = self.memory[buffer.address]

    def copy(self, source, target):
        self.memory[target.address][:] = self.memory[source.address]

    def synchronise(self):
        assert not self.capturing

    def capture(self, work):
        self.capturing = True
        work()
        self.capturing = False
        return work

    def launch(self, graph):
        self.done.append("launch")
        graph()


class FakeContext:
    def __init__(self, engine):
        self.engine, self.shapes, self.addresses, self.profile = engine, {}, {}, None

    def set_optimization_profile_async(self, index, stream):
        assert stream == self.engine.gpu.stream
        self.profile = index
        return True

    def set_input_shape(self, name, shape):
        assert self.profile is not None, "TensorRT wants the profile first"
        self.shapes[name] = shape
        return True

    def get_tensor_shape(self, name):
        inputs = {n: np.zeros(s, self.engine.dtypes[n]) for n, s in self.shapes.items()}
        return self.engine.outputs(inputs)[name].shape

    def set_tensor_address(self, name, address):
        self.addresses[name] = address
        return True

    def execute_async_v3(self, stream):
        gpu = self.engine.gpu
        assert stream == gpu.stream != 0, "never the default stream"
        if gpu.capturing:
            return True
        gpu.done.append(f"run {next(iter(self.shapes.values()))[0]}")
        inputs = {
            name: gpu.memory[self.addresses[name]].view(self.engine.dtypes[name]).reshape(shape)
            for name, shape in self.shapes.items()
        }
        for name, value in self.engine.outputs(inputs).items():
            gpu.memory[self.addresses[name]][:] = np.frombuffer(self.engine.spoil(value).tobytes(), np.uint8)
        return True


class FakeEngine:
    def __init__(self, gpu, plan, spoil):
        self.gpu, self.spoil = gpu, spoil
        self.session = onnxruntime.InferenceSession(plan, providers=["CPUExecutionProvider"])
        kinds = {"tensor(float)": np.float32, "tensor(int64)": np.int64, "tensor(uint8)": np.uint8}
        self.dtypes = {i.name: kinds[i.type] for i in self.session.get_inputs()}

    def outputs(self, inputs):
        names = [o.name for o in self.session.get_outputs()]
        return dict(zip(names, self.session.run(None, inputs), strict=True))

    def create_execution_context(self):
        return FakeContext(self)


def fake_tensorrt(gpu, *, spoil=lambda output: output):
    """A module whose plans are ONNX graphs; ``spoil`` makes it wrong."""

    class Logger:
        ERROR = WARNING = 0

        def __init__(self, level):
            pass

    class Runtime:
        engine_host_code_allowed = True

        def __init__(self, logger):
            pass

        def deserialize_cuda_engine(self, plan):
            assert self.engine_host_code_allowed is False, "a plan may not bring code for the host"
            return FakeEngine(gpu, plan, spoil)

    class Network:
        plan = None

    class Parser:
        num_errors = 0

        def __init__(self, network, logger):
            self.network = network

        def parse(self, content):
            self.network.plan = content
            return True

    class Builder:
        built = 0

        def __init__(self, logger):
            pass

        def create_network(self, flags):
            assert flags == 1, "strongly typed"
            return Network()

        def create_builder_config(self):
            return types.SimpleNamespace(clear_flag=lambda flag: None, add_optimization_profile=lambda p: None)

        def create_optimization_profile(self):
            return types.SimpleNamespace(set_shape=lambda *shapes: None)

        def build_serialized_network(self, network, settings):
            Builder.built += 1
            return network.plan

    return types.SimpleNamespace(
        __name__="tensorrt",
        __version__="11.0.0",
        Logger=Logger,
        Runtime=Runtime,
        OnnxParser=Parser,
        Builder=Builder,
        BuilderFlag=types.SimpleNamespace(TF32=1),
        NetworkDefinitionCreationFlag=types.SimpleNamespace(STRONGLY_TYPED=0),
    )
