"""A git repository as a witness of seals: a commit for each append, made by dulwich without `git`."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from typing_extensions import override

from tradebook.config.witnesses import WitnessUrl
from tradebook.domain.errors import ExtraNotInstalled, WitnessFailed
from tradebook.domain.validation import utc_now
from tradebook.operations.witnesses.lines import KeptLines, failures, folder_of, to_lines
from tradebook.operations.witnesses.locks import locked
from tradebook.service_layer.ports.witnesses import Witness, WitnessedSeal
from tradebook.service_layer.verification.witness_check import lacking

if TYPE_CHECKING:
    from dulwich.objects import ObjectID
    from dulwich.refs import Ref
    from dulwich.repo import Repo

_IN_A_FILE: Final = 1000
"""Seals in one file: an append writes its file again, and git keeps each version."""
_AUTHOR: Final = b"tradebook <tradebook@localhost>"
_REGULAR: Final = 0o100644
_ATTEMPTS: Final = 10


class GitWitness(Witness):
    """Files `BOOK/ACCOUNT/FIRST.jsonl` on one branch of a bare or an ordinary repository.

    By default the branch is the one of HEAD. Where it is checked out, the files are in the working tree too.
    """

    def __init__(self, url: WitnessUrl) -> None:
        """Load dulwich; the repository is opened for each call."""
        try:
            import dulwich.repo
        except ImportError:
            raise ExtraNotInstalled("git", "dulwich") from None
        self._open = dulwich.repo.Repo
        self.name, self._path, self._book = url.shown, str(url.place), url.book
        self._branch, self._remote = url.parameters.get("branch"), url.parameters.get("push")

    @override
    def last(self, account: str) -> WitnessedSeal | None:
        with self._opened() as repository:
            files = _Files(repository, self._ref(repository))
            names = files.names(folder_of(self._book, account))
            return self._kept(account, files.content(names[-1]) if names else b"").last

    @override
    def read(self, account: str) -> dict[int, WitnessedSeal]:
        with self._opened() as repository:
            files = _Files(repository, self._ref(repository))
            names = files.names(folder_of(self._book, account))
            return self._kept(account, b"".join(map(files.content, names))).verified()

    @override
    def append(self, account: str, entries: Sequence[Mapping[str, Any]]) -> None:
        with self._opened() as repository, self._locked(repository):
            ref = self._ref(repository)
            for _ in range(_ATTEMPTS):
                files = _Files(repository, ref)
                changed = self._changed(files, account, entries)
                if not changed or files.commit(changed, _message(account, entries)):
                    break
            else:
                raise WitnessFailed(f"{self.name}: others commit to its branch all the time")
            if self._remote is not None:
                _push(repository, self._remote, ref)

    def _changed(
        self, files: _Files, account: str, entries: Sequence[Mapping[str, Any]]
    ) -> dict[str, bytes]:
        """Return the new content of each file that the entries change."""
        folder = folder_of(self._book, account)
        parts: dict[str, list[Mapping[str, Any]]] = {}
        for entry in entries:
            first = (entry["number"] - 1) // _IN_A_FILE * _IN_A_FILE + 1
            parts.setdefault(f"{folder}/{first:010}.jsonl", []).append(entry)
        changed = {}
        for name, part in parts.items():
            content = files.content(name)
            new = lacking(self.name, self._kept(account, content).seals, part)
            if new:
                changed[name] = content + to_lines(self._book, account, new)
        return changed

    def _kept(self, account: str, content: bytes) -> KeptLines:
        return KeptLines.from_bytes(self.name, self._book, account, content)

    @contextmanager
    def _opened(self) -> Iterator[Repo]:
        from dulwich.errors import NotGitRepository

        # dulwich raises errors of many kinds for a damaged repository and for a server's answers.
        with failures(self.name, Exception):
            try:
                repository = self._open(self._path)
            except NotGitRepository:
                raise WitnessFailed(
                    f"{self.name} is no git repository: make one, such as by `git init --bare {self._path}`"
                ) from None
            with repository:
                repository.object_store.fsync_object_files = True
                yield repository

    def _locked(self, repository: Repo) -> AbstractContextManager[int]:
        """Lock the repository for those who append, also its working tree."""
        lock = Path(repository.controldir(), "tradebook.lock")
        return locked(lock, os.O_RDWR | os.O_CREAT, self.name)

    def _ref(self, repository: Repo) -> Ref:
        from dulwich.refs import HEADREF, local_branch_name

        if self._branch is not None:
            return local_branch_name(self._branch.encode())
        ref = repository.refs.follow(HEADREF)[0][-1]
        if ref == HEADREF:
            raise WitnessFailed(f"{self.name}: its HEAD names no branch; add ?branch=NAME")
        return ref


class _Files:
    """The files of a branch, at the commit that it has now."""

    def __init__(self, repository: Repo, ref: Ref) -> None:
        from dulwich.objects import Commit, ObjectID, Tree

        self.repository, self.ref = repository, ref
        value = repository.refs.read_ref(ref)
        self.head = None if value is None else ObjectID(value)
        commit = None if self.head is None else repository[self.head]
        self.tree = repository[commit.tree] if isinstance(commit, Commit) else Tree()

    def _found(self, path: str) -> ObjectID | None:
        from dulwich.objects import Tree

        assert isinstance(self.tree, Tree)
        try:
            return self.tree.lookup_path(self.repository.object_store.__getitem__, path.encode())[1]
        except KeyError:
            return None

    def names(self, folder: str) -> list[str]:
        """Return the paths in a folder, in their order."""
        from dulwich.objects import Tree

        found = self._found(folder)
        tree = None if found is None else self.repository[found]
        names = tree if isinstance(tree, Tree) else ()
        return sorted(f"{folder}/{name.decode(errors='replace')}" for name in names)

    def content(self, path: str) -> bytes:
        """Return the content of a file; empty where there is none."""
        found = self._found(path)
        return b"" if found is None else self.repository[found].as_raw_string()

    def commit(self, changed: Mapping[str, bytes], message: str) -> bool:
        """Commit files; return False if another commit came first."""
        from dulwich.object_store import commit_tree_changes
        from dulwich.objects import Blob, Commit, Tree

        store, refs = self.repository.object_store, self.repository.refs
        blobs = {path.encode(): Blob.from_string(content) for path, content in changed.items()}
        for blob in blobs.values():
            store.add_object(blob)
        assert isinstance(self.tree, Tree)
        changes = [(path, _REGULAR, blob.id) for path, blob in blobs.items()]
        commit = Commit()
        commit.tree = commit_tree_changes(store, self.tree, changes)
        commit.parents = [] if self.head is None else [self.head]
        commit.author = commit.committer = _AUTHOR
        commit.author_time = commit.commit_time = int(utc_now().timestamp())
        commit.author_timezone = commit.commit_timezone = 0
        commit.message = message.encode()
        store.add_object(commit)
        is_first = (
            refs.add_if_new(self.ref, commit.id)
            if self.head is None
            else refs.set_if_equals(self.ref, self.head, commit.id)
        )
        if is_first:
            self._check_out(changed)
        return is_first

    def _check_out(self, changed: Mapping[str, bytes]) -> None:
        """Write committed files into the working tree of an ordinary repository with the branch."""
        from dulwich.refs import HEADREF

        if self.repository.bare or self.ref not in self.repository.refs.follow(HEADREF)[0]:
            return
        for path, content in changed.items():
            file = Path(self.repository.path, path)
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(content)
        self.repository.get_worktree().stage([*changed])


def _message(account: str, entries: Sequence[Mapping[str, Any]]) -> str:
    first, last = entries[0]["number"], entries[-1]["number"]
    numbers = f"Seal {first}" if first == last else f"Seals {first} to {last}"
    return f"{numbers} of account {account}\n\n{entries[-1]['hash']}\n"


def _push(repository: Repo, remote: str, ref: Ref) -> None:
    from dulwich import porcelain

    said = BytesIO()  # otherwise it writes to stdout and stderr
    result = porcelain.push(
        repository, remote, [ref + b":" + ref], outstream=BytesIO(), errstream=said
    )
    refused = [f"{text}" for text in (result.ref_status or {}).values() if text]
    if refused:
        raise WitnessFailed(f"its commits were not pushed to {remote}: {refused[0]}")
