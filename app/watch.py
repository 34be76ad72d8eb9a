"""Keeps the photos of a folder in the gallery; by looking again and again, which works on every file system.

Nothing is noted down on this side: the service knows photos by their digests, and each photo that is sent
says in its metadata which folder it is from.
"""

import socket
from dataclasses import dataclass, field
from pathlib import Path

from app.client import Client
from app.ingest import OnError, Progress, Report, files_below, ingest
from app.photos import Photo, printable
from indexer.errors import GlyphseekError

METADATA_KEY = "watched_folder"
_PAGE = 1000

# Size and time of the last change: as long as they stay, so does the content.
Stamp = tuple[int, int]


@dataclass
class Outcome:
    """What a look at the folder has led to.

    Attributes:
        sent: what became of new photos; `None` if there was nothing new.
        deleted: names of photos that left the gallery.
        problem: what cannot be read, or why nothing was deleted.
    """

    sent: Report | None = None
    deleted: list[str] = field(default_factory=list)
    problem: str | None = None


class Watcher:
    """One folder and the collection that its photos are kept in."""

    def __init__(self, client: Client, folder: Path, *, collection: str, delete: bool) -> None:
        """Prepare; nothing is read yet.

        Args:
            client: Of the service.
            folder: To look at, with all folders in it.
            collection: Where its photos go.
            delete: Whether photos that this folder had, and has no longer, leave the gallery too. Others of
                the collection stay.
        """
        self._client, self._folder = client, folder.resolve()
        self._collection, self._delete = collection, delete
        self._origin = printable(f"{socket.gethostname()}:{self._folder}")
        self._before: dict[Path, Stamp] = {}
        self._compared: dict[Path, Stamp] | None = None  # with the gallery, the last time
        self._photos: dict[Path, tuple[Stamp, Photo]] = {}
        self._settled: set[str] = set()  # digests that the service has, or has refused
        self._ours: dict[int, tuple[str, str]] = {}  # id -> digest and name of what came from this folder
        self._last_id = 0

    def look(self, progress: Progress) -> Outcome:
        """Send what is new in the folder, and delete what is gone from it.

        A file counts from the second look at which it is the same: until then it may still be written.
        After an error nothing is lost by looking again.

        Args:
            progress: As that of `ingest`.

        Raises:
            GlyphseekError: The folder is not there.
            ServiceError: The service refused something, or cannot be reached.
        """
        errors: list[OSError] = []
        stamps = self._scan(errors.append)
        before, self._before = self._before, stamps
        same = {path: stamp for path, stamp in stamps.items() if before.get(path) == stamp}
        for path in self._photos.keys() - same.keys():
            del self._photos[path]
        self._read(same, errors)
        outcome = Outcome(sent=self._send(progress))
        if errors:
            outcome.problem = f"{errors[0].filename} cannot be read: {errors[0].strerror}"
        # Only what has been gone for two looks, and only if everything else is known.
        elif self._delete and stamps == before and stamps != self._compared:
            self._delete_gone(outcome)
            self._compared = stamps
        return outcome

    def _scan(self, onerror: OnError) -> dict[Path, Stamp]:
        if not self._folder.is_dir():
            raise GlyphseekError(f"the folder {self._folder} is not there")
        stamps = {}
        for path in files_below(self._folder, onerror):
            try:
                status = path.stat()
                stamps[path] = (status.st_size, status.st_mtime_ns)
            except FileNotFoundError:
                pass
            except OSError as exc:
                onerror(exc)
        return stamps

    def _read(self, stamps: dict[Path, Stamp], errors: list[OSError]) -> None:
        """Take digests of files that are new or have changed."""
        for path, stamp in stamps.items():
            if path not in self._photos or self._photos[path][0] != stamp:
                photo = Photo(path.name, path)
                try:
                    photo.sha256()
                except OSError as exc:
                    errors.append(exc)
                    continue
                self._photos[path] = (stamp, photo)

    def _send(self, progress: Progress) -> Report | None:
        photos = [photo for _, photo in self._photos.values() if photo.sha256() not in self._settled]
        if not photos:
            return None
        metadata = {METADATA_KEY: self._origin}
        report = ingest(
            self._client, photos, collection=self._collection, progress=progress, metadata=metadata
        )
        self._settled.update(photo.sha256() for photo in photos if photo not in report.unread)
        return report

    def _delete_gone(self, outcome: Outcome) -> None:
        self._learn()
        here = {photo.sha256() for _, photo in self._photos.values()}
        gone = [image_id for image_id, (sha256, _) in self._ours.items() if sha256 not in here]
        if gone and not here:  # a drive that is not there often leaves an empty folder
            outcome.problem = "there is no photo left in the folder: none is deleted from the gallery"
            return
        for image_id in gone:
            self._client.delete_image(image_id)
            sha256, name = self._ours.pop(image_id)
            self._settled.discard(sha256)
            outcome.deleted.append(name)

    def _learn(self) -> None:
        """Ask for photos of this folder that have come into the gallery since the last time."""
        while True:
            page = self._client.images(collection=self._collection, cursor=self._last_id, limit=_PAGE)
            for image in page.items:
                self._last_id = image.id
                if image.metadata.get(METADATA_KEY) == self._origin:
                    self._ours[image.id] = (image.sha256, image.name)
            if page.next is None:
                return
