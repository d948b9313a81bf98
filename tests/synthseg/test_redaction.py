from __future__ import annotations

import pickle

import pytest

from synthseg.errors import CorruptData, DiskFull, RunFailure, UsageProblem
from synthseg.redaction import redacted


@pytest.mark.parametrize(
    ("location", "told"),
    [
        ("s3://AKIA:hunter2@bucket/run", "s3://***@bucket/run"),
        ("s3:/AKIA:hunter2@bucket/run", "s3:/***@bucket/run"),
        ("s3://:hunter2@bucket", "s3://***@bucket"),
        ("s3://AKIA:hun/ter+2=@bucket/run", "s3://***@bucket/run"),
        ("s3://AKIA:hun@ter2@bucket/run", "s3://***@bucket/run"),
        ("s3://AKIA:hun%2Fter2@bucket/a@b", "s3://***@bucket/a@b"),
        ("https://hunter2@host/data", "https://***@host/data"),
        (
            "s3://bucket/run?region=eu&access_key=hunter2&secret_key=hunter2&scheme=http",
            "s3://bucket/run?region=eu&access_key=***&secret_key=***&scheme=http",
        ),
        ("s3://bucket?session_token=hunter2", "s3://bucket?session_token=***"),
        ("memory://b/run?token=hunter2#part", "memory://b/run?token=***#part"),
        (
            "abfs://data@account.dfs.core.windows.net/run?sv=1&sig=hunt%2Fer2&se=9",
            "abfs://data@account.dfs.core.windows.net/run?sv=1&sig=***&se=9",
        ),
        ("https://h/x?X-Amz-Credential=hunter2&X-Amz-Signature=hunter2", "https://h/x?X-Amz-Credential=***&X-Amz-Signature=***"),
        ("az://c/run?Account_Key=hunter2;SAS_TOKEN=hunter2", "az://c/run?Account_Key=***;SAS_TOKEN=***"),
    ],
)
def test_credentials_are_hidden_and_the_place_is_not(location: str, told: str) -> None:
    assert redacted(location) == told
    message = "evaluation.dataset: '{0}' cannot be read ({0}); mend \"{0}\" or {0}"
    assert redacted(message.format(location)) == message.format(told)


@pytest.mark.parametrize(
    "text",
    [
        "/home/me/runs/a:b@c?x=1",
        "out: 's3://bucket/run@2/x' holds no run",
        "http://127.0.0.1:8000/a@b did not answer",
        "http://[::1]:8000/v1",
        "gs://anonymous@bucket/run?endpoint_override=h:1&scheme=http&retry_limit_seconds=3",
        "hub://org/repo@main: nobody@example.org",
        "voc:/data/VOC2012",
        "prompts.key=value; signal=9",
        "",
    ],
)
def test_what_holds_none_stays(text: str) -> None:
    assert redacted(text) == text


@pytest.mark.parametrize("kind", [UsageProblem, RunFailure, DiskFull, CorruptData])
def test_no_error_of_ours_tells_them(kind: type[Exception]) -> None:
    error = kind("out: 's3://AKIA:hunter2@bucket' is away")
    assert str(error) == str(pickle.loads(pickle.dumps(error))) == "out: 's3://***@bucket' is away"
    assert "hunter2" not in repr(error)
