from model.shipped import DEFAULT, shipped


def test_what_is_shipped_is_there_under_its_name() -> None:
    assert DEFAULT in shipped()
    for name, path in shipped().items():
        assert path.name == f"{name}.safetensors"
        assert path.stat().st_size < 40e6
