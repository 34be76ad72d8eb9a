"""RapidOCR, the tool that one would otherwise take; imports nothing of ours, to be measured alone."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from queue import SimpleQueue
from typing import Any

import numpy as np
import rapidocr
from numpy.typing import NDArray

Picture = NDArray[np.uint8]
System = Callable[[list[Picture]], list[Any]]


def reader(engine: str, threads: int) -> System:
    """Return what reads the lines of pictures, RGB, with RapidOCR."""
    parameters = {f"{part}.engine_type": rapidocr.EngineType(engine) for part in ("Det", "Cls", "Rec")}
    parameters |= {
        "Global.log_level": "error",
        "EngineConfig.onnxruntime.intra_op_num_threads": threads,
        "EngineConfig.openvino.inference_num_threads": threads,
    }
    reader = rapidocr.RapidOCR(params=parameters)

    def read(pictures: list[Picture]) -> list[list[str]]:
        return [list(reader(np.ascontiguousarray(picture[..., ::-1])).txts or ()) for picture in pictures]

    return read


def readers(engine: str, count: int) -> System:
    """Return what reads so many pictures at once, one thread each."""
    pool = ThreadPoolExecutor(count)
    idle: SimpleQueue[System] = SimpleQueue()
    for _ in range(count):
        idle.put(reader(engine, 1))

    def read_one(picture: Picture) -> list[str]:
        read = idle.get()
        try:
            (lines,) = read([picture])
        finally:
            idle.put(read)
        return list(lines)

    return lambda pictures: list(pool.map(read_one, pictures))
