"""Annotation: a photo and the words in it to the place of each word."""

import time
from functools import partial
from typing import Any

from fastapi import APIRouter, Request

from app import single_photo, uploads
from app.deps import Service, ServiceDep
from app.problems import RequestError, documented
from app.schemas import AnnotateAnswer, AnnotatedWord
from model.annotation import Annotation, annotate

router = APIRouter(tags=["annotation"])

MAX_WORDS, MAX_WORD_CHARACTERS = 100, 200
_FORM = uploads.form_body(
    ["files", "words"],
    {
        "files": single_photo.PHOTO_FIELD,
        "words": {
            "type": "string",
            "description": f"The words in the photo, separated by spaces, {MAX_WORDS} at most; "
            "one that is there twice is named twice.",
            "example": "hotel coffee bar",
        },
    },
)


@router.post(
    "/annotate",
    response_model=AnnotateAnswer,
    responses=documented(400, 403, 408, 413, 415, 422, 503, 507),
    openapi_extra={"requestBody": _FORM},
)
async def annotate_photo(request: Request, service: ServiceDep) -> Any:
    """Find where given words are in a photo, which is not kept.

    Every word gets a region of its own, so that the sum of their similarities is largest; if there are fewer
    regions than words, some get none. One photo at a time: 503 while another one is at work.
    """
    async with single_photo.received(request, service) as form:
        words = _words(form)
        return await single_photo.run_alone(service, partial(_annotate, service, form, words))


def _words(form: uploads.Form) -> list[str]:
    words = form.fields.get("words", "").split()
    if not words:
        raise RequestError(422, "there are no words in the form field `words`; separate them by spaces")
    if len(words) > MAX_WORDS or max(map(len, words)) > MAX_WORD_CHARACTERS:
        raise RequestError(
            422, f"words: there may be {MAX_WORDS}, each of {MAX_WORD_CHARACTERS} characters at most"
        )
    return words


def _annotate(service: Service, form: uploads.Form, words: list[str]) -> AnnotateAnswer:
    started = time.perf_counter()
    try:
        service.encoder.encode_texts(words)
    except ValueError as exc:  # before the photo is looked at: it takes a thousandth of the time
        raise RequestError(422, f"words: {exc}") from exc
    pixels = single_photo.decode(service, form)
    decoded = time.perf_counter()
    found = annotate(service.encoder, pixels, words)
    ended = time.perf_counter()
    seconds = {"decode": decoded - started, "network": ended - decoded, "total": ended - started}
    return AnnotateAnswer(
        width=pixels.shape[1],
        height=pixels.shape[0],
        words=[_word(word, region) for word, region in zip(words, found, strict=True)],
        took_ms={step: round(1000 * value, 3) for step, value in seconds.items()},
    )


def _word(word: str, region: Annotation | None) -> AnnotatedWord:
    if region is None:
        return AnnotatedWord(word=word, box=None, quad=None, score=None, text=None)
    return AnnotatedWord(
        word=word,
        box=region.box.tolist(),
        quad=region.quad.tolist(),
        score=region.score,
        text=region.transcript,
    )
