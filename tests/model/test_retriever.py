import json

from model.retriever import Retriever, RetrieverConfig


def test_configuration_survives_json() -> None:
    config = RetrieverConfig(characters="äb")
    assert RetrieverConfig.from_dict(json.loads(json.dumps(config.to_dict()))) == config


def test_accurate_is_small_enough_to_ship() -> None:
    parameters = sum(p.numel() for p in Retriever(RetrieverConfig(characters="x" * 400)).parameters())
    assert parameters * 2 < 40e6  # bytes in half precision
