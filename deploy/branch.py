"""Commit one file to the branch of a git work tree, and push it.

Where other pushes came first the commit is put on top of them, unless they changed the file too.
"""

import logging
import os
import re
import subprocess
from functools import partial
from pathlib import Path

from components.errors import UnavailableError, UserError
from deploy.errors import NETWORK_FAILURE, retry

# messages of git 2.39, curl and ssh for faults that are not the user's
_UNAVAILABLE = re.compile(
    r"Could not resolve host|Failed to connect|Connection (refused|reset|timed out)|timed out"
    r"|unable to connect|early EOF|hung up unexpectedly|RPC failed|returned error: 5\d\d"
)
PUSHES = 3  # of one commit, if other pushes come first each time
_LOST_RACE = re.compile(r"\[rejected\]|\[remote rejected\].*(cannot lock ref|failed to update ref)")

log = logging.getLogger("deploy")


class Branch:
    """The checked-out branch that has ``file``, and the branch of a remote that it follows.

    Only this object may commit to the branch as long as it is used.

    Raises:
        UserError: git is not installed, or the folder of ``file`` is not in a repository.
    """

    def __init__(self, file: Path) -> None:
        self._file = file.name
        self._folder = file.parent
        self._head = self._find_head()

    def catch_up(self) -> None:
        """Push what an interrupted deployment committed, and require nothing else to differ.

        Raises:
            UserError: the work tree or the branch has other changes than this file's, or the remote
                has commits that the branch lacks.
            UnavailableError: the remote does not answer.
        """
        try:
            upstream = self._git("rev-parse", "--abbrev-ref", "@{upstream}")
        except UserError as error:
            raise UserError(
                f"{self._folder}: {error}; --git needs a branch that follows one of a remote:"
                " git push --set-upstream origin BRANCH"
            ) from error
        self._git("checkout", "--quiet", "HEAD", "--", self._file)  # written, not committed
        changed = self._git("status", "--porcelain", "--untracked-files=no").splitlines()
        changed += self._git("status", "--porcelain", "--", ".").splitlines()
        if changed:
            raise UserError(
                f"{changed[0][3:]} is changed and not committed, so no controller would see it;"
                " commit and push it first"
            )
        retry(lambda: self._git("fetch", "--quiet"))
        behind, ahead = self._git(
            "rev-list", "--left-right", "--count", "@{upstream}...HEAD"
        ).split()
        if behind != "0":
            raise UserError(f"{upstream} has {behind} commits that are not here: git pull")
        own = self._git("ls-files", "--full-name", "--", self._file)
        if set(self._git("diff", "--name-only", "@{upstream}", "HEAD").splitlines()) - {own}:
            raise UserError(f"{ahead} commits are not on {upstream} yet: git push")
        if ahead != "0":
            self._push()

    def publish(self, message: str) -> str:
        """Commit and push the file where it changed; return the commit that the branch is at.

        Raises:
            UserError: another push changed the file first, the remote or a hook refuses this one,
                or a person committed or switched branches in this work tree.
            UnavailableError: the remote does not answer.
        """
        if self._find_head() != self._head:
            raise UserError(
                f"{self._folder}: HEAD was moved during the deployment, so nothing was pushed; give"
                " --git a clone of its own, and run this again"
            )
        if self._git("status", "--porcelain", "--", self._file):
            self._git("commit", "--quiet", "--message", message, "--", self._file)
            self._head = self._find_head()
        self._push()
        return self._head[0]

    def _push(self) -> None:
        """Push the commits of the file, on top of other pushes that did not change it."""
        form = "--format=%(upstream:remotename) %(upstream:remoteref)"
        remote, branch = self._git("for-each-ref", form, self._head[1]).split()
        for attempt in range(1, PUSHES + 1):
            refs = f"{self._head[0]}:{branch}"
            try:
                retry(partial(self._git, "push", "--porcelain", remote, refs))
                return
            except UserError as error:
                lost_race = _LOST_RACE.search(str(error))
                if lost_race and attempt < PUSHES and self._rebase():
                    continue
                if self._find_head() == self._head:
                    # the commit would else stand in the way of git pull
                    base = self._git("merge-base", "HEAD", "@{upstream}")
                    self._git("reset", "--quiet", "--keep", base)
                    self._head = self._find_head()
                if not lost_race:
                    raise
                raise UserError(
                    f"another push came first, so {self._file} was not changed: git pull, and run"
                    " this again; it goes on from what the cluster serves"
                ) from error

    def _rebase(self) -> bool:
        """Put the commits on top of the remote's; return False if those changed the file too."""
        try:
            retry(lambda: self._git("fetch", "--quiet"))
            if self._git("diff", "--name-only", "HEAD...@{upstream}", "--", self._file):
                return False
            if self._find_head() != self._head:
                return False
            self._git("rebase", "--quiet", "@{upstream}")
        except (UserError, UnavailableError) as error:
            log.info("the commits of other pushes cannot be taken: %s", error)
            return False
        self._head = self._find_head()
        return True

    def _find_head(self) -> tuple[str, str]:
        """Return the commit that is checked out, and the full name of its branch."""
        commit, name = self._git("rev-parse", "HEAD", "--symbolic-full-name", "HEAD").splitlines()
        return commit, name

    def _git(self, *arguments: str) -> str:
        """Return what git prints.

        Raises:
            UserError: git refuses or lacks something.
            UnavailableError: the remote does not answer.
        """
        # neither another language nor a question
        environment = os.environ | {"LC_ALL": "C", "GIT_TERMINAL_PROMPT": "0"}
        try:
            result = subprocess.run(
                ["git", *arguments],
                cwd=self._folder,
                env=environment,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
            )
        except FileNotFoundError:
            raise UserError("git is not installed, and --git needs it") from None
        if result.returncode == 0:
            return result.stdout.rstrip()
        lines = [*result.stdout.splitlines(), *result.stderr.splitlines()]
        told = [line for line in lines if re.match(r"fatal:|error:|ssh:|!\t", line)]
        command = next(each for each in arguments if each[0] != "-" and "=" not in each)
        message = f"git {command}: {(told or lines or ['it printed no reason'])[0]}"
        text = result.stderr
        unavailable = _UNAVAILABLE.search(text) or NETWORK_FAILURE.search(text)
        raise (UnavailableError if unavailable else UserError)(message)
