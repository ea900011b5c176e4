"""Signatures, compared with the examples of Amazon's own documentation."""

from datetime import UTC, datetime

import pytest

from mmm_repository.signing import Identity, Request, signed_headers

NOW = datetime(2013, 5, 24, tzinfo=UTC)
EXAMPLE = Identity("AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", None, "us-east-1")
HOST = "examplebucket.s3.amazonaws.com"


@pytest.mark.parametrize(
    ("request_", "signature"),
    [
        (
            Request("GET", HOST, "/test.txt", headers={"Range": "bytes=0-9"}),
            "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41",
        ),
        (
            Request("GET", HOST, "/", query={"lifecycle": ""}),
            "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543",
        ),
        (
            Request("GET", HOST, "/", query={"prefix": "J", "max-keys": "2"}),
            "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7",
        ),
    ],
)
def test_the_examples_of_the_documentation(request_: Request, signature: str) -> None:
    assert signed_headers(request_, EXAMPLE, NOW)["authorization"].endswith(f"Signature={signature}")


def test_a_session_token_is_signed_too() -> None:
    identity = Identity("AK", "secret", "token", "eu-central-1")
    headers = signed_headers(Request("PUT", "h:9000", "/b/ä b+c", body=b"x"), identity, NOW)
    assert headers["x-amz-security-token"] == "token"
    assert "x-amz-security-token" in headers["authorization"].split("SignedHeaders=")[1]


def test_what_is_signed_is_what_is_sent() -> None:
    assert Request("GET", "h", "/b/ä b+c=d", {"uploadId": "a/b=", "n": "1"}).target == (
        "/b/%C3%A4%20b%2Bc%3Dd?n=1&uploadId=a%2Fb%3D"
    )


def test_no_secret_is_shown() -> None:
    assert "secret" not in repr(Identity("AK", "secret", "secret-token", "r"))
