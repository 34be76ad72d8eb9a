"""What every error of the service has in common."""

import json
import re

from app.schemas import Health, Problem

# Folders of a machine, and what Python writes about an error.
SECRET = re.compile(rb"/(tmp|secret|home|work|usr|root|var|opt|etc)/|Traceback|site-packages")


def check_error(status: int, content_type: str, body: bytes) -> None:
    """An error is a problem document that says something, and nothing about the machine."""
    assert not SECRET.search(body), body
    if status == 503 and b'"checks"' in body:  # `/readyz`
        Health.model_validate_json(body)
        return
    assert content_type == "application/problem+json", body
    if not body:  # an answer to HEAD
        return
    problem = Problem.model_validate(json.loads(body))
    assert problem.status == status
    assert problem.type
    assert problem.title
    assert problem.detail
