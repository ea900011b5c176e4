"""The reference of the command line, from the commands themselves."""

import typer
from typer.cli import get_docs_for_click

from dev.generate.text import markdown_note
from mmm_cli.app import app

INTRODUCTION = """
`pip install multimodal-operator[cli]` brings `mmm`; under the name `kubectl-mmm` it is also `kubectl mmm`.

Results go to standard output, in columns, or as JSON or YAML with `-o`; progress and everything that went wrong goes to
standard error. Exit codes: 0 done, 1 failed, 2 wrong usage. A failure is one line: a reason, and what to do.

**A store is reached** with the options below or the usual variables: `AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY`,
`AWS_SESSION_TOKEN`, `AWS_ENDPOINT_URL_S3` or `AWS_ENDPOINT_URL`, `AWS_REGION`. A directory (`/mnt/models/clip` or
`file:///mnt/models/clip`) stands wherever a URI does.

**To publish needs** `s3:PutObject`, `s3:GetObject` and `s3:ListBucket` on the prefix. A publish that was interrupted
is run again with the same words, and sends what is missing. Of a large file that was cut in two, it sends the missing
parts where it may list them (`s3:ListBucketMultipartUploads`, `s3:ListMultipartUploadParts`, and
`s3:AbortMultipartUpload` to clean up) and the credentials are those of the variables above. Else that file is sent
again, and its old parts stay in the bucket unseen; a lifecycle rule with `AbortIncompleteMultipartUpload` removes them.

**A cluster is reached** by `mmm rollout` alone, as kubectl reaches it: `--kubeconfig`, `KUBECONFIG` or
`~/.kube/config`, with `--context` and `--namespace`; inside a pod, as its service account. It needs `get` on
MultimodalModels, and `patch` to change one. What it writes are fields of the spec that anybody can write: an object
that others changed meanwhile is read again, and what it is then decides.

**Completion:** `mmm --install-completion` (bash, zsh, fish, PowerShell). `kubectl mmm` completes by itself, as
`kubectl_complete-mmm` is installed beside it.
"""


def commands_reference() -> str:
    """`docs/cli.md`."""
    command = typer.main.get_command(app)
    context = typer.Context(command, info_name="mmm")
    pages = get_docs_for_click(obj=command, ctx=context, name="mmm", title="mmm, the command line")
    title, _, rest = pages.partition("\n")
    return f"{markdown_note('mmm_cli')}\n{title}\n{INTRODUCTION}{rest}".rstrip() + "\n"
