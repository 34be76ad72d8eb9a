"""Settings from the environment; nothing else in the project reads it."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, FilePath, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from model.shipped import shipped

CommaSeparated = NoDecode
LOCK_NAME = "serve.lock"  # in the data folder of `glyphseek serve`


class Settings(BaseSettings):
    """What can be set, each by an environment variable GLYPHSEEK_<NAME>."""

    model_config = SettingsConfigDict(env_prefix="GLYPHSEEK_", extra="ignore", env_ignore_empty=True)

    data_dir: Path = Field(
        Path("var"), description="Embedded database, photos, index snapshot, converted networks."
    )
    database_url: str | None = Field(
        None, description="Postgres (>= 15) to use; without it `serve` starts its own in the data folder."
    )
    host: str = Field("127.0.0.1", description="Address to listen on.")
    port: int = Field(8000, ge=1, le=65535, description="Port to listen on.")
    allowed_hosts: Annotated[tuple[str, ...], CommaSeparated] = Field(
        ("localhost", "127.0.0.1", "::1"),
        description="Host names the service answers to, separated by commas; `*` for any.",
    )
    device: str = Field(
        "auto",
        pattern=r"^(auto|cpu|cpu-torch|cuda(:\d+)?)$",
        description="`auto`, `cpu` (OpenVINO), `cpu-torch`, `cuda` or `cuda:N`.",
    )
    threads: int | None = Field(
        None, ge=1, description="Processor threads of the worker; all cores by default."
    )
    checkpoint: FilePath | None = Field(
        None,
        description="Network: `accurate` (Latin, the default), `chinese` (Chinese and Latin), "
        "or a checkpoint file.",
    )
    longer_sides: Annotated[tuple[int, ...] | None, CommaSeparated] = Field(
        None,
        description="Sizes in pixels at which a photo is searched for words, separated by commas; the "
        "checkpoint's by default; `960,1280,1600` finds more and takes several times as long.",
    )
    detector_score: float | None = Field(
        None,
        ge=0,
        le=1,
        description="Detector score from which a region is read; the checkpoint's by default.",
    )
    max_files: int = Field(1000, ge=1, description="Most files in one upload, those in zips included.")
    max_request_bytes: int = Field(256 * 2**20, ge=1, description="Largest request body in bytes.")
    max_pixels: int = Field(64_000_000, ge=1, description="Largest photo, width x height in pixels.")
    max_uploads: int = Field(
        64, ge=1, description="Most uploads at the same time; further ones are sent away with 503."
    )
    fetch_urls: bool = Field(
        False, description="Whether `POST /images/urls` may fetch photos from the Internet."
    )
    batch_size: int = Field(16, ge=1, description="Most photos the worker takes at once.")
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field(
        "INFO", description="Least level that is logged."
    )

    @field_validator("allowed_hosts", "longer_sides", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        return (
            tuple(part.strip() for part in value.split(",") if part.strip())
            if isinstance(value, str)
            else value
        )

    @field_validator("allowed_hosts")
    @classmethod
    def _check_hosts(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for host in value:
            if "/" in host or "[" in host or host.count(":") == 1:
                raise ValueError(f"{host} must be a name or address alone, without http://, port or brackets")
        return value

    @field_validator("checkpoint", mode="before")
    @classmethod
    def _shipped(cls, value: object) -> object:
        return shipped().get(str(value), value)

    @field_validator("database_url")
    @classmethod
    def _check_database(cls, value: str | None) -> str | None:
        if value is not None:
            from indexer.database import database_url  # takes a while, and the client commands do not need it

            database_url(value)
        return value

    @field_validator("longer_sides")
    @classmethod
    def _check_sides(cls, value: tuple[int, ...] | None) -> tuple[int, ...] | None:
        if value is not None and (not value or not all(64 <= side <= 4096 for side in value)):
            raise ValueError("sizes must lie between 64 and 4096 pixels")
        return value

    def required_database_url(self) -> str:
        """Return the database to work on.

        Raises:
            ValueError: None is named.
        """
        if self.database_url is None:
            raise ValueError(
                "set GLYPHSEEK_DATABASE_URL, or start everything together with `glyphseek serve`"
            )
        return self.database_url

    @property
    def photos_dir(self) -> Path:
        """Folder of photos and thumbnails."""
        return self.data_dir / "photos"

    @property
    def snapshot(self) -> Path:
        """File of the saved index."""
        return self.data_dir / "index" / "snapshot.bin"

    def checkpoint_of(self, version: str) -> Path:
        """Copy of the checkpoint of a model version that has worked here."""
        return self.data_dir / "checkpoints" / f"{version}.safetensors"

    @property
    def networks_dir(self) -> Path:
        """Folder of networks converted for OpenVINO."""
        return self.data_dir / "networks"
