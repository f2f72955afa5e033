"""Commit files as GitHub's robot and push them to a branch; or tag a released version.

It needs nothing but Python and git, as it runs in the jobs that may write to the repository.
"""

import argparse
import os
import re
from collections.abc import Sequence
from pathlib import Path

from components import cli
from components.errors import UserError
from tools.commands import output, run, succeeds

ROBOT = "41898282+github-actions[bot]@users.noreply.github.com"
AS_ROBOT = {
    **{"GIT_AUTHOR_NAME": "github-actions[bot]", "GIT_AUTHOR_EMAIL": ROBOT},
    **{"GIT_COMMITTER_NAME": "github-actions[bot]", "GIT_COMMITTER_EMAIL": ROBOT},
}


def record(files: Sequence[str], branch: str, message: str) -> None:
    """Commit the files that changed, if any, and push to a branch; print the commit.

    Raises:
        UserError: git failed, or the branch has a change that conflicts.
    """
    if files:
        run("git", "add", "--", *files)
    if not succeeds("git", "diff", "--cached", "--quiet"):
        run("git", "commit", "--quiet", "--message", message, **AS_ROBOT)
    log_in()
    if succeeds("git", "fetch", "--quiet", "origin", branch):
        try:
            run("git", "rebase", "--quiet", "FETCH_HEAD", **AS_ROBOT)
        except UserError:
            run("git", "rebase", "--abort")
            raise
    run("git", "push", "--quiet", "origin", f"HEAD:refs/heads/{branch}")
    line = f"commit={output('git', 'rev-parse', 'HEAD').strip()}"
    print(line)
    if path := os.environ.get("GITHUB_OUTPUT"):
        with Path(path).open("a") as file:
            file.write(f"{line}\n")


def publish(notes: Path, branch: str, candidate: str) -> None:
    """Tag the commit of the promoted version with its notes and push this commit to a branch.

    ``candidate`` is the branch that held the commit until now; it is deleted at the end.
    """
    version, commit = released(notes.read_text())
    tag = f"model-v{version}"
    log_in()
    if commit is None:
        print(f"{tag}: no commit has its files, so there is no tag")
    elif output("git", "ls-remote", "--tags", "origin", tag):
        print(f"{tag} exists already")
    else:
        flags = ("--force", "--annotate", "--cleanup=verbatim", "--file", str(notes))
        run("git", "tag", *flags, tag, commit, **AS_ROBOT)
        run("git", "push", "--quiet", "origin", tag)
        print(f"{tag} is {commit}")
    record([], branch, "")
    if candidate:
        run("git", "push", "--quiet", "origin", "--delete", candidate)


def released(notes: str) -> tuple[str, str | None]:
    """Return the version and the commit that release notes name.

    Raises:
        UserError: the first line names no version.
    """
    version = re.search(r" version (\S+)$", notes.partition("\n")[0])
    if version is None:
        raise UserError("the release notes name no version in their first line")
    commit = re.search(r"^    git checkout (\S+)$", notes, re.MULTILINE)
    return version[1], commit and commit[1]


def log_in() -> None:
    if os.environ.get("GH_TOKEN"):
        run("gh", "auth", "setup-git")


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tools.record", description=__doc__)
    parser.add_argument("files", nargs="*", metavar="FILE", help="to commit where it changed")
    parser.add_argument("--branch", required=True, help="to push to")
    parser.add_argument("--message", default="Record a run of retrain", help="of the commit")
    parser.add_argument("--notes", type=Path, help="release notes: tag the version they name")
    parser.add_argument("--candidate", default="", help="branch to delete after the tag")
    args = parser.parse_args(argv)

    def work() -> None:
        if args.notes:
            publish(args.notes, args.branch, args.candidate)
        else:
            record(args.files, args.branch, args.message)

    return cli.run("record", work)


if __name__ == "__main__":
    raise SystemExit(main())
