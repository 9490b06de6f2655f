"""What MindSpore and the compiled kernels can do here, as one line of JSON: `python -m src.doctor.probe`, a process of its own.

A framework that does not fit its machine may end the process instead of raising an error.
"""

import json

import numpy as np


def probe() -> dict[str, object]:
    """Version, devices, the product of two matrices on the best device, and the kernels of the CPU."""
    import mindspore

    from src.kernels import native
    from src.train import runtime

    devices = runtime.available_devices()
    mindspore.set_device(devices[0], 0)
    ones = mindspore.Tensor(np.ones((4, 4), np.float32))
    library = native.build()
    return {
        "version": mindspore.__version__,
        "devices": devices,
        "product": float((ones @ ones).asnumpy()[0, 0]),
        "library": library,
        "float32": native.has_float32(library),
        "lacks_bfloat16": native.lacks_bfloat16(library),
    }


if __name__ == "__main__":
    print(json.dumps(probe()), flush=True)
